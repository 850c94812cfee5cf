package sampling

import (
	"fmt"
	"math"
)

// stateGradient is the derivative of a number with respect to what a [State] holds; nil slices are zero.
type stateGradient struct {
	x, saved []float64
	past     [][]float64
}

// stepGradient is the derivative before a step: with respect to the state, without the way through the network, and to the
// network's output and the noise.
type stepGradient struct {
	state         stateGradient
	output, noise []float64
}

// stepGradient carries a derivative back through [Plan.Step], which is linear but for clipping. next is the derivative with
// respect to the state that the step led to.
func (p *Plan) stepGradient(st State, output []float32, next stateGradient) (stepGradient, error) {
	row, err := p.Row(st.Index, st.Calls)
	if err != nil {
		return stepGradient{}, err
	}
	n := len(st.X)
	var kept []float64
	out := stepGradient{state: stateGradient{saved: next.saved}, output: make([]float64, n), noise: times(row.Noise, next.x)}
	past := next.past
	if (row.KeepX != 0 || row.KeepOut != 0 || row.KeepData != 0) && len(past) > 0 {
		kept, past = past[0], past[1:]
	}
	x := make([]float64, n)
	if row.Save {
		addTimes(x, 1, next.saved)
		out.state.saved = nil
	}
	out.state.saved = sumOf(n, out.state.saved, row.Saved, next.x)
	out.state.past = append(out.state.past, past...)
	for k, c := range row.Past {
		for len(out.state.past) <= k {
			out.state.past = append(out.state.past, nil)
		}
		out.state.past[k] = sumOf(n, out.state.past[k], c, next.x)
	}
	clean := make([]float64, n)
	addTimes(clean, row.Data, next.x)
	addTimes(clean, row.KeepData, kept)
	if err := p.limitGradient(clean, row.clean(st.X, output)); err != nil {
		return stepGradient{}, err
	}
	for _, part := range []struct {
		to                []float64
		data, next, keeps float64
	}{{x, row.DataX, row.X, row.KeepX}, {out.output, row.DataOut, row.Out, row.KeepOut}} {
		addTimes(part.to, part.data, clean)
		addTimes(part.to, part.next, next.x)
		addTimes(part.to, part.keeps, kept)
	}
	out.state.x = x
	return out, nil
}

// limitGradient carries g back through the clipping of predictions, in place: it is zero beyond the bounds, as torch.clamp's.
func (p *Plan) limitGradient(g []float64, clean []float32) error {
	c := &p.scheduler.config
	switch {
	case c.Thresholding:
		return fmt.Errorf("sampling: %s: thresholding has no useful derivative; set it to false in the scheduler's configuration", c.Class)
	case c.ClipSample:
		for i, v := range clean {
			if math.Abs(float64(v)) > c.ClipSampleRange {
				g[i] = 0
			}
		}
	}
	return nil
}

// times is c·v; nil where that is zero.
func times(c float64, v []float64) []float64 {
	if c == 0 || v == nil {
		return nil
	}
	out := make([]float64, len(v))
	addTimes(out, c, v)
	return out
}

// sumOf is v + c·w as a slice of its own, or v where there is nothing to add.
func sumOf(n int, v []float64, c float64, w []float64) []float64 {
	if c == 0 || w == nil {
		return v
	}
	out := make([]float64, n)
	addTimes(out, 1, v)
	addTimes(out, c, w)
	return out
}

// addTimes adds c·v to dst; v may be nil.
func addTimes(dst []float64, c float64, v []float64) {
	if c == 0 {
		return
	}
	for i, x := range v {
		dst[i] += c * x
	}
}

func wide(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

func narrow(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}
