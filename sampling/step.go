package sampling

import (
	"fmt"
	"slices"
)

// State is where a run stands: the latents before step Index and what earlier steps left behind. [Plan.Step] never
// changes a State, so keeping one is enough to come back to it; Clone only if you want to write into X.
type State struct {
	Index  int       // the next step; Plan.Len() when the run is done
	Calls  int       // steps done since Start or Resume
	Images int       // how many images X holds, one after another
	X      []float32 // latents

	past  [][]float32 // newest first
	saved []float32
}

// Clone is a copy that shares no memory with st.
func (st State) Clone() State {
	out := st
	out.X = slices.Clone(st.X)
	out.saved = slices.Clone(st.saved)
	out.past = make([][]float32, len(st.past))
	for i, h := range st.past {
		out.past[i] = slices.Clone(h)
	}
	return out
}

// Select makes a state of the chosen images, in the order given; an image may be chosen more than once. It is what
// particle methods need between steps.
func (st State) Select(images ...int) (State, error) {
	size := len(st.X) / max(st.Images, 1)
	pick := func(src []float32) []float32 {
		if src == nil {
			return nil
		}
		out := make([]float32, 0, size*len(images))
		for _, k := range images {
			out = append(out, src[k*size:(k+1)*size]...)
		}
		return out
	}
	if len(images) == 0 {
		return State{}, fmt.Errorf("sampling: no image selected")
	}
	for _, k := range images {
		if k < 0 || k >= st.Images {
			return State{}, fmt.Errorf("sampling: image %d selected of %d", k, st.Images)
		}
	}
	out := State{Index: st.Index, Calls: st.Calls, Images: len(images), X: pick(st.X), saved: pick(st.saved)}
	for _, h := range st.past {
		out.past = append(out.past, pick(h))
	}
	return out, nil
}

// Step does one step: the model's raw output for the scaled latents of st (see [Plan.Input]) gives the next state and
// the predicted clean latents. noise holds standard normal numbers, as many as there are latents; it may be nil in
// steps that draw none. Neither st nor the slices are changed or kept, except that the returned state may share memory
// with st.
func (p *Plan) Step(st State, output, noise []float32) (next State, clean []float32, err error) {
	row, err := p.Row(st.Index, st.Calls)
	if err != nil {
		return State{}, nil, err
	}
	n := len(st.X)
	if len(output) != n {
		return State{}, nil, fmt.Errorf("sampling: step %d: model output has %d numbers, latents have %d", st.Index+1, len(output), n)
	}
	if row.Noise != 0 && len(noise) != n {
		return State{}, nil, fmt.Errorf("sampling: step %d: needs %d noise numbers, got %d", st.Index+1, n, len(noise))
	}
	if err := row.enough(st); err != nil {
		return State{}, nil, err
	}
	clean = row.clean(st.X, output)
	p.scheduler.config.limit(clean, st.Images)
	next = State{Index: st.Index + 1, Calls: st.Calls + 1, Images: st.Images, past: st.past, saved: st.saved}
	next.X = row.next(st, output, clean, noise)
	if row.Save {
		next.saved = st.X
	}
	if kept := row.kept(st.X, output, clean); kept != nil {
		next.past = append([][]float32{kept}, st.past[:min(len(st.past), historyLen-1)]...)
	}
	return next, clean, nil
}

// historyLen is the largest number of past values that any sampler looks at: PNDM's third Runge-Kutta group seen from
// its first multistep call.
const historyLen = 12

// enough reports a state that does not hold what the row needs; only states put together by hand lack it.
func (r *Row) enough(st State) error {
	if len(st.past) < len(r.Past) || r.Saved != 0 && len(st.saved) != len(st.X) {
		return fmt.Errorf("sampling: step %d: the state holds no history of %d steps; states come from Start, Resume and Step",
			st.Index+1, st.Calls)
	}
	return nil
}

// clean gives the predicted clean latents before clipping.
func (r *Row) clean(x, output []float32) []float32 {
	out := make([]float32, len(x))
	if r.sigma != 0 {
		cx, co := float32(r.DataX), float32(r.DataOut)
		for i, v := range x {
			out[i] = float32(cx*v) + float32(co*output[i])
		}
		return out
	}
	for i, v := range x {
		out[i] = float32(r.DataX*float64(v) + r.DataOut*float64(output[i]))
	}
	return out
}

func (r *Row) next(st State, output, clean, noise []float32) []float32 {
	out := make([]float32, len(st.X))
	if r.sigma != 0 {
		for i, v := range st.X {
			out[i] = v + float32((v-clean[i])/r.sigma*r.delta)
		}
		if r.Noise != 0 {
			c := float32(r.Noise)
			for i, z := range noise {
				out[i] += float32(z * c)
			}
		}
		return out
	}
	sum := make([]float64, len(out))
	accumulate(sum, r.X, st.X)
	accumulate(sum, r.Out, output)
	accumulate(sum, r.Data, clean)
	accumulate(sum, r.Saved, st.saved)
	for k, c := range r.Past {
		accumulate(sum, c, st.past[k])
	}
	accumulate(sum, r.Noise, noise)
	for i, v := range sum {
		out[i] = float32(v)
	}
	return out
}

func (r *Row) kept(x, output, clean []float32) []float32 {
	switch {
	case r.KeepX == 0 && r.KeepOut == 0 && r.KeepData == 0:
		return nil
	case r.KeepX == 0 && r.KeepOut == 0 && r.KeepData == 1:
		return clean
	}
	sum := make([]float64, len(x))
	accumulate(sum, r.KeepX, x)
	accumulate(sum, r.KeepOut, output)
	accumulate(sum, r.KeepData, clean)
	out := make([]float32, len(x))
	for i, v := range sum {
		out[i] = float32(v)
	}
	return out
}

// accumulate adds c·v to sum; a zero coefficient leaves v unread, so that it may be absent or infinite.
func accumulate(sum []float64, c float64, v []float32) {
	if c == 0 {
		return
	}
	for i, x := range v {
		sum[i] += c * float64(x)
	}
}
