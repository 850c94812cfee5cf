package sampling_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"winnow/sampling"
)

func TestMinSNRWeightGolden(t *testing.T) {
	data, err := os.ReadFile("../tests/golden/minsnr.json")
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Rows []struct {
			Gamma       float64
			AlphaBar    []float64  `json:"alpha_bar"`
			Epsilon     []*float64 // null where diffusers' formula is 0/0
			VPrediction []*float64 `json:"v_prediction"`
			Sample      []*float64
		}
	}
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, row := range g.Rows {
		for p, want := range map[sampling.Prediction][]*float64{
			sampling.Epsilon: row.Epsilon, sampling.VPrediction: row.VPrediction, sampling.CleanSample: row.Sample,
		} {
			for i, a := range row.AlphaBar {
				got, err := p.MinSNRWeight(a, row.Gamma)
				if err != nil {
					t.Fatal(err)
				}
				w := 1.0
				if want[i] != nil {
					w = *want[i]
				}
				compared++
				// diffusers squares a quotient of float32 roots.
				if !(math.Abs(got-w) <= 1e-6*w) {
					t.Errorf("%s: weight %v at ᾱ %v and γ %v, want %v", p, got, a, row.Gamma, w)
				}
			}
		}
	}
	if compared != 6*3*9 {
		t.Errorf("%d weights compared", compared)
	}
}

func TestMinSNRWeightLimits(t *testing.T) {
	for _, c := range []struct {
		p       sampling.Prediction
		a, want float64
	}{
		{sampling.Epsilon, 0, 1},
		{sampling.Epsilon, 1, 0},
		{sampling.Epsilon, math.SmallestNonzeroFloat64, 1},
		{sampling.VPrediction, 0, 0},
		{sampling.VPrediction, 1, 0},
		{sampling.CleanSample, 0, 0},
		{sampling.CleanSample, 1, 5},
	} {
		if got, err := c.p.MinSNRWeight(c.a, 5); err != nil || got != c.want {
			t.Errorf("%s at %v: %v, %v, want %v", c.p, c.a, got, err, c.want)
		}
	}
	for _, bad := range [][2]float64{{-0.1, 5}, {1.1, 5}, {math.NaN(), 5}, {0.5, 0}, {0.5, math.NaN()}} {
		if _, err := sampling.Epsilon.MinSNRWeight(bad[0], bad[1]); err == nil {
			t.Errorf("ᾱ %v, γ %v was accepted", bad[0], bad[1])
		}
	}
	if _, err := sampling.Prediction("flow").MinSNRWeight(0.5, 5); err == nil {
		t.Error("an unknown prediction was accepted")
	}
}
