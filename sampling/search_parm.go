package sampling

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// PARMOptions are the settings of [PARM]. The zero value has the defaults.
type PARMOptions struct {
	// Candidates is how many start together; runs with fresh noise follow while the budget pays for a picture. 0 means as many as the
	// budget pays for in one run, if Keep is what goes on at each check.
	Candidates int
	// Checks says after what share of the steps previews are judged, in (0, 1). nil means 0.4.
	Checks []float64
	// Keep is the share of the candidates that goes on after a check, at least one. 0 means 0.25. With Potential set, it is only what
	// Candidates is reckoned from.
	Keep float64
	// Clear tells from a preview whether it can be judged yet: it can from ClearAt on, 0.5 if that is 0, for example a probability.
	// A candidate that is not clear goes on. nil takes all for clear.
	Clear   Verifier
	ClearAt float64
	// Potential tells from a clear preview, once for each candidate, whether it goes on: from PotentialAt on, 0.5 if that is 0. When
	// no candidate is left, the one with the most potential goes on. nil judges by the search's verifier, at every check, and keeps
	// the best.
	Potential   Verifier
	PotentialAt float64
}

// PARM verifies step by step: candidates start together, their previews are judged on the way, and those without potential are
// stopped, which then cost nothing more: N candidates of which K go on at step c of S cost N·c + K·(S−c) evaluations. Previews are
// free. When more would go on than the budget pays for, those with the most potential do. The finished pictures are verified, and the
// best wins. Any sampler will do.
// (Guo et al. 2025, arXiv 2501.13926, potential assessment reward model, for autoregressive generators. Their program does not
// stop candidates; their text does. The defaults without Potential are ours.)
func PARM(o PARMOptions) Method {
	if o.Checks == nil {
		o.Checks = []float64{0.4}
	}
	for _, v := range []struct {
		p        *float64
		standard float64
	}{{&o.Keep, 0.25}, {&o.ClearAt, 0.5}, {&o.PotentialAt, 0.5}} {
		if *v.p == 0 {
			*v.p = v.standard
		}
	}
	return func(ctx context.Context, s *Search) error {
		if o.Candidates < 0 || !(o.Keep > 0 && o.Keep <= 1) || math.IsNaN(o.ClearAt) || math.IsNaN(o.PotentialAt) {
			return fmt.Errorf("sampling: %d candidates, of which %v are kept, with thresholds %v and %v; "+
				"the first must not be below 0, the second lie between 0 and 1", o.Candidates, o.Keep, o.ClearAt, o.PotentialAt)
		}
		checks, err := s.stops(o.Checks)
		if err != nil {
			return err
		}
		return s.runs(func(first bool) error {
			n := 1
			for s.pruned(n+1, o.Keep, 0, checks) <= s.Left() && n != o.Candidates {
				n++
			}
			return s.prune(ctx, &o, n, checks, first)
		})
	}
}

// pruned is the number of evaluations that n candidates take from step at to the end, if a share of them goes on at each check
// behind it.
func (s *Search) pruned(n int, keep float64, at int, checks []int) int {
	sum := 0
	for _, c := range checks {
		if c > at {
			sum += n * s.costOf(at, c)
			n, at = keptOf(keep, n), c
		}
	}
	return sum + n*s.costOf(at, s.Plan.Len())
}

// keptOf is a share of n, rounded up, in spite of shares that floating point makes a little larger than they were meant.
func keptOf(keep float64, n int) int { return int(math.Ceil(keep*float64(n) - 1e-9)) }

// candidates are those still running.
type candidates struct {
	State
	ids    []int // which of the candidates that started, in order
	scores []float64
	judged []bool
}

func (c *candidates) pick(images []int) error {
	slices.Sort(images)
	st, err := c.Select(images...)
	if err != nil {
		return err
	}
	old := *c
	*c = candidates{State: st}
	for _, k := range images {
		c.ids = append(c.ids, old.ids[k])
		c.scores = append(c.scores, old.scores[k])
		c.judged = append(c.judged, old.judged[k])
	}
	return nil
}

