package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"winnow/datasets"
	"winnow/internal/imageproc"
	"winnow/internal/labelling"
	"winnow/rewards"
	"winnow/vlmjudge"
)

// judgedGroups lets a judge compare the pictures of every prompt, some prompts at a time.
type judgedGroups struct {
	run     *labelRun
	judge   *rewards.Tournament
	journal *labelling.Journal // nil keeps nothing
	asking  *judging
	waiting []datasets.Record
	mu      sync.Mutex // of warnings and sum
	sum     vlmjudge.Tournament
}

// judge opens the judge and the file of its verdicts.
func (r *labelRun) judge(ctx context.Context) (labelGroups, func() error, error) {
	o := r.o
	j, err := rewards.OpenTournament(ctx, o.options())
	if err != nil {
		return nil, nil, err
	}
	g := &judgedGroups{run: r, judge: j, asking: &judging{app: r.app, concurrency: o.asked.concurrency}}
	r.sum.Reward = o.asked.name()
	stop := func() error { r.app.warnJudge(&g.sum); return j.Close() }
	if o.cache != "none" {
		path := o.output + ".verdicts"
		if g.journal, err = labelling.OpenJournal(path); err != nil {
			return nil, nil, errors.Join(pathError("use", path, err), j.Close())
		}
		closeJudge := stop
		stop = func() error { return errors.Join(g.journal.Close(), closeJudge()) }
	}
	return g, stop, nil
}

func (g *judgedGroups) add(ctx context.Context, rec *datasets.Record) error {
	if g.waiting = append(g.waiting, *rec); len(g.waiting) < judgeBatch {
		return nil
	}
	return g.flush(ctx)
}

// flush asks about the prompts that wait. One that the judge cannot answer is listed, and its pictures have no score.
func (g *judgedGroups) flush(ctx context.Context) error {
	all := make([][]float64, len(g.waiting))
	for i, rec := range g.waiting {
		all[i] = slices.Repeat([]float64{math.NaN()}, len(rec.Images))
	}
	var asked, known atomic.Int64
	err := g.asking.each(ctx, len(g.waiting), func(i int) string { return fmt.Sprintf("%s, row %d", g.run.source.name, g.waiting[i].Row) },
		func(ctx context.Context, i int) error {
			strengths, old, err := g.ask(ctx, &g.waiting[i])
			switch {
			case err != nil:
				return err
			case old:
				known.Add(1)
			default:
				asked.Add(1)
			}
			all[i] = strengths
			return nil
		}, func(int) {})
	g.run.sum.Computed += int(asked.Load())
	g.run.sum.Cached += int(known.Load())
	if err != nil {
		return err
	}
	for i := range g.waiting {
		if err := g.run.pairs(&g.waiting[i], all[i], nil); err != nil {
			return err
		}
	}
	g.waiting = g.waiting[:0]
	return nil
}

// ask gives the strengths of a prompt's pictures, from the file of verdicts where it has them; NaN for those that cannot be read.
func (g *judgedGroups) ask(ctx context.Context, rec *datasets.Record) (strengths []float64, known bool, err error) {
	strengths = slices.Repeat([]float64{math.NaN()}, len(rec.Images))
	at, pictures, sums := g.readable(rec)
	if len(at) < 2 {
		return strengths, true, nil
	}
	o := &g.run.o.asked
	key := labelling.Key(o.manner(), rec.Prompt, sums)
	values, known := g.recall(key, len(at))
	if !known {
		t, err := g.judge.Tournament(ctx, rec.Prompt, pictures, nil)
		if err == nil {
			if why := g.judge.Judge().Limit(); why != "" && t.Unmet() > 0 {
				return nil, false, &vlmjudge.LimitError{Why: why}
			}
			err = unanswered(t)
		}
		if err != nil {
			return nil, false, err
		}
		if values = t.Strengths; t.Unmet() > 0 {
			for k, met := range t.Met {
				if met == 0 {
					values[k] = math.NaN()
				}
			}
		}
		g.mu.Lock()
		g.sum = g.sum.Add(t)
		g.mu.Unlock()
		if g.journal != nil && t.Failed == 0 && t.Unmet() == 0 { // else it is asked again
			if err := g.journal.Put(key, rec.Prompt, values); err != nil {
				return nil, false, err
			}
		}
	}
	for k, i := range at {
		strengths[i] = values[k]
	}
	return strengths, known, nil
}

func (g *judgedGroups) recall(key string, pictures int) ([]float64, bool) {
	if g.journal == nil {
		return nil, false
	}
	values, ok := g.journal.Get(key)
	return values, ok && len(values) == pictures
}

// readable are the pictures of a record that can be shown, as people see them; the others are listed.
func (g *judgedGroups) readable(rec *datasets.Record) (at []int, pictures []image.Image, sums [][sha256.Size]byte) {
	for i := range rec.Images {
		data, err := rec.Images[i].Bytes()
		var img image.Image
		if err == nil {
			img, err = imageproc.DecodeUpright(rec.Images[i].Name(), data, imageproc.Limits{})
		}
		if err != nil {
			g.warn("%s, row %d: picture %s: %v", g.run.source.name, rec.Row, rec.Images[i].Name(), err)
			continue
		}
		at, pictures, sums = append(at, i), append(pictures, img), append(sums, sha256.Sum256(data))
	}
	return at, pictures, sums
}

// warn is called by several prompts at once.
func (g *judgedGroups) warn(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.run.app.warn(format, args...)
}
