package training

import (
	"context"
	"math"

	"winnow/datasets"
)

// single is a picture that is liked or not by itself, under a prompt of its own.
type single struct {
	prompt        string
	key, mirrored Key
	size, row     int
	liked         bool
}

// isSingle reports whether a row is a picture that was labelled by itself, and the method learns from such.
func (l *loader) isSingle(rec *datasets.Record) bool {
	return l.t.method.Independent && rec.Kind == datasets.KindGroup && len(rec.Images) == 1 && !math.IsNaN(rec.Label)
}

// single keeps a picture until all are known. One that is neither liked nor not is a tie.
func (l *loader) single(ctx context.Context, rec *datasets.Record) error {
	if rec.Label == 0.5 {
		l.data.Ties++
		return nil
	}
	s := single{prompt: rec.Prompt, size: -1, row: l.data.Rows, liked: rec.Label > 0.5}
	var err error
	if s.key, s.mirrored, err = l.picture(ctx, &rec.Images[0], &s.size); err != nil {
		return err
	}
	l.singles = append(l.singles, s)
	l.data.Singles++
	return nil
}

// match makes pairs of a liked and a disliked picture of one size, by chance. Every picture is in one; those of the rarer sort are in several,
// so that updates see as many of one sort as of the other whatever the set holds.
func (l *loader) match() {
	for size := range l.sizes {
		var liked, disliked []single
		for _, s := range l.singles {
			switch {
			case s.size != size:
			case s.liked:
				liked = append(liked, s)
			default:
				disliked = append(disliked, s)
			}
		}
		if len(liked) == 0 || len(disliked) == 0 {
			l.data.Alone += len(liked) + len(disliked)
			continue
		}
		r := stream(l.t.config.Seed, "match", nil, size)
		for _, list := range [][]single{liked, disliked} {
			r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		}
		for i := range max(len(liked), len(disliked)) {
			l.data.Pairs = append(l.data.Pairs, paired(&liked[i%len(liked)], &disliked[i%len(disliked)]))
		}
	}
	l.singles = nil
}

// paired is a liked picture and another one that is not.
func paired(a, b *single) Pair {
	p := Pair{
		Prompt: a.prompt, Chosen: a.key, Rejected: b.key, Mirrored: [2]Key{a.mirrored, b.mirrored}, Label: 1,
		Scores: [2]float64{math.NaN(), math.NaN()}, Group: a.row, Size: a.size,
	}
	parts := [][]byte{[]byte(p.Prompt), p.Chosen[:], p.Rejected[:]}
	if b.prompt != a.prompt {
		p.Other = b.prompt
		parts = append(parts, []byte(p.Other))
	}
	p.ID = keyOf(parts...)
	return p
}
