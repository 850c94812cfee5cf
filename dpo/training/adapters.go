package training

import (
	"path/filepath"

	"winnow/internal/lora"
	"winnow/internal/tensor"
)

// adapter is one of the trained adapters as a file holds it: of all networks.
func (t *Trainer) adapter(name string) *lora.File {
	f := &lora.File{Networks: map[string][]lora.Factors{}}
	for _, a := range t.ldm.Trainable {
		if a.Name != name {
			continue
		}
		for _, l := range a.Layers {
			f.Networks[a.Network] = append(f.Networks[a.Network], lora.Factors{
				Module: l.Module, A: t.factor(l.A), B: t.factor(l.B), Alpha: l.Scale * float64(l.Rank),
			})
		}
	}
	return f
}

func (t *Trainer) factor(p lora.Param) tensor.Tensor {
	return tensor.FromF32(t.byName[p.Name].Value, p.Shape...)
}

// WriteAdapters writes the adapters into a folder that exists: NAME.safetensors and pytorch_lora_weights.safetensors, or a folder with
// those for each of several adapters. With an average, that is what is written. Equal runs write equal bytes: no times are in them.
func (t *Trainer) WriteAdapters(folder, name string) ([]string, error) {
	if t.ema != nil {
		t.ema.Swap()
		defer t.ema.Swap()
	}
	var out []string
	for _, a := range t.method.Adapters {
		to, as := folder, name
		if len(t.method.Adapters) > 1 {
			to, as = filepath.Join(folder, a), name+"-"+a
			if err := mkdir(to); err != nil {
				return out, err
			}
		}
		paths, err := lora.WriteAll(to, as, t.adapter(a), lora.WriteOptions{Meta: t.meta(as)})
		if err != nil {
			return out, err
		}
		out = append(out, paths...)
	}
	return out, nil
}

// meta is what the adapters' files say about themselves.
func (t *Trainer) meta(name string) lora.Meta {
	c := t.config
	m := lora.Meta{
		Name: name, Model: filepath.Base(t.ldm.Folder.Path("")), Prediction: string(t.scheduler.Config().PredictionType),
		Width: t.size.Width, Height: t.size.Height, Steps: t.done, Seed: &c.Seed, Rate: t.Rate(), Optimizer: c.Optimizer,
		More: map[string]string{"winnow.method": c.Method},
	}
	for k, v := range t.settings() {
		m.More["winnow."+k] = v
	}
	return m
}
