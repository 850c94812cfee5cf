package sampling_test

import (
	"encoding/json"
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
