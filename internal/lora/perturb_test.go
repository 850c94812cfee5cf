package lora

import (
	"slices"
	"strings"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// Self-attentions are found in the files of all exporters, and samples that are not perturbed are what they were, to the last bit.
func TestPerturb(t *testing.T) {
	for kind, want := range map[string]int{"sd15": 4, "sd2": 4, "sdxl": 8, "mini": 0} {
		g := network(t, kind)
		nodes := len(g.Nodes)
		all, modules, err := Perturb(g, []string{"."})
		if err != nil {
			t.Fatal(kind, err)
		}
		if len(g.Nodes) != nodes || want > 0 && len(modules) != want || len(modules) == 0 {
			t.Errorf("%s: %d self-attentions, want %d: %v", kind, len(modules), want, modules)
		}
		for _, m := range modules {
			if !strings.HasSuffix(m, ".attn1") {
				t.Errorf("%s: %s is taken for self-attention", kind, m)
			}
		}
		one, mid, err := Perturb(g, []string{"mid"})
		if err != nil || len(mid) == 0 || !strings.HasPrefix(mid[0], "mid_block") || len(mid) >= len(modules) {
			t.Errorf("%s: mid is %v (%v)", kind, mid, err)
		}
		in := values(types(g, 2), 1)
		with := func(g *graph.Graph, flags ...float32) tensor.Tensor {
			in := mapsWith(in, PerturbName, tensor.FromF32(flags, len(flags)))
			return run(t, g, in)
		}
		plain := run(t, g, in)
		half := plain.Elems() / 2
		if got := with(all, 0, 0); !slices.Equal(got.F32(), plain.F32()) {
			t.Errorf("%s: without a perturbed sample it is another network, by %v", kind, difference(got, plain))
		}
		mixed := with(all, 0, 1).F32()
		if !slices.Equal(mixed[:half], plain.F32()[:half]) || slices.Equal(mixed[half:], plain.F32()[half:]) {
			t.Errorf("%s: the flags do not belong to their samples", kind)
		}
		if other := with(one, 0, 1).F32(); slices.Equal(other[half:], mixed[half:]) || slices.Equal(other[half:], plain.F32()[half:]) {
			t.Errorf("%s: one layer is as all or none", kind)
		}
		// Adapters of the same modules come on top.
		adapted, err := Inject(all, Adapter{Name: "a", Rank: 2, Targets: []string{"to_out.0", "to_v", "to_q"}})
		if err != nil {
			t.Fatal(kind, err)
		}
		more := adapted.Types(1)
		inputs := mapsWith(in, PerturbName, tensor.FromF32([]float32{0, 1}, 2))
		for name, typ := range more {
			inputs[name] = tensor.New(typ.DType, typ.Shape...) // factors and scale of 0
		}
		if got := run(t, adapted.Graph, inputs).F32(); !slices.Equal(got, mixed) {
			t.Errorf("%s: adapters of scale 0 change a perturbed network", kind)
		}
	}
	g := network(t, "sd15")
	for _, layer := range []string{"nosuch", "("} {
		if _, _, err := Perturb(g, []string{"mid", layer}); err == nil || !strings.Contains(err.Error(), layer) {
			t.Errorf("%s: %v", layer, err)
		}
	}
}

func mapsWith(in map[string]tensor.Tensor, name string, v tensor.Tensor) map[string]tensor.Tensor {
	out := map[string]tensor.Tensor{name: v}
	for k, v := range in {
		out[k] = v
	}
	return out
}
