package optim

import (
	"fmt"
	"math"
)

// AdafactorOptions are the constants of Adafactor, in the names of transformers.
type AdafactorOptions struct {
	ClipThreshold float64 // the update's root mean square is cut to this, > 0
	DecayRate     float64 // < 0: β₂ of step t is 1 − t^DecayRate
	Eps1          float64 // added to the squared gradient, > 0
	Eps2          float64 // least scale of a parameter under ScaleParameter

	ScaleParameter bool // multiply the rate by the parameter's root mean square
	RelativeStep   bool // rate min(0.01, 1/√t) instead of Step's, which is not read
	WarmupInit     bool // with RelativeStep: min(1e-6·t, 1/√t)
}

// adafactor is transformers' Adafactor (Shazeer and Stern 2018, arXiv 1804.04235, algorithms 4 and 5 with the square's eps inside the
// means), which diffusion trainers use; torch.optim.Adafactor puts eps elsewhere and scales always. Of a parameter [..., R, C] the
// second moment is kept as the means over rows [..., R] and over columns [..., C], one pair for each matrix: a convolution's
// [out, in, kh, kw] has out·in pairs of kh by kw, which is hardly a saving. Vectors and scalars keep it in full.
//
// Means and norms are summed in float64 in the order of the elements, then rounded; the rest is float32.
type adafactor struct {
	state
	o       Options
	params  []*Param
	moments []factors // by parameter
	sums    [][]float64
}

// factors is the state of one parameter.
type factors struct {
	rows, cols int       // of each matrix
	row, col   []float32 // means of the squared gradient; nil where full is set
	full       []float32
	mean       []float32 // first moment of the update; nil without Beta1
	roots      []float32 // scratch: 1/√col of one matrix
	line       []float32 // scratch: the updates of one row, or of a stretch of a vector
}

func newAdafactor(params []*Param, o Options) (Optimizer, error) {
	switch f := o.Adafactor; {
	case !(f.ClipThreshold > 0):
		return nil, fmt.Errorf("clip_threshold is %v and must be above 0: start from DefaultOptions", f.ClipThreshold)
	case !(f.DecayRate < 0) || math.IsInf(f.DecayRate, 0):
		return nil, fmt.Errorf("decay_rate is %v and must be below 0, usually -0.8", f.DecayRate)
	case !(f.Eps1 > 0) || float32(f.Eps1) == 0 || !(f.Eps2 >= 0):
		return nil, fmt.Errorf("eps is (%v, %v): the first must be above 0 as a float32, the second not negative", f.Eps1, f.Eps2)
	case f.WarmupInit && !f.RelativeStep:
		return nil, fmt.Errorf("warmup_init needs relative_step")
	}
	a := &adafactor{state: newState(), o: o, params: params, sums: make([][]float64, o.Threads)}
	for _, p := range params {
		a.moments = append(a.moments, a.factors(p))
	}
	return a, nil
}

func (a *adafactor) factors(p *Param) factors {
	var f factors
	if d := len(p.Shape); d >= 2 {
		f.rows, f.cols = p.Shape[d-2], p.Shape[d-1]
		f.roots, f.line = make([]float32, f.cols), make([]float32, f.cols)
		f.row = a.floats(p.Name+".exp_avg_sq_row", p.Shape[:d-1]...)
		f.col = a.floats(p.Name+".exp_avg_sq_col", append(append([]int{}, p.Shape[:d-2]...), f.cols)...)
	} else {
		f.full = a.floats(p.Name+".exp_avg_sq", p.Shape...)
		f.line = make([]float32, min(chunk, len(p.Value)))
	}
	if a.o.Beta1 > 0 {
		f.mean = a.floats(p.Name+".exp_avg", p.Shape...)
	}
	return f
}

// Name implements Optimizer.
func (a *adafactor) Name() string { return "adafactor" }

