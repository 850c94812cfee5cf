package sampling_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"winnow/sampling"
)

func TestGuidanceEqualsDiffusers(t *testing.T) {
	data, err := os.ReadFile("../tests/golden/guidance.json") // written by tests/oracle/schedulers.py
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Images       int
		Uncond, Cond string
		Cases        []struct {
			Scale, Rescale float64
			Guided         string
		}
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	uncond, cond := decode32(t, golden.Uncond), decode32(t, golden.Cond)
	for _, c := range golden.Cases {
		got := make([]float32, len(cond))
		sampling.Guide(got, uncond, cond, c.Scale)
		sampling.Rescale(got, cond, golden.Images, c.Rescale)
		if dev := relativeError(got, decode32(t, c.Guided)); dev > 1e-6 {
			t.Errorf("scale %v rescale %v deviates by %.2g", c.Scale, c.Rescale, dev)
		}
	}
	if len(golden.Cases) == 0 {
		t.Error("no cases")
	}
}

func TestGuideMayWriteIntoItsInputs(t *testing.T) {
	uncond, cond := []float32{1, 2}, []float32{3, -1}
	want := []float32{5, -4}
	a, b := slices.Clone(uncond), slices.Clone(cond)
	sampling.Guide(a, a, cond, 2)
	sampling.Guide(b, uncond, b, 2)
	if !slices.Equal(a, want) || !slices.Equal(b, want) {
		t.Errorf("got %v and %v, want %v", a, b, want)
	}
}

// noisy gives n numbers without a pattern.
func noisy(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

// The identities of CHATS, on a network that mixes latents and prompt.
func TestContrastIdentities(t *testing.T) {
	x, prompt, null := noisy(64, 1), noisy(64, 2), noisy(64, 3)
	net := func(c []float32) []float32 {
		out := make([]float32, len(x))
		for i := range out {
			out[i] = float32(math.Tanh(float64(x[i] + 2*c[i] - c[(i+1)%len(c)])))
		}
		return out
	}
	proxy := func(alpha float64) []float32 {
		out := make([]float32, len(prompt))
		sampling.Proxy(out, prompt, null, alpha)
		return out
	}
	for _, scale := range []float64{0, 0.5, 1, 6.5} {
		got, want := make([]float32, len(x)), make([]float32, len(x))
		sampling.Contrast(got, net(prompt), net(proxy(-1)), scale)
		if !slices.Equal(got, net(prompt)) {
			t.Errorf("scale %g, alpha −1, one network: not the prediction for the prompt", scale)
		}
		sampling.Contrast(got, net(prompt), net(proxy(0)), scale)
		sampling.Guide(want, net(null), net(prompt), scale+1)
		if dev := relativeError(got, want); dev > 1e-6 {
			t.Errorf("scale %g, alpha 0, one network: deviates by %.2g from guidance at %g", scale, dev, scale+1)
		}
	}
	got := make([]float32, len(x))
	sampling.Contrast(got, net(prompt), net(proxy(0.5)), 0)
	if !slices.Equal(got, net(prompt)) {
		t.Error("scale 0 is not the prediction for the prompt")
	}
	if got := proxy(0); !slices.Equal(got, null) {
		t.Error("alpha 0 is not the null prompt")
	}
	// By hand: c = 2, ∅ = 1, α = 0.5 gives −1 + 1.5; ε⁺ = 3, ε⁻ = 1, s = 5 gives 3 + 10.
	one := []float32{0}
	if sampling.Proxy(one, []float32{2}, []float32{1}, 0.5); one[0] != 0.5 {
		t.Errorf("proxy %g, want 0.5", one[0])
	}
	if sampling.Contrast(one, []float32{3}, []float32{1}, 5); one[0] != 13 {
		t.Errorf("combination %g, want 13", one[0])
	}
}

func TestInterval(t *testing.T) {
	plan := planOf(t, stable(t, "euler", nil), 10, nil)
	for text, want := range map[string]func(i int) bool{
		"0%,100%": func(int) bool { return true },
		"0,+Inf":  func(int) bool { return true },
		"20%,50%": func(i int) bool { return i >= 2 && i < 5 },
		"0.5,3":   func(i int) bool { return plan.Sigmas[i] > 0.5 && plan.Sigmas[i] <= 3 },
	} {
		v, err := sampling.ParseInterval(text)
		if err != nil || v.String() != text {
			t.Errorf("%s: read as %s, %v", text, v, err)
		}
		some := 0
		for i := range plan.Len() {
			if v.Contains(plan, i) != want(i) {
				t.Errorf("%s: step %d of σ %g: %v", text, i, plan.Sigmas[i], v.Contains(plan, i))
			}
			if want(i) {
				some++
			}
		}
		if some == 0 {
			t.Errorf("%s covers no step", text)
		}
	}
	for _, text := range []string{"", "1", "2,1", "1,1", "-1,2", "a,2", "1,b", "10%,2", "0%,101%", "NaN,2", "1,NaN"} {
		if v, err := sampling.ParseInterval(text); err == nil {
			t.Errorf("%q was read as %v", text, v)
		}
	}
}
