package training

import (
	"context"
	"math/rand/v2"
)

// recordedPictures is what runs of tests/oracle/training_pictures.py have besides.
type recordedPictures struct {
	Mu, Eta   float64
	Refresh   int
	Snapshots int
	SelfSteps int `json:"self_steps"`
}

// reference is the case's.
func (c *recordedCase) reference() Reference {
	if c.Refresh == 0 {
		return Reference{}
	}
	return Reference{Refresh: c.Refresh, Drift: -1}
}

// each is the number of timesteps and noises of a draw.
func (s *replay) each() int {
	if s.tr.method.Independent {
		return 2
	}
	return 1
}

// inversionNoise gives out what steps of the inversions of a batch add. It was recorded pair by pair, and is asked for level by level.
func (s *replay) inversionNoise(b recordedBatch) func([]float32, int) {
	n := s.tr.latents(s.tr.size)
	left := make([][]float32, 2*len(b.Pairs))
	for i, level := range b.Level {
		for side := range 2 {
			left[side*len(b.Pairs)+i], s.steps = s.steps[:level*n], s.steps[level*n:]
		}
	}
	return func(dst []float32, row int) {
		copy(dst, left[row][:n])
		left[row] = left[row][n:]
	}
}

// opposed is a batch against an earlier state, whose pictures are made here from the recorded noise.
func (s *replay) opposed(ctx context.Context, b recordedBatch) (sample, error) {
	self, err := s.tr.newSelf(&Data{Pairs: []Pair{{}}, Sizes: []Size{s.tr.size}})
	if err != nil {
		return nil, err
	}
	n := s.tr.latents(s.tr.size)
	self.start = func(dst []float32, p *Pair) *rand.Rand {
		at := int(p.ID[0])
		copy(dst, s.r.floats(s.t, s.c.Name+".start")[at*n:(at+1)*n])
		return nil // the sampler draws nothing
	}
	a := anchor{weight: 1, moves: true}
	if b.Opponent > 0 {
		a.factors = s.tr.snapshots[b.Opponent-1]
	}
	var all []drawn
	var prompts []string
	for _, pair := range b.Pairs {
		one := s.drawn(pair)
		one.pair.Prompt, one.pair.ID = one.prompt, Key{byte(pair)}
		all, prompts = append(all, one), append(prompts, one.prompt)
	}
	if err := self.oppose(ctx, all, &a, s.tr.size); err != nil {
		return nil, err
	}
	d := newDenoising(s.tr, s.tr.size, len(all))
	d.own = []anchor{a}
	for i, one := range all {
		if err := d.put(s.tr, one, b.T[i], [][]float32{s.noise[:n]}); err != nil {
			return nil, err
		}
		s.noise = s.noise[n:]
	}
	return d.finish(ctx, s.tr, s.tr.size, prompts, false)
}
