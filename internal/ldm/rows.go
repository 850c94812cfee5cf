package ldm

import (
	"fmt"
	"slices"

	"winnow/internal/tensor"
	"winnow/sampling"
)

// Pick gives the chosen rows, in order; a row may be chosen more than once.
func (e Embeds) Pick(rows []int) Embeds {
	return Embeds{Hidden: pickRows(e.Hidden, rows), Pooled: pickRows(e.Pooled, rows)}
}

// Stack puts the rows of e before those of f. Guidance runs the unconditional half first, as diffusers does.
func (e Embeds) Stack(f Embeds) (Embeds, error) {
	return Join([]Embeds{e, f})
}

// Join puts the rows of all together.
func Join(all []Embeds) (Embeds, error) {
	hidden, err := joinRows(all, func(e *Embeds) tensor.Tensor { return e.Hidden })
	if err != nil {
		return Embeds{}, err
	}
	pooled, err := joinRows(all, func(e *Embeds) tensor.Tensor { return e.Pooled })
	return Embeds{Hidden: hidden, Pooled: pooled}, err
}

func joinRows(all []Embeds, part func(*Embeds) tensor.Tensor) (tensor.Tensor, error) {
	if len(all) == 0 || part(&all[0]).DType == tensor.Invalid {
		return tensor.Tensor{}, nil
	}
	first, rows := part(&all[0]), 0
	for i := range all {
		t := part(&all[i])
		if t.DType != first.DType || !slices.Equal(t.Shape[1:], first.Shape[1:]) {
			return tensor.Tensor{}, fmt.Errorf("embeddings %v%v and %v%v do not stack", first.DType, first.Shape, t.DType, t.Shape)
		}
		rows += t.Shape[0]
	}
	out, at := tensor.New(first.DType, append([]int{rows}, first.Shape[1:]...)...), 0
	for i := range all {
		at += copy(out.Data[at:], part(&all[i]).Data)
	}
	return out, nil
}

// Proxy gives the proxy prompts of CHATS for the prompts e, see [sampling.Proxy]. null has as many rows as e, or one for all.
func (e Embeds) Proxy(null Embeds, alpha float64) Embeds {
	return Embeds{Hidden: proxyRows(e.Hidden, null.Hidden, alpha), Pooled: proxyRows(e.Pooled, null.Pooled, alpha)}
}

func proxyRows(cond, null tensor.Tensor, alpha float64) tensor.Tensor {
	if cond.DType == tensor.Invalid {
		return cond
	}
	out := tensor.New(tensor.F32, cond.Shape...)
	c, n, o := cond.F32(), null.F32(), out.F32()
	for at := 0; at < len(c); at += len(n) {
		sampling.Proxy(o[at:at+len(n)], c[at:at+len(n)], n, alpha)
	}
	return out
}

// Rows is the number of prompts.
func (e Embeds) Rows() int { return e.Hidden.Shape[0] }

// Cond is e as denoiser conditioning for pictures of the given size in pixels, with diffusers' default size
// conditioning: original and target size are the picture's, nothing is cropped.
func (e Embeds) Cond(height, width int) Cond {
	ids := tensor.New(tensor.F32, e.Rows(), 6)
	for i := range e.Rows() {
		copy(ids.F32()[6*i:], []float32{float32(height), float32(width), 0, 0, float32(height), float32(width)})
	}
	return Cond{Hidden: e.Hidden, Pooled: e.Pooled, TimeIDs: ids}
}

// Pick gives the conditioning of the chosen rows, in order. Scales of a single number hold for all rows.
func (c Cond) Pick(rows []int) Cond {
	out := Cond{Hidden: pickRows(c.Hidden, rows), Pooled: pickRows(c.Pooled, rows), TimeIDs: pickRows(c.TimeIDs, rows)}
	for _, row := range rows {
		if row < c.Negative {
			out.Negative++
		}
	}
	for name, v := range c.Scales {
		if out.Scales == nil {
			out.Scales = map[string][]float32{}
		}
		some := v
		if len(v) > 1 {
			some = make([]float32, len(rows))
			for i, row := range rows {
				some[i] = v[row]
			}
		}
		out.Scales[name] = some
	}
	return out
}

func pickRows(t tensor.Tensor, rows []int) tensor.Tensor {
	if t.DType == tensor.Invalid {
		return t
	}
	out := tensor.New(t.DType, append([]int{len(rows)}, t.Shape[1:]...)...)
	size := len(t.Data) / t.Shape[0]
	for i, row := range rows {
		copy(out.Data[i*size:], t.Data[row*size:(row+1)*size])
	}
	return out
}
