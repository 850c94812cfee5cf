package training

import (
	"math"
	"strings"
	"testing"
)

// B is zero, A is as PEFT draws it, and two adapters start alike.
func TestInitialise(t *testing.T) {
	for init, spread := range map[string]func(rank, in int) float64{
		"kaiming":    func(_, in int) float64 { return 1 / math.Sqrt(3*float64(in)) },
		"gaussian":   func(rank, _ int) float64 { return 1 / float64(rank) },
		"orthogonal": func(_, in int) float64 { return 1 / math.Sqrt(float64(in)) },
	} {
		tr := open(t, Config{Method: "chats", Init: init, Rank: 16})
		got, want, n := 0.0, 0.0, 0
		for _, p := range tr.params {
			square := dot(p.Value, p.Value)
			if strings.HasSuffix(p.Name, "lora_B.weight") {
				if square != 0 {
					t.Errorf("%s: %s is not zero", init, p.Name)
				}
				continue
			}
			rank, in := p.Shape[0], len(p.Value)/p.Shape[0]
			got, n = got+square/float64(len(p.Value)), n+1
			want += math.Pow(spread(rank, in), 2)
			if init == "orthogonal" {
				for i := range rank {
					for k := range i + 1 {
						d := dot(p.Value[i*in:(i+1)*in], p.Value[k*in:(k+1)*in])
						if i == k {
							d--
						}
						if math.Abs(d) > 1e-5 {
							t.Fatalf("%s: rows %d and %d have the product %g", p.Name, i, k, d)
						}
					}
				}
			}
			if other := strings.Replace(p.Name, "lora.chosen.", "lora.rejected.", 1); other != p.Name {
				for i, v := range tr.byName[other].Value {
					if v != p.Value[i] {
						t.Fatalf("%s: %s and %s differ", init, p.Name, other)
					}
				}
			}
		}
		if r := got / want; r < 0.97 || r > 1.03 {
			t.Errorf("%s: the mean square is %.3f of what it should be", init, r)
		}
	}
}

// The scale of a module is alpha over its own rank, or the root of that: PEFT's scaling under rank_pattern.
func TestAdapters_scale(t *testing.T) {
	for _, root := range []bool{false, true} {
		plain := open(t, Config{Method: "dpo", Rank: 4, Alpha: 6, RSLoRA: root})
		module := plain.ldm.Trainable[0].Layers[0].Module
		tr := open(t, Config{Method: "dpo", Rank: 4, Alpha: 6, RSLoRA: root, Ranks: map[string]int{module: 9}})
		for _, l := range tr.ldm.Trainable[0].Layers {
			rank := 4.0
			if l.Module == module {
				rank = 9
			}
			want := 6 / rank
			if root {
				want = 6 / math.Sqrt(rank)
			}
			if math.Abs(l.Scale-want) > 1e-12 || float64(l.Rank) != rank {
				t.Errorf("rslora %v, %s of rank %d: scale %v, want %v", root, l.Module, l.Rank, l.Scale, want)
			}
		}
	}
}
