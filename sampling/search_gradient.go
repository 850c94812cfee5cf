package sampling

import (
	"context"
	"fmt"
	"math"
)

// GradientVerifier is a [Verifier] that also gives the derivative of each image's score with respect to that image's latents, one
// after another as in x. It may be a differentiable relative of the search's verifier: it decides where to go, and the verifier
// decides what is best.
type GradientVerifier func(ctx context.Context, x []float32, images int) (scores []float64, gradient []float32, err error)

// Pullback runs the network as a [Denoiser] does, writing the prediction for x into output, then asks cotangent for the derivative
// of a number with respect to output, and returns that with respect to x: the cotangent times the network's Jacobian, guidance
// included. It must not change or keep x.
type Pullback func(ctx context.Context, output, x []float32, t float64, cotangent func() ([]float32, error)) (gradient []float32, err error)

// Gradients are what methods that climb a reward need.
//
// A pass backward through the network counts as one more evaluation, times Problem.NFE as a pass forward does: the derivative with
// respect to the latents takes one product with the transposed weights where the pass forward takes one product, so both cost about
// the same, and budgets stay a measure of work (training also needs the derivative of the weights, whence the usual factor 2). A
// pass forward that is repeated because its inner values were not kept counts again.
type Gradients struct {
	Verify GradientVerifier
	// Network is the way back through the network. Guidance and DAS do without where it is nil: they take the predicted noise for
	// constant, so that the derivative of the prediction with respect to the latents is 1/√ᾱ, which costs no evaluation. While noise
	// dominates that is far too long (a perfect network for normal data has √ᾱ), so guide late, by a normalised size, or within a limit.
	Network Pullback
}

// check reports what is missing.
func (g Gradients) check(method string, network bool) error {
	if g.Verify == nil || network && g.Network == nil {
		return fmt.Errorf("sampling: %s needs a verifier with a derivative, and the way back through the network", method)
	}
	return nil
}

// slope scores latents and gives the derivatives. An image that cannot be scored has the score NaN and the derivative 0.
func (s *Search) slope(ctx context.Context, v GradientVerifier, x []float32, images int) (scores []float64, gradient []float32, err error) {
	for first := 0; first < images; first += s.Batch {
		n := min(s.Batch, images-first)
		some, g, err := v(ctx, x[first*s.Size:(first+n)*s.Size], n)
		if err == nil && (len(some) != n || len(g) != n*s.Size) {
			err = fmt.Errorf("sampling: the verifier gave %d scores and %d derivatives for %d images of %d numbers", len(some), len(g), n, s.Size)
		}
		if err != nil {
			return nil, nil, err
		}
		scores, gradient = append(scores, some...), append(gradient, g...)
	}
	s.found.Calls += images
	for i, v := range scores {
		if g := gradient[i*s.Size : (i+1)*s.Size]; math.IsNaN(v) || math.IsInf(v, 0) || !finite(g) {
			scores[i] = math.NaN()
			s.found.Dropped++
			clear(g)
		}
	}
	return scores, gradient, nil
}

// pull runs the network for a state of at most Batch images and carries a derivative back. after is given the output and answers
// with the derivative with respect to it; the result is that with respect to the latents of the state by way of the network only.
func (s *Search) pull(ctx context.Context, back Pullback, st State, after func(output []float32) ([]float64, error)) ([]float64, error) {
	input, output := make([]float32, len(st.X)), make([]float32, len(st.X))
	s.Plan.Input(input, st)
	g, err := back(ctx, output, input, s.Plan.Timesteps[st.Index], func() ([]float32, error) {
		s.found.NFE += st.Images * s.stepCost(st.Index)
		cot, err := after(output)
		return narrow(cot), err
	})
	if err != nil {
		return nil, fmt.Errorf("sampling: derivative of step %d of %d (timestep %g): %w", st.Index+1, s.Plan.Len(), s.Plan.Timesteps[st.Index], err)
	}
	if len(g) != len(st.X) {
		return nil, fmt.Errorf("sampling: the network's derivative has %d numbers, the latents have %d", len(g), len(st.X))
	}
	s.found.NFE += st.Images * s.stepCost(st.Index)
	scale := s.Plan.InputScale(st.Index)
	out := wide(g)
	for i := range out {
		out[i] *= scale
	}
	return out, nil
}

// climb is one picture with the derivative of its score with respect to all noise that went into it.
type climb struct {
	latents []float32
	score   float64
	initial []float64   // with respect to the initial noise, of unit variance
	steps   [][]float64 // with respect to the noise of each step; nil where none was added
}

// climbCost is the number of evaluations that climb spends: every step but the last runs forward, and forward again with the
// derivative, so that the values inside the network of one step only are held; the last runs forward and backward once.
func (s *Search) climbCost() int { return 3*s.Cost() - s.stepCost(s.Plan.Len()-1) }