// Step implements Optimizer. Parameters are shared out among the goroutines, each whole.
func (a *adafactor) Step(lr float64) {
	mustHaveGradients(a.params)
	a.steps++
	parallel(a.o.Threads, len(a.params), 1, func(worker, i int) {
		p, f := a.params[i], a.moments[i]
		rate := a.rate(lr, p)
		a.observe(p.Grad, f, &a.sums[worker])
		squares := 0.0
		f.each(p.Grad, func(_ int, u []float32) { squares += sumSquares(u) })
		rms := float32(math.Sqrt(squares) / math.Sqrt(float64(len(p.Grad))))
		a.apply(p, f, rate, max(rms/float32(a.o.Adafactor.ClipThreshold), 1))
	})
}

// rate is the learning rate of one parameter.
func (a *adafactor) rate(lr float64, p *Param) float32 {
	o, t := a.o.Adafactor, float64(a.steps)
	if o.RelativeStep {
		lr = 1e-2
		if o.WarmupInit {
			lr = 1e-6 * t
		}
		lr = min(lr, 1/math.Sqrt(t))
	}
	if !o.ScaleParameter {
		return float32(lr)
	}
	rms := float32(math.Sqrt(sumSquares(p.Value)) / math.Sqrt(float64(len(p.Value))))
	return max(float32(o.Eps2), rms) * float32(lr)
}

// observe moves the second moment towards the squares of g. sums is scratch.
func (a *adafactor) observe(g []float32, f factors, sums *[]float64) {
	rise := math.Pow(float64(a.steps), a.o.Adafactor.DecayRate)
	keep, add, eps := float32(1-rise), float32(1-(1-rise)), float32(a.o.Adafactor.Eps1)
	if f.full != nil {
		for i, x := range g {
			f.full[i] = mulAdd(add, float32(x*x)+eps, float32(f.full[i]*keep))
		}
		return
	}
	if len(*sums) < f.cols {
		*sums = make([]float64, f.cols)
	}
	col := (*sums)[:f.cols]
	for m := range len(f.row) / f.rows { // matrices
		clear(col)
		for r := m * f.rows; r < (m+1)*f.rows; r++ {
			row := 0.0
			for c, x := range g[r*f.cols : (r+1)*f.cols] {
				square := float64(float32(x*x) + eps)
				row += square
				col[c] += square
			}
			f.row[r] = mulAdd(add, float32(row/float64(f.cols)), float32(f.row[r]*keep))
		}
		for c, s := range col {
			at := &f.col[m*f.cols+c]
			*at = mulAdd(add, float32(s/float64(f.rows)), float32(*at*keep))
		}
	}
}

// each calls use with the updates from element at on, stretch by stretch: g over the root of its second moment, before clipping.
func (f factors) each(g []float32, use func(at int, u []float32)) {
	for at := 0; at < len(f.full); at += len(f.line) {
		u := f.line[:min(len(f.line), len(g)-at)]
		for i := range u {
			u[i] = rsqrt(f.full[at+i]) * g[at+i]
		}
		use(at, u)
	}
	if f.full != nil {
		return
	}
	for m := range len(f.row) / f.rows {
		rows, sum := f.row[m*f.rows:(m+1)*f.rows], 0.0
		for _, x := range rows {
			sum += float64(x)
		}
		mean := float32(sum / float64(f.rows))
		for c, x := range f.col[m*f.cols : (m+1)*f.cols] {
			f.roots[c] = rsqrt(x)
		}
		for r, x := range rows {
			rowFactor := rsqrt(x / mean)
			from := (m*f.rows + r) * f.cols
			for c, y := range g[from : from+f.cols] {
				f.line[c] = float32(rowFactor*f.roots[c]) * y
			}
			use(from, f.line)
		}
	}
}

func rsqrt(x float32) float32 { return 1 / float32(math.Sqrt(float64(x))) }

// apply decays p and moves it by its updates over clip.
func (a *adafactor) apply(p *Param, f factors, rate, clip float32) {
	decay := float32(-a.o.WeightDecay * float64(rate))
	beta, rise := float32(a.o.Beta1), float32(1-a.o.Beta1)
	f.each(p.Grad, func(at int, line []float32) {
		for i, u := range line {
			u = u / clip * rate
			if f.mean != nil {
				u = mulAdd(rise, u, float32(f.mean[at+i]*beta))
				f.mean[at+i] = u
			}
			x := p.Value[at+i]
			if decay != 0 {
				x = mulAdd(decay, x, x)
			}
			p.Value[at+i] = x - u
		}
	})
}
