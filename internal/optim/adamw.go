package optim

import (
	"fmt"
	"math"
	"slices"

	"winnow/internal/kernel"
)

// adamW is torch.optim.AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) without amsgrad. Step t, in this order, each line
// rounded to float32 as written, fma being a product and a sum with one rounding:
//
//	p = p·(1 − lr·weight_decay)
//	m = fma(1−β₁, g − m, m)                       torch's lerp_
//	v = fma((1−β₂)·g, g, v·β₂)                    mul_, addcmul_
//	d = √v / √(1−β₂ᵗ) + eps
//	p = p + (−lr/(1−β₁ᵗ))·m / d                   product, then quotient, then sum
//
// Scalars are computed in float64 and rounded once. Torch's own square root is MKL's on some processors and is then an ulp off in
// one value of six; with a correctly rounded one, torch and this give equal bits.
//
// As "adamw8bit" the moments of large parameters are quantised, see adamw8bit.go.
type adamW struct {
	state
	name    string
	o       Options
	params  []*Param
	moments []moments // by parameter
	pieces  []piece
	rise1   []float32   // 1 − β₁, chunk times
	scratch []*adamRoom // by worker
}

// moments are the two moments of one parameter: m and v, or q.
type moments struct {
	m, v []float32
	q    *quantised
}

// adamRoom is a worker's scratch.
type adamRoom struct{ s, t, m, v [chunk]float32 }

func newAdamW(params []*Param, o Options) (Optimizer, error) { return makeAdamW("adamw", params, o) }

func makeAdamW(name string, params []*Param, o Options) (Optimizer, error) {
	if o.Beta2 == 0 || o.Eps == 0 {
		return nil, fmt.Errorf("beta2 %v and eps %v must be above 0, or parameters without a gradient become NaN: "+
			"start from DefaultOptions", o.Beta2, o.Eps)
	}
	a := &adamW{state: newState(), name: name, o: o, params: params, pieces: pieces(params)}
	for _, p := range params {
		if name == "adamw8bit" && len(p.Value) >= minQuantised {
			a.moments = append(a.moments, moments{q: a.quantised(p)})
			continue
		}
		a.moments = append(a.moments, moments{
			m: a.floats(p.Name+".exp_avg", p.Shape...),
			v: a.floats(p.Name+".exp_avg_sq", p.Shape...),
		})
	}
	for range o.Threads {
		a.scratch = append(a.scratch, new(adamRoom))
	}
	a.rise1 = slices.Repeat([]float32{float32(1 - o.Beta1)}, chunk) // kernels take the factors of a fused product and sum as vectors
	return a, nil
}

// Name implements Optimizer.
func (a *adamW) Name() string { return a.name }

// Step implements Optimizer.
func (a *adamW) Step(lr float64) {
	mustHaveGradients(a.params)
	a.steps++
	c := adamConstants(a.o, lr, a.steps)
	parallel(a.o.Threads, len(a.pieces), batch, func(worker, i int) {
		at, room := a.pieces[i], a.scratch[worker]
		p, state := a.params[at.param], a.moments[at.param]
		value, g := p.Value[at.from:at.to], p.Grad[at.from:at.to]
		if state.q != nil {
			a.stepQuantised(value, g, state.q, at, c, room)
			return
		}
		m, v, s := state.m[at.from:at.to], state.v[at.from:at.to], room.s[:len(g)]
		kernel.Sub(s, g, m)
		kernel.MulAdd(m, a.rise1[:len(g)], s, m)
		c.apply(value, g, m, v, room)
	})
}

// adam holds the scalars of one step, rounded to float32.
type adam struct {
	shrink       float32 // 1 − lr·weight decay
	beta1        float32
	beta2, rise2 float32 // β₂, 1 − β₂
	root         float32 // √(1−β₂ᵗ)
	eps          float32
	rate         float32 // −lr/(1−β₁ᵗ)
}

func adamConstants(o Options, lr float64, t int64) adam {
	return adam{
		shrink: float32(1 - float64(lr*o.WeightDecay)),
		beta1:  float32(o.Beta1),
		beta2:  float32(o.Beta2), rise2: float32(1 - o.Beta2),
		root: float32(math.Sqrt(1 - math.Pow(o.Beta2, float64(t)))),
		eps:  float32(o.Eps),
		rate: float32(-lr / (1 - math.Pow(o.Beta1, float64(t)))),
	}
}

// apply moves v towards g², decays p and moves it along m/√v.
func (c adam) apply(p, g, m, v []float32, room *adamRoom) {
	s, t := room.s[:len(g)], room.t[:len(g)]
	kernel.MulScalar(v, v, c.beta2)
	kernel.MulScalar(s, g, c.rise2)
	kernel.MulAdd(v, s, g, v)
	kernel.MulScalar(p, p, c.shrink)
	kernel.Sqrt(s, v)
	kernel.DivScalar(s, s, c.root)
	kernel.AddScalar(s, s, c.eps)
	kernel.MulScalar(t, m, c.rate)
	kernel.Div(t, t, s)
	kernel.Add(p, p, t)
}
