package minibench

import (
	"bytes"
	"math"
	"testing"

	"winnow/assets"
	"winnow/diffusion"
	"winnow/internal/miniworld"
)

func TestInterval(t *testing.T) {
	v := make([]float64, 400)
	for i := range v {
		v[i] = float64(i % 2)
	}
	f := Interval(v)
	// The mean of 400 fair coins has a standard error of 0.025.
	if f.Mean != .5 || math.Abs(f.Low-(.5-1.96*.025)) > .006 || math.Abs(f.High-(.5+1.96*.025)) > .006 {
		t.Errorf("interval %v, want 0.500 [0.451, 0.549] or close", f)
	}
	if g := Interval(v); g != f {
		t.Errorf("a second call gives %v after %v", g, f)
	}
	if f := Interval([]float64{.3, .3, .3}); f.Low != f.High || math.Abs(f.Mean-.3) > 1e-15 {
		t.Errorf("constant values give %v", f)
	}
}

// A few prompts of the held-out set: guidance must help, and the figures must be far from those of a broken pipeline,
// which draws noise (strict 0, frac below 0.3).
func TestRun(t *testing.T) {
	data, err := assets.MiniPrompts("heldout")
	if err != nil {
		t.Fatal(err)
	}
	prompts, err := miniworld.ReadPrompts(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	p, err := diffusion.Open(t.Context(), diffusion.Mini, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r, err := Run(t.Context(), p, prompts[:48], Options{Seed: 11, Guidance: 3})
	if err != nil {
		t.Fatal(err)
	}
	if r.Frac.Mean < .8 || r.Strict.Mean < .25 || r.Clean.Mean < .7 {
		t.Errorf("strict %v, frac %v, clean %v: the embedded model does better than this", r.Strict, r.Frac, r.Clean)
	}
	total := 0
	for _, k := range r.StrictByKind {
		total += k.Prompts
	}
	if total != 48 || r.Prompts != 48 || r.Steps != 25 {
		t.Errorf("report %+v", r)
	}
}
