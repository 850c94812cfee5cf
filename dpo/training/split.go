package training

import (
	"context"
	"slices"

	"winnow/internal/ldm"
)

// Some exports take one timestep for all rows of a call. A batch of several timesteps then goes through the network group by group: forth
// once to have all outputs, which the loss may mix, and forth and back once more with each group's part of the derivative. The sum of
// the groups' derivatives is that of the batch.

// groups are the rows of each timestep, or nil where one call does.
func (t *Trainer) groups(in *rows) [][]int {
	if !t.oneTimestep {
		return nil
	}
	var order []float64
	at := map[float64][]int{}
	for i, v := range in.t {
		if at[v] == nil {
			order = append(order, v)
		}
		at[v] = append(at[v], i)
	}
	if len(order) < 2 {
		return nil
	}
	out := make([][]int, len(order))
	for i, v := range order {
		out[i] = at[v]
	}
	return out
}

// predict is what the network makes of rows.
func (t *Trainer) predict(ctx context.Context, dst []float32, in *rows, cond ldm.Cond) error {
	groups := t.groups(in)
	if groups == nil {
		return t.ldm.DenoiseRows(ctx, dst, in.x, in.n, in.height, in.width, in.t, cond)
	}
	for _, g := range groups {
		some := in.pick(g)
		out := make([]float32, len(some.x))
		if err := t.ldm.DenoiseRows(ctx, out, some.x, some.n, in.height, in.width, some.t[:1], cond.Pick(g)); err != nil {
			return err
		}
		putRows(dst, out, g)
	}
	return nil
}

// gradient is predict and the way back to the factors, and to the text embeddings if that is wanted, as [ldm.Pipeline.FactorGradient].
func (t *Trainer) gradient(ctx context.Context, dst []float32, in *rows, cond ldm.Cond, text bool, cot func() ([]float32, error)) (map[string][]float32, error) {
	o, groups := ldm.FactorOptions{Hidden: text, Checkpoint: t.config.Checkpoint}, t.groups(in)
	if groups == nil {
		return t.ldm.FactorGradient(ctx, dst, in.x, in.n, in.height, in.width, in.t, cond, o, cot)
	}
	if err := t.predict(ctx, dst, in, cond); err != nil {
		return nil, err
	}
	slope, err := cot()
	if err != nil {
		return nil, err
	}
	var sum map[string][]float32
	for _, g := range groups {
		some := in.pick(g)
		grads, err := t.ldm.FactorGradient(ctx, make([]float32, len(some.x)), some.x, some.n, in.height, in.width, some.t[:1], cond.Pick(g), o,
			func() ([]float32, error) { return pickRows(slope, in.n, g), nil })
		if err != nil {
			return nil, err
		}
		if sum == nil {
			sum = map[string][]float32{}
		}
		in.addGroup(sum, grads, g)
	}
	return sum, nil
}

// addGroup adds the derivatives of a group of rows to those of the batch. Those with respect to text embeddings are the rows' own.
func (in *rows) addGroup(sum, grads map[string][]float32, g []int) {
	for name, v := range grads {
		own := name == ldm.HiddenStates || name == ldm.TextEmbeds
		into, ok := sum[name]
		switch {
		case !ok && own:
			into = make([]float32, len(v)/len(g)*in.n)
			sum[name] = into
		case !ok:
			sum[name] = slices.Clone(v)
			continue
		}
		if own {
			putRows(into, v, g)
			continue
		}
		for i, x := range v {
			into[i] += x
		}
	}
}

// pick takes some rows.
func (in *rows) pick(at []int) rows {
	out := rows{n: len(at), height: in.height, width: in.width, x: pickRows(in.x, in.n, at)}
	for _, i := range at {
		out.t = append(out.t, in.t[i])
	}
	return out
}

// pickRows takes some of n rows of equal size.
func pickRows(v []float32, n int, at []int) []float32 {
	size := len(v) / n
	out := make([]float32, 0, len(at)*size)
	for _, i := range at {
		out = append(out, v[i*size:(i+1)*size]...)
	}
	return out
}

// putRows is the way back of pickRows.
func putRows(dst, src []float32, at []int) {
	size := len(src) / len(at)
	for k, i := range at {
		copy(dst[i*size:(i+1)*size], src[k*size:(k+1)*size])
	}
}
