package sampling

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// RBFOptions are the settings of [RBF]. The zero value has the defaults.
type RBFOptions struct {
	// Starts is how many initial noises are looked at, the best of which is gone on from. 0 means a twentieth of the evaluations
	// (the published program takes 25 of 500), at least one; never so many that a step would have none.
	Starts int
}

// RBF is rollover budget forcing: every step has an equal share of the evaluations, and draws children one by one until the preview
// of one scores higher than that of the state it comes from; what it did not need rolls over to the next step. A step that finds
// none takes the best child. What is left at the end goes to further runs from fresh noise. Children come one after another by
// nature, so that Batch makes no difference. The sampler must add noise.
// (Kim, Yoon, Hwang, Sung 2025, arXiv 2503.19385. They turn a flow into a stochastic process first.)
func RBF(o RBFOptions) Method {
	return func(ctx context.Context, s *Search) error {
		if o.Starts < 0 {
			return fmt.Errorf("sampling: %d initial noises; 0 means a twentieth of the evaluations", o.Starts)
		}
		if err := s.needNoise("rollover budget forcing"); err != nil {
			return err
		}
		return s.runs(func(first bool) error {
			starts := o.Starts
			if starts == 0 {
				starts = max(1, s.Left()/s.stepCost(0)/20)
			}
			starts = min(starts, (s.Left()-s.costOf(1, s.Plan.Len()))/s.stepCost(0))
			return s.roll(ctx, starts, first)
		})
	}
}

// roll is one run: starts looks at initial noises, and what is left for children.
func (s *Search) roll(ctx context.Context, starts int, first bool) error {
	noise := s.draw(starts)
	st, err := s.Start(noise, starts)
	if err != nil {
		return err
	}
	source, last := s.stepNoise(first), s.Plan.Len()-1
	seen, err := s.Look(ctx, st)
	if err != nil {
		return err
	}
	scores, err := s.Score(ctx, seen.Clean, starts)
	if err != nil {
		return err
	}
	best := bestOf(scores)
	if best < 0 {
		return nil
	}
	if seen, err = seen.Pick(best); err != nil {
		return err
	}
	score, plain, rolled := scores[best], first && best == 0, 0
	noise = gather(noise, s.Size, []int{best})
	for shares := s.shares(); seen.Index < last; {
		// A child is looked at by the next step.
		cost, used := s.stepCost(seen.Index+1), 0
		rolled += shares[seen.Index] * cost
		if seen, score, used, err = s.betterChild(ctx, seen, source, rolled/cost, score); err != nil || used == 0 {
			return err
		}
		rolled -= used * cost
		plain = plain && used == 1
	}
	if st, err = s.Take(seen, source); err != nil {
		return err
	}
	if !plain {
		noise = nil
	}
	_, err = s.endRun(ctx, st.X, noise, 1, plain)
	return err
}

// shares is how many children each step but the last may look at with what is left; the first have one more where it does not divide.
func (s *Search) shares() []int {
	if s.Plan.Len() == 1 {
		return nil
	}
	one := s.costOf(1, s.Plan.Len())
	out, rest := slices.Repeat([]int{s.Left() / one}, s.Plan.Len()-1), s.Left()%one
	for i := range out {
		if cost := s.stepCost(i + 1); rest >= cost {
			out[i]++
			rest -= cost
		}
	}
	return out
}

// betterChild draws children of a state of one image until one beats a score or the looks are used, and returns the last or the best. It
// has used none, as far as it says, when none could be scored.
func (s *Search) betterChild(ctx context.Context, from Seen, source Noise, looks int, beat float64) (best Seen, top float64, used int, err error) {
	top = math.NaN()
	for used < looks {
		st, err := s.Take(from, source)
		if err != nil {
			return best, top, used, err
		}
		seen, err := s.Look(ctx, st)
		if err != nil {
			return best, top, used, err
		}
		used++
		scores, err := s.Score(ctx, seen.Clean, 1)
		if err != nil {
			return best, top, used, err
		}
		if v := scores[0]; v > top || math.IsNaN(top) && !math.IsNaN(v) {
			best, top = seen, v
		}
		if top > beat || !s.noisy(from.Index, from.Index+1) {
			break
		}
	}
	if math.IsNaN(top) {
		return best, top, 0, nil
	}
	return best, top, used, nil
}
