package sampling

import (
	"context"
	"errors"
	"math"
)

// DNOOptions are the settings of [DNO]. Zero means the value of the paper's code, a negative number means none.
type DNOOptions struct {
	Iterations  int     // from one set of noises, 100; then the search starts again from fresh noise
	Rate        float64 // of Adam, 0.01
	Clip        float64 // largest length of the gradient of all noises together, 1
	Regulariser float64 // weight of [NoiseRegulariser] of all noises together, 0
	// Concentration is the weight γ of [Concentration] of all noises together, 0: in their order, and in Permutations random ones,
	// 100, fresh in each iteration, which count as much as that together. Dims is the length of the vectors, 4.
	Concentration      float64
	Dims, Permutations int
}

// DNO climbs the score by changing all noise of a run, the initial one and that of every step, with Adam. (The paper's code takes
// AdamW, whose weight decay of 0.01 shrinks the noise; here it is 0.) An iteration of S steps costs 3·S − 1 evaluations of one
// picture. With a sampler that adds no noise only the initial one is left. The best picture on the way counts.
// (Tang et al. 2024, Direct Noise Optimization, arXiv 2405.18881.)
func DNO(g Gradients, o DNOOptions) Method {
	o.Iterations = orElse(o.Iterations, 100)
	o.Rate, o.Clip, o.Regulariser = orElse(o.Rate, 0.01), max(orElse(o.Clip, 1), 0), max(o.Regulariser, 0)
	o.Concentration, o.Dims, o.Permutations = max(o.Concentration, 0), orElse(o.Dims, 4), max(orElse(o.Permutations, 100), 0)
	return func(ctx context.Context, s *Search) error {
		const most = math.MaxFloat64
		err := checkSpans("DNO", span{"iterations", float64(o.Iterations), 1, most}, span{"rate", o.Rate, math.SmallestNonzeroFloat64, most},
			span{"clip", o.Clip, 0, most}, span{"regulariser", o.Regulariser, 0, most},
			span{"concentration", o.Concentration, 0, most}, span{"dims", float64(o.Dims), 1, float64(s.Size / 2)})
		if err := errors.Join(err, g.check("DNO", true)); err != nil {
			return err
		}
		first := true
		return s.restarts(ctx, func(noise []float32) error {
			v := s.variables(noise, first)
			first = false
			a := newAdam(len(v.all))
			for range o.Iterations {
				if stop, err := s.dnoStep(ctx, g, o, v, a); err != nil || stop {
					return err
				}
			}
			return nil
		})
	}
}

// dnoStep is one iteration; stop says that the picture cannot be scored.
func (s *Search) dnoStep(ctx context.Context, g Gradients, o DNOOptions, v *variables, a *adam) (stop bool, err error) {
	c, err := s.climb(ctx, g, v.initial, v.steps)
	if err != nil || math.IsNaN(c.score) {
		return true, err
	}
	from := v.initial
	if s.draws() {
		from = nil // the initial noise alone does not give the picture
	}
	if _, err := s.Finish(ctx, c.latents, from, 1); err != nil {
		return true, err
	}
	loss := v.loss(c)
	if o.Regulariser > 0 {
		pull := make([]float32, len(v.all))
		NoiseRegulariser(pull, v.all)
		addTimes(loss, o.Regulariser, wide(pull))
	}
	if o.Concentration > 0 {
		addTimes(loss, o.Concentration, s.concentrate(v.all, o.Dims, o.Permutations))
	}
	cut(loss, o.Clip)
	a.step(v.all, loss, o.Rate)
	return false, nil
}

// concentrate is the gradient of [Concentration] of noise in its order and in random ones.
func (s *Search) concentrate(noise []float32, dims, permutations int) []float64 {
	pull := make([]float32, len(noise))
	Concentration(pull, noise, dims, nil)
	out := wide(pull)
	if permutations > 0 {
		orders := make([][]int, permutations)
		for i := range orders {
			orders[i] = s.permutation(len(noise))
		}
		Concentration(pull, noise, dims, orders)
		addTimes(out, 1, wide(pull))
	}
	return out
}

// permutation is a random order of n things. (Fisher and Yates.)
func (s *Search) permutation(n int) []int {
	out, draws := make([]int, n), make([]float32, n)
	s.stream.Uniform(draws)
	for i := range out {
		k := min(int(float64(draws[i])*float64(i+1)), i)
		out[i], out[k] = out[k], i
	}
	return out
}

// variables are all noises of a run in one slice, and views of it.
type variables struct {
	all, initial []float32
	steps        [][]float32
}

// variables lays out a run: the first has the noise inside the sampler that Evaluate uses, later ones draw it.
func (s *Search) variables(initial []float32, first bool) *variables {
	steps := s.innerNoises()
	v := &variables{all: append([]float32(nil), initial...), steps: make([][]float32, len(steps))}
	for _, z := range steps {
		if z != nil && !first {
			s.Normal(z)
		}
		v.all = append(v.all, z...)
	}
	v.initial = v.all[:s.Size]
	rest := v.all[s.Size:]
	for i, z := range steps {
		if z != nil {
			v.steps[i], rest = rest[:s.Size], rest[s.Size:]
		}
	}
	return v
}

// loss is the derivative of minus the score with respect to all noises.
func (v *variables) loss(c climb) []float64 {
	out := make([]float64, len(v.all))
	addTimes(out, -1, c.initial)
	rest := out[len(v.initial):]
	for i, z := range v.steps {
		if z != nil {
			addTimes(rest, -1, c.steps[i])
			rest = rest[len(z):]
		}
	}
	return out
}

// adam is torch.optim.AdamW with its usual constants and without weight decay.
type adam struct {
	mean, square []float64
	count        int
}

func newAdam(n int) *adam { return &adam{mean: make([]float64, n), square: make([]float64, n)} }

func (a *adam) step(x []float32, gradient []float64, rate float64) {
	const beta1, beta2, epsilon = 0.9, 0.999, 1e-8
	a.count++
	c1, c2 := 1-math.Pow(beta1, float64(a.count)), 1-math.Pow(beta2, float64(a.count))
	for i, g := range gradient {
		a.mean[i] += (1 - beta1) * (g - a.mean[i])
		a.square[i] = beta2*a.square[i] + (1-beta2)*g*g
		x[i] = float32(float64(x[i]) - rate/c1*a.mean[i]/(math.Sqrt(a.square[i]/c2)+epsilon))
	}
}
