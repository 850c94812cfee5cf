package rewards

import (
	"math"
	"testing"
)

// The published formulas by hand: a cosine of .28 and of −.28 under each name.
func TestFormulasOfCosines(t *testing.T) {
	for name, want := range map[string][2]float64{
		HPSv2: {.28, -.28}, HPSv2Legacy: {.28, -.28}, HPSv21: {.28, -.28}, HPSv21Legacy: {.28, -.28},
		PickScore:    {28, -28}, // the logit scale of its checkpoint is about 100
		CLIPScoreB32: {.7, 0}, CLIPScoreB32NoPrefix: {.7, 0}, CLIPScoreL14: {.7, 0}, CLIPScoreL14NoPrefix: {.7, 0},
	} {
		s, err := findSpec(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, cosine := range []float64{.28, -.28} {
			got, slope := s.ofCosine(cosine, config{LogitScale: 100})
			step, _ := s.ofCosine(cosine+1e-6, config{LogitScale: 100})
			if math.Abs(got-want[i]) > 1e-12 || math.Abs((step-got)/1e-6-slope) > 1e-6 {
				t.Errorf("%s: cosine %v scores %v with slope %v, want %v", name, cosine, got, slope, want[i])
			}
		}
	}
}

// TestHead: the linear head reads the feature at length one; a feature of zeros is divided by 1, as the original does.
func TestHead(t *testing.T) {
	h := head{Weight: []float64{1, -2, .5}, Bias: 5}
	for _, c := range []struct {
		feature []float32
		want    float64
	}{
		{[]float32{3, 0, 4}, 5 + .6 + .4},
		{[]float32{30, 0, 40}, 5 + .6 + .4},
		{[]float32{0, 0, 0}, 5},
	} {
		if got := h.score(c.feature); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%v scores %v, want %v", c.feature, got, c.want)
		}
	}
}
