package training

import (
	"fmt"
	"maps"
	"slices"
)

// warm fills the factors with those of Config.InitFrom. B takes in what scales differ by, so that the adapter does what it did. Modules that
// the file says nothing about keep their fresh factors, which do nothing.
func (t *Trainer) warm() error {
	if t.config.InitFrom == "" {
		return nil
	}
	wrong := func(format string, args ...any) error {
		return setting("init-lora", t.config.InitFrom, format, args...)
	}
	if len(t.method.Adapters) > 1 {
		return wrong("%s trains two adapters, which begin alike; leave the flag out", t.method.Name)
	}
	taken := map[string]map[string]bool{}
	for _, a := range t.ldm.Trainable {
		from := t.ldm.Initial[a.Network]
		if from == nil {
			continue
		}
		taken[a.Network] = map[string]bool{}
		for _, l := range a.Layers {
			f, ok := from.Factors(l.Module)
			if !ok {
				continue
			}
			taken[a.Network][l.Module] = true
			into, out := t.byName[l.A.Name], t.byName[l.B.Name]
			if len(into.Value) != f.A.Elems() || len(out.Value) != f.B.Elems() {
				return wrong("module %s has rank %d there and %d here; ask for the same by --rank or --rank-pattern", l.Module, f.Rank(), l.Rank)
			}
			copy(into.Value, f.A.Float32s())
			for i, v := range f.B.Float32s() {
				out.Value[i] = float32(f.Alpha / float64(f.Rank()) / l.Scale * float64(v))
			}
		}
	}
	for _, network := range slices.Sorted(maps.Keys(t.ldm.Initial)) {
		for _, module := range t.ldm.Initial[network].Modules {
			if !taken[network][module] {
				return wrong("it changes %s of the %s, which is not trained and would be as in the model again; train it too, by --target-modules or --train-text-encoder", module, network)
			}
		}
	}
	return nil
}

// warmth tells adapters apart that a training begins with.
func (t *Trainer) warmth() string {
	var sums []byte
	for _, network := range slices.Sorted(maps.Keys(t.ldm.Initial)) {
		sum := t.ldm.Initial[network].Sum()
		sums = append(append(sums, network...), sum[:]...)
	}
	key := keyOf(sums)
	return fmt.Sprintf("%x", key[:8])
}
