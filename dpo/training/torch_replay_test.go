package training

import (
	"context"
	"slices"
	"testing"

	"winnow/dpo"
)

// replay gives the trainer the oracle's batches.
type replay struct {
	t      *testing.T
	tr     *Trainer
	r      *recording
	c      *recordedCase
	noise  []float32 // what is left of the recorded draws
	steps  []float32 // what is left of what steps of inversions add, or of the noises of steps behind the draws
	tuples int
	own    *paths       // for methods on whole paths
	seen   []pairErrors // rewards of the step's pairs: the reference's errors minus the policy's
}

func (s *replay) epoch(int) float64   { return 0 }
func (s *replay) fingerprint() string { return "" }

// drawn is the recorded pair.
func (s *replay) drawn(i int) drawn {
	label := 1.0
	if s.tr.soft {
		label = s.r.about.Labels[i]
	}
	n := s.tr.latents(s.tr.size)
	part := func(name string) []float32 { return s.r.floats(s.t, name)[i*n : (i+1)*n] }
	return drawn{pair: &Pair{Label: label}, prompt: s.r.about.Prompts[i], chosen: part("clean.chosen"), rejected: part("clean.rejected")}
}

func (s *replay) batch(ctx context.Context, i int) (sample, error) {
	b := s.c.Batches[i]
	var out sample
	var err error
	switch s.tr.method.Kind {
	case dpo.KindSiblings:
		out, err = s.siblings(ctx, b)
	case dpo.KindInversion:
		out, err = s.inverted(ctx, b)
	case dpo.KindSelf:
		out, err = s.opposed(ctx, b)
	case dpo.KindPaths:
		return s.own.batch(ctx, i)
	default:
		out, err = s.noised(ctx, b)
	}
	return &spy{sample: out, to: &s.seen, reference: s.tr.method.Reference}, err
}

func (s *replay) noised(ctx context.Context, b recordedBatch) (sample, error) {
	d := newDenoising(s.tr, s.tr.size, len(b.Pairs)*s.c.Draws)
	n := s.tr.latents(s.tr.size)
	var prompts []string
	for i, pair := range b.Pairs {
		for all := range slices.Chunk(b.T[i], s.each()) {
			var noises [][]float32
			for range all {
				noises, s.noise = append(noises, s.noise[:n]), s.noise[n:]
			}
			one := s.drawn(pair)
			if err := d.put(s.tr, one, all, noises); err != nil {
				return nil, err
			}
			prompts = append(prompts, one.prompt)
		}
	}
	out, err := d.finish(ctx, s.tr, s.tr.size, prompts, b.Null)
	if err != nil || !s.tr.method.Features {
		return out, err
	}
	steps := s.steps[:d.pairs*n]
	s.steps = s.steps[len(steps):]
	return s.tr.perceive(d, steps)
}

func (s *replay) inverted(ctx context.Context, b recordedBatch) (sample, error) {
	inv, err := s.tr.newInversion(&Data{Pairs: []Pair{{}}, Sizes: []Size{s.tr.size}})
	if err != nil {
		return nil, err
	}
	var all []drawn
	for _, pair := range b.Pairs {
		all = append(all, s.drawn(pair))
	}
	if s.c.Eta > 0 {
		inv.noise = s.inversionNoise(b)
	}
	return inv.at(ctx, s.tr.size, all, b.Level)
}

func (s *replay) siblings(ctx context.Context, b recordedBatch) (sample, error) {
	sib, err := s.tr.newSiblings()
	if err != nil {
		return nil, err
	}
	n := s.tr.latents(s.tr.size)
	var tuples []tuple
	for i, pair := range b.Pairs {
		part := func(name string) []float32 { return s.r.floats(s.t, s.c.Name+"."+name)[s.tuples*n : (s.tuples+1)*n] }
		tuples = append(tuples, tuple{prompt: pair, step: b.Steps[i], from: part("x"), best: part("chosen"), worst: part("rejected")})
		s.tuples++
	}
	return sib.collect(ctx, s.r.about.Prompts, tuples)
}
