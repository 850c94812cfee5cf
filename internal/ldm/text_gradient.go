package ldm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"winnow/internal/graph"
	"winnow/internal/lora"
	"winnow/internal/tensor"
)

// EncodeGradient is [Pipeline.EncodeRows], and then the way back to the factors of the text encoders. next is given the embeddings and
// answers with the derivative of a number with respect to them, in their shapes; it may run the denoiser forth and back, as
// [Pipeline.FactorGradient] does. The result is the number's derivative with respect to each factor, by [lora.Param.Name].
func (p *Pipeline) EncodeGradient(ctx context.Context, prompts []string, o TextOptions, next func(Embeds) (Embeds, error)) (map[string][]float32, error) {
	w := &textWay{p: p, prompts: prompts, o: o, next: next, factors: map[string][]float32{}}
	return w.factors, w.encoder(ctx, 0)
}

// textWay is a way through all text encoders and back.
type textWay struct {
	p       *Pipeline
	prompts []string
	o       TextOptions
	next    func(Embeds) (Embeds, error)
	out     textOutputs
	slope   Embeds // what next says
	factors map[string][]float32
}

// encoder runs encoder i; those behind it, next, and their ways back run between its own way forth and back.
func (w *textWay) encoder(ctx context.Context, i int) error {
	if i == len(w.p.texts) {
		if err := w.p.readT5(ctx, w.prompts, w.o.Truncate, &w.out); err != nil {
			return err
		}
		return w.turn()
	}
	in, err := w.p.textInputs(i, w.prompts, w.o)
	if err != nil {
		return err
	}
	names, err := w.p.textNames(i)
	if err != nil {
		return err
	}
	spec := graph.GradientSpec{Outputs: names, Wrt: w.p.factorsOf(component(lora.TextEncoder, i), nil), Checkpoint: w.o.Checkpoint}
	if len(spec.Wrt) == 0 {
		return fmt.Errorf("ldm: %s has no trainable adapter", w.p.texts[i].Path())
	}
	back, err := w.p.texts[i].VJP(ctx, in, spec, func(res map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
		w.out.add(names, res)
		if err := w.encoder(ctx, i+1); err != nil {
			return nil, err
		}
		cot, err := cotangent(names[0], res[names[0]], w.part(i))
		if err != nil || len(names) == 1 {
			return cot, err
		}
		pooled, err := cotangent(names[1], res[names[1]], w.pooledPart(i))
		maps.Copy(cot, pooled)
		return cot, err
	})
	for name, t := range back {
		w.factors[name] = t.Float32s()
	}
	return err
}

// turn asks for the derivative with respect to the embeddings.
func (w *textWay) turn() error {
	e, err := w.p.embeds(&w.out)
	if err != nil {
		return err
	}
	if w.slope, err = w.next(e); err != nil {
		return err
	}
	return errors.Join(sameShape(w.slope.Hidden, e.Hidden), sameShape(w.slope.Pooled, e.Pooled))
}

func sameShape(slope, of tensor.Tensor) error {
	if slope.DType != of.DType || !slices.Equal(slope.Shape, of.Shape) {
		return fmt.Errorf("ldm: derivatives %v%v with respect to text embeddings %v%v", slope.DType, slope.Shape, of.DType, of.Shape)
	}
	return nil
}

// part is the derivative with respect to the hidden states of encoder i, which are its columns among those of all. In SD3's embeddings
// the tokens of T5 follow.
func (w *textWay) part(i int) []float32 {
	from := 0
	for _, h := range w.out.hidden[:i] {
		from += h.Shape[2]
	}
	of, all := w.out.hidden[i].Shape, w.slope.Hidden
	out := make([]float32, 0, w.out.hidden[i].Elems())
	for n := range of[0] {
		for token := range of[1] {
			at := (n*all.Shape[1]+token)*all.Shape[2] + from
			out = append(out, all.F32()[at:at+of[2]]...)
		}
	}
	return out
}

// pooledPart is the derivative with respect to the pooled embedding of encoder i: its columns, or all where the others have none.
func (w *textWay) pooledPart(i int) []float32 {
	all := w.slope.Pooled
	if !w.p.SD3 {
		return all.F32()
	}
	from, width := 0, w.out.pooled[i].Shape[1]
	for _, t := range w.out.pooled[:i] {
		from += t.Shape[1]
	}
	out := make([]float32, 0, all.Shape[0]*width)
	for n := range all.Shape[0] {
		out = append(out, all.F32()[n*all.Shape[1]+from:n*all.Shape[1]+from+width]...)
	}
	return out
}
