package ldm

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"winnow/assets"
	"winnow/internal/lora"
	"winnow/internal/model"
)

// seeing opens the embedded model with features, and with a trainable adapter that is far from nothing.
func seeing(t *testing.T) *Pipeline {
	t.Helper()
	p, err := Open(t.Context(), model.FSFolder(assets.Mini(), "mini"), Options{
		Features: true, Trainable: []lora.Adapter{{Name: "default", Rank: 2, Targets: []string{"to_q", "to_v"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	for _, f := range p.Trainable[0].Factors {
		for i := range f.Value {
			f.Value[i] = float32(i%7)/3 - 1
		}
	}
	return p
}

// Features are rows of their own, follow latents, timestep and prompt, and know nothing of adapters; the way back is the derivative.
func TestFeatures(t *testing.T) {
	p := seeing(t)
	emb, err := p.Encode(t.Context(), []string{"a red circle", "two green stars"}, false)
	if err != nil {
		t.Fatal(err)
	}
	const size = 4 * 8 * 8
	x := make([]float32, 2*size)
	for i := range x {
		x[i] = float32(math.Sin(float64(3 * i)))
	}
	see := func(x []float32, ts []float64, e Embeds) []float32 {
		v, err := p.Features(t.Context(), x, len(x)/size, 8, 8, ts, e.Cond(64, 64))
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(v)
	}
	before, both := p.Evaluations(), see(x, []float64{300, 700}, emb)
	if got := p.Evaluations() - before; got != 1 {
		t.Errorf("two rows to the middle are %d evaluations, want one", got)
	}
	half := len(both) / 2
	for row, ts := range []float64{300, 700} {
		alone := see(x[row*size:(row+1)*size], []float64{ts}, emb.Pick([]int{row}))
		if d := apartBy(alone, both[row*half:(row+1)*half]); d > 1e-6 {
			t.Errorf("row %d alone is off by %g", row, d)
		}
	}
	if again := see(x, []float64{300, 700}, emb.Pick([]int{1, 0})); apartBy(again, both) < 1e-3 {
		t.Error("the prompt has no part in the features")
	}
	if again := see(x, []float64{301, 700}, emb); apartBy(again[:half], both[:half]) < 1e-6 || !slices.Equal(again[half:], both[half:]) {
		t.Error("the timestep has no part in the features, or in those of another row")
	}
	for _, f := range p.Trainable[0].Factors {
		clear(f.Value)
	}
	if again := see(x, []float64{300, 700}, emb); !slices.Equal(again, both) {
		t.Error("the adapter has a part in the features")
	}
	weigh := make([]float32, len(both))
	for i := range weigh {
		weigh[i] = float32(math.Cos(float64(5*i))) / 100
	}
	for _, checkpoint := range []bool{false, true} {
		back, err := p.FeaturesGradient(t.Context(), x, 2, 8, 8, []float64{300, 700}, emb.Cond(64, 64), checkpoint,
			func(v []float32) ([]float32, error) {
				if d := apartBy(v, both); d > 1e-6 {
					t.Errorf("ahead of the way back features are off by %g", d)
				}
				return weigh, nil
			})
		if err != nil {
			t.Fatal(err)
		}
		at := func(by float32) float64 {
			moved, sum := slices.Clone(x), 0.0
			for i := range moved {
				moved[i] += by * float32(math.Sin(float64(i)))
			}
			for i, v := range see(moved, []float64{300, 700}, emb) {
				sum += float64(v) * float64(weigh[i])
			}
			return sum
		}
		want, scale := 0.0, 0.0
		for i, v := range back {
			want += float64(v) * math.Sin(float64(i))
			scale += float64(v) * float64(v)
		}
		const h = 0.02
		got := (8*(at(h)-at(-h)) - (at(2*h) - at(-2*h))) / (12 * float64(float32(h)))
		if math.Abs(got-want) > 1e-3*math.Sqrt(scale) {
			t.Errorf("derivative %v, differences say %v (of %v)", want, got, math.Sqrt(scale))
		}
	}
}

// apartBy is the norm of a − b over that of b.
func apartBy(a, b []float32) float64 {
	d, n := 0.0, 0.0
	for i, v := range b {
		d += (float64(a[i]) - float64(v)) * (float64(a[i]) - float64(v))
		n += float64(v) * float64(v)
	}
	return math.Sqrt(d / n)
}

func TestFeatures_refused(t *testing.T) {
	p := openMini(t)
	if _, err := p.Features(t.Context(), make([]float32, 4*8*8), 1, 8, 8, []float64{1}, Cond{}); err == nil {
		t.Error("a pipeline without features gave some")
	}
	down := errors.New("down")
	p = seeing(t)
	emb, err := p.Encode(t.Context(), []string{"a"}, false)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.FeaturesGradient(t.Context(), make([]float32, 4*8*8), 1, 8, 8, []float64{1}, emb.Cond(64, 64), false, func([]float32) ([]float32, error) { return nil, down })
	if !errors.Is(err, down) {
		t.Error(err)
	}
	// A file that hides the middle is named, with the cure. Equal lengths keep the protobuf whole.
	files := copyFS(t, assets.Mini())
	hidden := *files["unet/model.onnx"]
	hidden.Data = []byte(strings.ReplaceAll(string(hidden.Data), "mid_block", "mad_block"))
	files["unet/model.onnx"] = &hidden
	_, err = Open(t.Context(), model.FSFolder(files, "mini"), Options{Features: true})
	if err == nil || !strings.Contains(err.Error(), "no mid block") || !strings.Contains(err.Error(), "dpo") {
		t.Errorf("without a middle: %v", err)
	}
}