// climb makes a picture from its noise and carries the derivative of its score back through the whole run.
func (s *Search) climb(ctx context.Context, g Gradients, initial []float32, noises [][]float32) (climb, error) {
	if s.climbCost() > s.Left() {
		return climb{}, errSpent
	}
	source := func(i int) Noise { return func(dst []float32, _, _ float64) { copy(dst, noises[i]) } }
	last := s.Plan.Len() - 1
	states := make([]State, last+1)
	var err error
	if states[0], err = s.Start(initial, 1); err != nil {
		return climb{}, err
	}
	for i := range last {
		if states[i+1], _, err = s.Advance(ctx, states[i], i+1, source(i)); err != nil {
			return climb{}, err
		}
	}
	c := climb{steps: make([][]float64, last+1)}
	var at stateGradient
	for i := last; i >= 0; i-- {
		var step stepGradient
		way, err := s.pull(ctx, g.Network, states[i], func(output []float32) ([]float64, error) {
			if i == last {
				if at, err = s.top(ctx, g, &c, states[i], output, source(i)); err != nil {
					return nil, err
				}
			}
			step, err = s.Plan.stepGradient(states[i], output, at)
			return step.output, err
		})
		if err != nil {
			return climb{}, err
		}
		at, c.steps[i] = step.state, step.noise
		addTimes(at.x, 1, way)
	}
	c.initial = times(s.Plan.InitNoiseSigma, at.x)
	return c, ctx.Err()
}

// top does the last step and scores the picture.
func (s *Search) top(ctx context.Context, g Gradients, c *climb, st State, output []float32, source Noise) (stateGradient, error) {
	end, _, err := s.Plan.advance(st, output, source)
	if err != nil {
		return stateGradient{}, err
	}
	scores, slope, err := s.slope(ctx, g.Verify, end.X, 1)
	if err != nil {
		return stateGradient{}, err
	}
	c.latents, c.score = end.X, scores[0]
	return stateGradient{x: wide(slope)}, nil
}

// innerNoises is the noise inside the run of one picture, the same that Evaluate uses; entries of steps without noise are nil.
func (s *Search) innerNoises() [][]float32 {
	out := make([][]float32, s.Plan.Len())
	source := s.inner(1)
	for i := range out {
		if s.Plan.Draws(i) {
			out[i] = make([]float32, s.Size)
			source(out[i], s.Plan.Sigmas[i], s.Plan.Sigmas[i+1])
		}
	}
	return out
}

// Ahead is a state that the model was asked about, with the score of the clean latents that it predicts for each image, NaN where
// there is none, and the derivative of that with respect to the latents of the state.
type Ahead struct {
	Seen
	Scores   []float64
	Gradient []float64
}

// passes is the number of passes through the network in LookAhead.
func (g Gradients) passes() int {
	if g.Network == nil {
		return 1
	}
	return 2
}

// LookAhead is Look with scores and their derivative, carried back to the latents of the state: through the network, which for one
// that predicts noise is the product with (I − √(1−ᾱ)·Jε)/√ᾱ, or without it, the product with 1/√ᾱ. It is errSpent, and does nothing,
// where the budget does not pay for all images.
func (s *Search) LookAhead(ctx context.Context, g Gradients, st State) (Ahead, error) {
	if st.Images*g.passes()*s.stepCost(st.Index) > s.Left() {
		return Ahead{}, errSpent
	}
	row, err := s.Plan.Row(st.Index, st.Calls)
	if err != nil {
		return Ahead{}, err
	}
	if g.Network == nil {
		return s.lookCheaply(ctx, g, row, st)
	}
	out := Ahead{Seen: Seen{State: st}}
	for first := 0; first < st.Images; first += s.Batch {
		if err := ctx.Err(); err != nil {
			return Ahead{}, err
		}
		n := min(s.Batch, st.Images-first)
		part := State{Index: st.Index, Calls: st.Calls, Images: n, X: st.X[first*s.Size : (first+n)*s.Size]}
		var direct []float64
		way, err := s.pull(ctx, g.Network, part, func(output []float32) ([]float64, error) {
			clean, scores, slope, err := s.slopeOfClean(ctx, g, row, part, output)
			out.Output, out.Clean, out.Scores = append(out.Output, output...), append(out.Clean, clean...), append(out.Scores, scores...)
			direct = slope
			through := make([]float64, len(slope))
			addTimes(through, row.DataOut, slope)
			return through, err
		})
		if err != nil {
			return Ahead{}, err
		}
		addTimes(way, row.DataX, direct)
		out.Gradient = append(out.Gradient, way...)
	}
	return out, nil
}

// lookCheaply takes the predicted noise for constant. Without any signal in the latents that has no meaning, and the derivative is 0.
func (s *Search) lookCheaply(ctx context.Context, g Gradients, row Row, st State) (Ahead, error) {
	seen, err := s.Look(ctx, st)
	if err != nil {
		return Ahead{}, err
	}
	out := Ahead{Seen: seen}
	if _, out.Scores, out.Gradient, err = s.slopeOfClean(ctx, g, row, st, seen.Output); err != nil {
		return Ahead{}, err
	}
	signal, _ := s.Plan.Level(st.Index)
	for i, v := range out.Gradient {
		if out.Gradient[i] = v / signal; signal == 0 {
			out.Gradient[i] = 0
		}
	}
	return out, nil
}

// slopeOfClean scores the predicted clean latents; the derivative is with respect to them before clipping.
func (s *Search) slopeOfClean(ctx context.Context, g Gradients, row Row, st State, output []float32) (clean []float32, scores []float64, slope []float64, err error) {
	raw := row.clean(st.X, output)
	clean = append([]float32(nil), raw...)
	s.Plan.scheduler.config.limit(clean, st.Images)
	scores, narrowSlope, err := s.slope(ctx, g.Verify, clean, st.Images)
	if err != nil {
		return nil, nil, nil, err
	}
	s.glimpsed(st.Index, clean, scores)
	slope = wide(narrowSlope)
	return clean, scores, slope, s.Plan.limitGradient(slope, raw)
}
