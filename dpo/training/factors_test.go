package training

import (
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// A is as PEFT draws it, BA is zero, and two adapters start alike. With "orthogonal" all numbers of A and B have the variance
// (rank/2) · 0.01 / rank, and they are of half the rank.
func TestInitialise(t *testing.T) {
	for init, spread := range map[string]func(rank, in int) float64{
		"kaiming":    func(_, in int) float64 { return 1 / math.Sqrt(3*float64(in)) },
		"gaussian":   func(rank, _ int) float64 { return 1 / float64(rank) },
		"orthogonal": func(_, _ int) float64 { return math.Sqrt(0.005) },
	} {
		tr := open(t, Config{Method: "chats", Init: init, Rank: 16})
		got, want, n := 0.0, 0.0, 0
		for _, p := range tr.params {
			square := dot(p.Value, p.Value)
			if strings.HasSuffix(p.Name, "lora_B.weight") {
				if init == "orthogonal" {
					got, n, want = got+square/float64(len(p.Value)), n+1, want+0.005
					halfRanked(t, p.Name, tr.byName[strings.Replace(p.Name, "lora_B", "lora_A", 1)].Value, p.Value, p.Shape[1])
				} else if square != 0 {
					t.Errorf("%s: %s is not zero", init, p.Name)
				}
				continue
			}
			rank, in := p.Shape[0], len(p.Value)/p.Shape[0]
			got, n = got+square/float64(len(p.Value)), n+1
			want += math.Pow(spread(rank, in), 2)
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

// halfRanked fails if BA is not zero, or if A or B is of more or less than half the rank.
func halfRanked(t *testing.T, name string, a, b []float32, rank int) {
	t.Helper()
	in, out := len(a)/rank, len(b)/rank
	wide := mat.NewDense(rank, in, nil)
	for i, v := range a {
		wide.Set(i/in, i%in, float64(v))
	}
	tall := mat.NewDense(out, rank, nil)
	for i, v := range b {
		tall.Set(i/rank, i%rank, float64(v))
	}
	var product mat.Dense
	product.Mul(tall, wide)
	if off := mat.Norm(&product, 2) / (mat.Norm(tall, 2) * mat.Norm(wide, 2)); off > 1e-6 {
		t.Errorf("%s: BA is %.1e of A and B", name, off)
	}
	for _, m := range []*mat.Dense{wide, tall} {
		var svd mat.SVD
		if !svd.Factorize(m, mat.SVDNone) {
			t.Fatal("no singular values")
		}
		v := svd.Values(nil)
		if v[rank/2-1] < 1e-3*v[0] || len(v) > rank/2 && v[rank/2] > 1e-5*v[0] {
			t.Errorf("%s: singular values %v of rank %d", name, v, rank)
		}
	}
}