// prune is one run of n candidates.
func (s *Search) prune(ctx context.Context, o *PARMOptions, n int, checks []int, first bool) error {
	noise := s.draw(n)
	st, err := s.Start(noise, n)
	if err != nil {
		return err
	}
	source := s.shared()
	c := &candidates{State: st, scores: make([]float64, n), judged: make([]bool, n)}
	for i := range n {
		c.ids = append(c.ids, i)
	}
	for _, at := range append(slices.Clone(checks), s.Plan.Len()) {
		var clean []float32
		if c.State, clean, err = s.Advance(ctx, c.State, at, source); err != nil {
			return err
		}
		if at == s.Plan.Len() || c.Images == 1 {
			continue
		}
		going, err := s.judge(ctx, o, c, clean, checks)
		if err != nil || len(going) == 0 {
			return err
		}
		if err := c.pick(going); err != nil {
			return err
		}
	}
	_, err = s.endRun(ctx, c.X, gather(noise, s.Size, c.ids), c.Images, first && c.ids[0] == 0)
	return err
}

// judge is a check: the candidates that go on.
func (s *Search) judge(ctx context.Context, o *PARMOptions, c *candidates, clean []float32, checks []int) ([]int, error) {
	open, err := s.clear(ctx, o, c, clean)
	if err != nil {
		return nil, err
	}
	verify := s.Score
	if o.Potential != nil {
		verify = s.by(o.Potential)
	}
	if len(open) > 0 {
		scores, err := verify(ctx, gather(clean, s.Size, open), len(open))
		if err != nil {
			return nil, err
		}
		for i, k := range open {
			c.scores[k], c.judged[k] = scores[i], true
		}
	}
	going, later := c.going(o, keptOf(o.Keep, len(open))), 1.0
	if o.Potential == nil {
		later = o.Keep
		clear(c.judged) // the next check judges all again
	}
	for n := len(going); n > 1 && s.pruned(n, later, c.Index, checks) > s.Left(); n-- {
		going = going[:n-1]
	}
	return going, nil
}

// going are the judged that go on, the best first, and then those that are not clear yet. Without a verifier of potential the best
// n of the judged go on.
func (c *candidates) going(o *PARMOptions, n int) []int {
	ranked, unclear := slices.Clone(c.scores), []int(nil)
	for k, done := range c.judged {
		if !done {
			ranked[k], unclear = math.NaN(), append(unclear, k)
		}
	}
	order := topOf(ranked, len(ranked))
	if o.Potential != nil {
		n = len(order)
		for n > 0 && ranked[order[n-1]] < o.PotentialAt {
			n--
		}
	}
	if n == 0 && len(unclear) == 0 {
		n = 1
	}
	return append(slices.Clone(order[:min(n, len(order))]), unclear...)
}

// clear are the candidates that a check judges: those that were not yet, and that are clear.
func (s *Search) clear(ctx context.Context, o *PARMOptions, c *candidates, clean []float32) ([]int, error) {
	var open []int
	for k, done := range c.judged {
		if !done {
			open = append(open, k)
		}
	}
	if o.Clear == nil || len(open) == 0 {
		return open, nil
	}
	scores, err := s.by(o.Clear)(ctx, gather(clean, s.Size, open), len(open))
	if err != nil {
		return nil, err
	}
	var out []int
	for i, k := range open {
		if scores[i] >= o.ClearAt {
			out = append(out, k)
		}
	}
	return out, nil
}

// by is another verifier in the place of the search's. Its scores are counted, but their scale is another, so they are not in the
// trace.
func (s *Search) by(v Verifier) Verifier {
	return func(ctx context.Context, x []float32, images int) ([]float64, error) {
		own := s.Verify
		defer func() { s.Verify = own }()
		s.Verify = v
		return s.verify(ctx, x, images)
	}
}
