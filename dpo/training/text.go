package training

import (
	"context"
	"maps"
	"slices"

	"winnow/internal/ldm"
	"winnow/internal/lora"
	"winnow/internal/tensor"
)

// Text encoders that are trained along with the denoiser: the reference reads prompts by the frozen encoders, out of the cache, and the
// policy by the adapted ones, anew in every step. The derivative goes from the loss through the denoiser to the embeddings, and on
// through the encoders, each distinct prompt of a batch once.

// reading is what a row of a batch reads.
type reading struct {
	prompt string
	zeros  bool // embeddings of zeros in place of a prompt: nothing is learnt from these
}

// readings are those of prompts.
func readings(prompts []string) []reading {
	out := make([]reading, len(prompts))
	for i, p := range prompts {
		out[i].prompt = p
	}
	return out
}

// textAdapters are the adapters of every text encoder, none where those stay as they are.
func (t *Trainer) textAdapters() []lora.Adapter {
	if !t.config.TrainText {
		return nil
	}
	out := t.adapters()
	for i := range out {
		out[i].Targets, out[i].Ranks, out[i].Alphas = t.config.TextTargets, nil, nil
	}
	return out
}

// frozen are the options of text encoders without adapters, for n prompts.
func (t *Trainer) frozen(n int) ldm.TextOptions {
	return ldm.TextOptions{Truncate: t.config.Truncate, Scales: t.scales(n, 0)}
}

// embedAs is embed by the text encoders of one of the policy's adapters; "" are the frozen ones.
func (t *Trainer) embedAs(ctx context.Context, adapter string, prompts []string) (ldm.Embeds, error) {
	if adapter == "" || !t.config.TrainText {
		return t.embed(ctx, prompts)
	}
	policy := t.scales(len(prompts), 0)
	policy[adapter] = slices.Repeat([]float32{1}, len(prompts))
	d := t.distinct(readings(prompts), policy)
	e, err := t.ldm.EncodeRows(ctx, d.prompts, d.options(t))
	if err != nil {
		return e, err
	}
	return d.spread(e), nil
}

// policyText gives conditioning for the policy: cond, with the embeddings that the adapted encoders make of the rows' prompts.
func (t *Trainer) policyText(ctx context.Context, in *rows, cond ldm.Cond) (ldm.Cond, error) {
	d := t.distinct(in.text, in.policy)
	if len(d.prompts) == 0 {
		return cond, nil
	}
	e, err := t.ldm.EncodeRows(ctx, d.prompts, d.options(t))
	if err != nil {
		return cond, err
	}
	e = d.spread(e)
	cond.Hidden, cond.Pooled = e.Hidden, e.Pooled
	return cond, nil
}

// policyGradient is gradient for the policy, with respect to the factors of the text encoders, too, where those are trained.
func (t *Trainer) policyGradient(ctx context.Context, dst []float32, in *rows, cond ldm.Cond, cot func() ([]float32, error)) (map[string][]float32, error) {
	d := t.distinct(in.text, in.policy)
	if len(d.prompts) == 0 {
		return t.gradient(ctx, dst, in, cond, false, cot)
	}
	var factors map[string][]float32
	all, err := t.ldm.EncodeGradient(ctx, d.prompts, d.options(t), func(e ldm.Embeds) (ldm.Embeds, error) {
		rows := d.spread(e)
		cond.Hidden, cond.Pooled = rows.Hidden, rows.Pooled
		var err error
		if factors, err = t.gradient(ctx, dst, in, cond, true, cot); err != nil {
			return ldm.Embeds{}, err
		}
		return d.gather(e, factors), nil
	})
	if err != nil {
		return nil, err
	}
	delete(factors, ldm.HiddenStates)
	delete(factors, ldm.TextEmbeds)
	maps.Copy(all, factors)
	return all, nil
}

// distinct are the prompts of rows, each once for every adapter that reads it.
type distinct struct {
	prompts []string
	scales  map[string][]float32 // of adapters
	at      []int                // of each row among the prompts; −1 for zeros
}

// distinct finds the prompts of rows that have the given scales; nil is 1.
func (t *Trainer) distinct(text []reading, policy map[string][]float32) *distinct {
	d := &distinct{scales: map[string][]float32{}}
	seen := map[Key]int{}
	for row, r := range text {
		if r.zeros {
			d.at = append(d.at, -1)
			continue
		}
		scales := make([]float32, len(t.method.Adapters))
		parts := [][]byte{[]byte(r.prompt)}
		for k, name := range t.method.Adapters {
			if scales[k] = 1; policy != nil {
				scales[k] = policy[name][row]
			}
			parts = append(parts, tensor.FromF32(scales[k:k+1], 1).Data)
		}
		key := keyOf(parts...)
		at, ok := seen[key]
		if !ok {
			at = len(d.prompts)
			seen[key], d.prompts = at, append(d.prompts, r.prompt)
			for k, name := range t.method.Adapters {
				d.scales[name] = append(d.scales[name], scales[k])
			}
		}
		d.at = append(d.at, at)
	}
	return d
}

func (d *distinct) options(t *Trainer) ldm.TextOptions {
	return ldm.TextOptions{Truncate: t.config.Truncate, Scales: d.scales, Checkpoint: t.config.Checkpoint}
}

// spread gives every row its embeddings.
func (d *distinct) spread(e ldm.Embeds) ldm.Embeds {
	return ldm.Embeds{Hidden: d.spreadRows(e.Hidden), Pooled: d.spreadRows(e.Pooled)}
}

func (d *distinct) spreadRows(e tensor.Tensor) tensor.Tensor {
	if e.DType == tensor.Invalid {
		return e
	}
	out, size := tensor.New(tensor.F32, append([]int{len(d.at)}, e.Shape[1:]...)...), product(e.Shape[1:])
	for row, at := range d.at {
		if at >= 0 {
			copy(out.F32()[row*size:(row+1)*size], e.F32()[at*size:])
		}
	}
	return out
}

// gather adds up the derivatives of the rows of each prompt, in the shapes of the prompts' embeddings.
func (d *distinct) gather(e ldm.Embeds, slopes map[string][]float32) ldm.Embeds {
	return ldm.Embeds{Hidden: d.gatherRows(e.Hidden, slopes[ldm.HiddenStates]), Pooled: d.gatherRows(e.Pooled, slopes[ldm.TextEmbeds])}
}

func (d *distinct) gatherRows(e tensor.Tensor, slopes []float32) tensor.Tensor {
	if e.DType == tensor.Invalid {
		return e
	}
	out, size := tensor.New(tensor.F32, e.Shape...), product(e.Shape[1:])
	for row, at := range d.at {
		if at < 0 {
			continue
		}
		into := out.F32()[at*size : (at+1)*size]
		for i, v := range slopes[row*size : (row+1)*size] {
			into[i] += v
		}
	}
	return out
}
