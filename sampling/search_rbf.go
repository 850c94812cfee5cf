package sampling

import (
	"context"
	"fmt"
	"math"
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
			looks, steps := s.Left()/s.NFE, s.Plan.Len()
			starts := o.Starts
			if starts == 0 {
				starts = max(1, looks/20)
			}
			starts = min(starts, looks-(steps-1))
			return s.roll(ctx, starts, looks-starts, first)
		})
	}
}

// roll is one run: starts looks at initial noises, and so many at children.
func (s *Search) roll(ctx context.Context, starts, looks int, first bool) error {
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
	for seen.Index < last {
		rolled += share(looks, last, seen.Index)
		var used int
		if seen, score, used, err = s.betterChild(ctx, seen, source, rolled, score); err != nil || used == 0 {
			return err
		}
		rolled -= used
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

// share is part k of n equal parts of whole things; the first parts are larger by one where it does not divide.
func share(things, n, k int) int {
	out := things / n
	if k < things%n {
		out++
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
