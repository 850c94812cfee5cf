package sampling

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A network that answers with the target predicts the clean latents and the noise that it was made from, whatever it predicts.
func TestPrediction_Target(t *testing.T) {
	s, err := New(Config{Class: "DDIMScheduler", NumTrainTimesteps: 1000, BetaStart: 0.00085, BetaEnd: 0.012, BetaSchedule: "scaled_linear", PredictionType: Epsilon})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	clean, noise := make([]float32, 64), make([]float32, 64)
	for i := range clean {
		clean[i], noise[i] = float32(r.NormFloat64()), float32(r.NormFloat64())
	}
	x, target := make([]float32, 64), make([]float32, 64)
	for _, kind := range []Prediction{Epsilon, VPrediction, CleanSample} {
		for _, at := range []int{0, 1, 500, 998} {
			alphaBar := s.Schedule().AlphaBar(at)
			s.Schedule().AddNoise(x, clean, noise, at)
			if err := kind.Target(target, clean, noise, alphaBar); err != nil {
				t.Fatal(err)
			}
			data, _ := kind.data(alphaBar)
			eps, _ := kind.epsilon(alphaBar)
			for i := range x {
				x0 := data.x*float64(x[i]) + data.out*float64(target[i])
				e := eps.x*float64(x[i]) + eps.out*float64(target[i])
				// Each is divided by its share in x, which rounds at 6e-8 of x.
				if d := math.Abs(x0-float64(clean[i])) * math.Sqrt(alphaBar); d > 1e-6 {
					t.Errorf("%s at %d: clean latents are off by %g", kind, at, d)
				}
				if d := math.Abs(e-float64(noise[i])) * math.Sqrt(1-alphaBar); d > 1e-6 {
					t.Errorf("%s at %d: noise is off by %g", kind, at, d)
				}
			}
		}
	}
	if err := Prediction("flow").Target(x, clean, noise, 0.5); err == nil {
		t.Error("an unknown prediction has a target")
	}
}
