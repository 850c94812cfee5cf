package sampling

import (
	"context"
	"fmt"
)

// SVDDOptions are the settings of [SVDD]. The zero value has the defaults.
type SVDDOptions struct {
	// Children is how many copies each block is done with; runs with fresh noise follow while the budget pays for a picture. 0 means
	// as many as the budget pays for in one run.
	Children int
	// Every is the number of steps of a block. 0 means 1, which is SVDD; more is CoDe.
	Every int
	// Temperature τ: a child is kept with a chance ∝ exp(score/τ). 0 keeps the best, +Inf any.
	Temperature float64
}

// SVDD goes through the steps with one picture: each block of steps is done several times with other noise, the previews are
// verified, and one child is kept. The evaluation that gives a child's preview is that of its next step as well, so that a run of M
// children costs 1 + M·(steps−1) evaluations; the last step is done once. The sampler must add noise.
// (Li et al. 2024, arXiv 2408.08252, with Every = 1; Singh et al. 2025, CoDe, arXiv 2502.00968, with blocks.)
func SVDD(o SVDDOptions) Method {
	if o.Every == 0 {
		o.Every = 1
	}
	return func(ctx context.Context, s *Search) error {
		if o.Children < 0 || o.Every < 0 || !(o.Temperature >= 0) {
			return fmt.Errorf("sampling: %d children in blocks of %d steps at a temperature of %v; none may be below 0",
				o.Children, o.Every, o.Temperature)
		}
		if err := s.needNoise("a search over children"); err != nil {
			return err
		}
		return s.runs(func(first bool) error {
			n := 1
			if steps := s.Plan.Len(); steps > 1 {
				n = (s.Left() - s.stepCost(0)) / s.costOf(1, steps)
			}
			if o.Children > 0 {
				n = min(n, o.Children)
			}
			return s.descend(ctx, &o, n, first)
		})
	}
}

// descend is one run.
func (s *Search) descend(ctx context.Context, o *SVDDOptions, children int, first bool) error {
	noise := s.draw(1)
	st, err := s.Start(noise, 1)
	if err != nil {
		return err
	}
	source, last := s.stepNoise(first), s.Plan.Len()-1
	seen, err := s.Look(ctx, st)
	for err == nil && seen.Index < last {
		end, n := min(seen.Index+o.Every, last), children
		if !s.noisy(seen.Index, end) {
			n = 1
		}
		if seen, err = s.block(ctx, seen, source, end, n); err != nil || n == 1 {
			continue
		}
		scores, err := s.Score(ctx, seen.Clean, n)
		if err != nil {
			return err
		}
		kept := s.choose(scores, o.Temperature)
		if kept < 0 {
			return nil
		}
		if seen, err = seen.Pick(kept); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if st, err = s.Take(seen, source); err != nil {
		return err
	}
	plain := first && children == 1
	if !plain {
		noise = nil
	}
	_, err = s.endRun(ctx, st.X, noise, 1, plain)
	return err
}

// block goes from a state of one image to index end n times, and looks at where it comes to.
func (s *Search) block(ctx context.Context, seen Seen, source Noise, end, n int) (Seen, error) {
	seen, err := seen.Pick(make([]int, n)...)
	for err == nil && seen.Index < end {
		var st State
		if st, err = s.Take(seen, source); err != nil {
			break
		}
		seen, err = s.Look(ctx, st)
	}
	return seen, err
}

// choose draws an index with a chance ∝ exp(score/τ), the best for τ = 0; NaN is never drawn, -1 when there is nothing else.
func (s *Search) choose(scores []float64, temperature float64) int {
	if temperature == 0 {
		return bestOf(scores)
	}
	logs := make([]float64, len(scores))
	for i, v := range scores {
		logs[i] = v / temperature
	}
	weights := normalised(logs)
	if weights == nil {
		return -1
	}
	return systematic(weights, 1, s.Uniform())[0]
}
