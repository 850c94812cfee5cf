package sampling

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
)

// Seen is a state that the model was asked about already: its answer, and the clean latents that it predicts. Looking and stepping
// are two things so that a method can verify, choose and multiply between them without paying twice.
type Seen struct {
	State
	Output []float32 // the model's raw output for the state
	Clean  []float32 // predicted clean latents, clipped as the scheduler says
}

// Look asks the model about all images of a state, which may be more than Batch, and spends their cost. It is errSpent, and does
// nothing, where the budget does not pay for all of them.
func (s *Search) Look(ctx context.Context, st State) (Seen, error) {
	if st.Images*s.stepCost(st.Index) > s.Left() {
		return Seen{}, errSpent
	}
	if err := ctx.Err(); err != nil {
		return Seen{}, err
	}
	row, err := s.Plan.Row(st.Index, st.Calls)
	if err != nil {
		return Seen{}, err
	}
	output, err := s.predict(ctx, st)
	if err != nil {
		return Seen{}, fmt.Errorf("sampling: step %d of %d (timestep %g): %w", st.Index+1, s.Plan.Len(), s.Plan.Timesteps[st.Index], err)
	}
	clean := row.clean(st.X, output)
	s.Plan.scheduler.config.limit(clean, st.Images)
	s.glimpsed(st.Index, clean, nil)
	return Seen{State: st, Output: output, Clean: clean}, nil
}

// Take does the step that Look prepared. It costs nothing, so that a state can be stepped from many times with other noise.
func (s *Search) Take(v Seen, source Noise) (State, error) {
	next, _, err := s.Plan.advance(v.State, v.Output, source)
	return next, err
}

// Pick is [State.Select] for a state that was looked at.
func (v Seen) Pick(images ...int) (Seen, error) {
	st, err := v.Select(images...)
	if err != nil {
		return Seen{}, err
	}
	size := len(v.X) / v.Images
	return Seen{State: st, Output: gather(v.Output, size, images), Clean: gather(v.Clean, size, images)}, nil
}

// draw is fresh noise for images, drawn one by one, so that how they are batched does not matter.
func (s *Search) draw(images int) []float32 {
	out := make([]float32, images*s.Size)
	for i := range images {
		s.Normal(out[i*s.Size : (i+1)*s.Size])
	}
	return out
}

// stepNoise is the noise inside the steps of images that must not share it. With plain, the first image has that of the plain picture,
// so that a run that steers nothing gives the picture that Evaluate would.
func (s *Search) stepNoise(plain bool) Noise {
	var first Noise
	if plain {
		first = s.inner(1)
	}
	return func(dst []float32, sigma, sigmaNext float64) {
		for i := 0; i < len(dst); i += s.Size {
			if i == 0 && first != nil {
				first(dst[:s.Size], sigma, sigmaNext)
				continue
			}
			s.Normal(dst[i : i+s.Size])
		}
	}
}

// shared is the noise inside the steps of plain pictures: the same for all, however many there are left of them.
func (s *Search) shared() Noise {
	one := s.inner(1)
	if one == nil {
		return nil
	}
	return func(dst []float32, sigma, sigmaNext float64) {
		one(dst[:s.Size], sigma, sigmaNext)
		for i := s.Size; i < len(dst); i += s.Size {
			copy(dst[i:], dst[:s.Size])
		}
	}
}

// noisy reports whether a step from begin to before end adds noise: without, copies of a state stay copies.
func (s *Search) noisy(begin, end int) bool {
	for i := begin; i < end; i++ {
		if row, err := s.Plan.Row(i, i); err == nil && row.Noise != 0 {
			return true
		}
	}
	return false
}

// needNoise is the error of methods that branch by the noise of steps where there is none.
func (s *Search) needNoise(method string) error {
	if s.noisy(0, s.Plan.Len()) {
		return nil
	}
	return fmt.Errorf("sampling: %s branches by the noise that steps add, and %s adds none in these %d; take %s",
		method, s.Plan.scheduler.config.Class, s.Plan.Len(), s.withNoise())
}

// withNoise names samplers of this kind of model whose steps add noise.
func (s *Search) withNoise() string {
	if s.Plan.scheduler.config.Class == classFlow {
		return "flow-euler with a flow noise above 0, as 0.7"
	}
	return "euler-a, ddpm, dpmpp-2m-sde, or ddim with an eta above 0"
}

// endRun is Finish for a run that need not have made the plain picture of the seed as its first: Found.First then stays as it is,
// NaN where that picture was never made. noise is nil where a picture does not follow from its initial noise.
func (s *Search) endRun(ctx context.Context, latents, noise []float32, images int, plain bool) ([]float64, error) {
	first, picture := s.found.First, s.found.FirstLatents
	scores, err := s.Finish(ctx, latents, noise, images)
	if !plain {
		s.found.First, s.found.FirstLatents = first, picture
	}
	return scores, err
}

// plain spends what is left on plain pictures.
func (s *Search) plain(ctx context.Context, first bool) error {
	before, picture, n := s.found.First, s.found.FirstLatents, s.Left()/s.Cost()
	_, err := s.Evaluate(ctx, s.draw(n), n)
	if !first {
		s.found.First, s.found.FirstLatents = before, picture
	}
	return err
}

// runs repeats a run until the budget does not pay for another picture; first tells the run that starts from the seed's noise. A run
// may end without a picture, when nothing in it could be scored.
func (s *Search) runs(run func(first bool) error) error {
	for s.Left() >= s.Cost() {
		before := s.found.NFE
		if err := run(before == 0); err != nil {
			return err
		}
		if s.found.NFE == before {
			return nil
		}
	}
	return nil
}

// stops turns shares of a run into step indices from 1 to Len-1, in order and each once. A plan of one step has none.
func (s *Search) stops(shares []float64) ([]int, error) {
	var out []int
	for _, f := range shares {
		if !(f > 0 && f < 1) {
			return nil, fmt.Errorf("sampling: a check after %v of the run; it must lie between 0 and 1", f)
		}
		if n := s.Plan.Len(); n > 1 {
			out = append(out, min(max(int(math.Round(f*float64(n))), 1), n-1))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// bestOf is the index of the highest score, the first of equal ones; -1 when all are NaN.
func bestOf(scores []float64) int {
	if best := topOf(scores, 1); len(best) > 0 {
		return best[0]
	}
	return -1
}

// topOf are the indices of the n highest scores, best first and the first of equal ones first, without any NaN.
func topOf(scores []float64, n int) []int {
	var out []int
	for i, v := range scores {
		if !math.IsNaN(v) {
			out = append(out, i)
		}
	}
	slices.SortStableFunc(out, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	return out[:min(n, len(out))]
}

// gather copies the chosen images of x, which holds images of equal size one after another.
func gather(x []float32, size int, images []int) []float32 {
	out := make([]float32, 0, size*len(images))
	for _, k := range images {
		out = append(out, x[k*size:(k+1)*size]...)
	}
	return out
}
