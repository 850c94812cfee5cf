package sampling

import (
	"math"
	"testing"
)

// Noise that is added to latents of a level gives latents of the level that is asked for.
func TestRenoise(t *testing.T) {
	const n = 20000
	for _, sampler := range []string{"ddim", "euler", "ddpm", "dpmpp-2m"} {
		p := newGauss(t, sampler, 7).Plan
		for _, c := range [][2]int{{7, 3}, {5, 4}, {4, 0}, {6, 6}} {
			a, b := p.Level(c[0])
			a2, b2 := p.Level(c[1])
			clean, x, noise := make([]float32, n), make([]float32, n), make([]float32, n)
			NewNoise(1)(clean, 0, 0)
			NewNoise(2)(x, 0, 0)
			NewNoise(3)(noise, 0, 0)
			for i := range x {
				x[i] = float32(a*float64(clean[i]) + b*float64(x[i]))
			}
			if err := p.Renoise(x, x, noise, c[0], c[1]); err != nil {
				t.Fatal(err)
			}
			cross, residue := 0.0, 0.0
			for i, v := range x {
				d := float64(v) - a2*float64(clean[i])
				cross += d * float64(clean[i]) / n
				residue += d * d / n
			}
			if !(math.Abs(residue/(b2*b2)-1) <= 3*math.Sqrt(2./n)) || !(math.Abs(cross) <= 3*b2/math.Sqrt(n)) {
				t.Errorf("%s, %v: the noise has a variance of %v, not %v, and a covariance of %v with the picture", sampler, c, residue, b2*b2, cross)
			}
		}
		x := make([]float32, 4)
		for _, c := range [][2]int{{3, 5}, {-1, 0}, {8, 3}, {3, 8}} {
			if err := p.Renoise(x, x, x, c[0], c[1]); err == nil {
				t.Errorf("%s: from step %d to %d was taken", sampler, c[0], c[1])
			}
		}
	}
}

// The rule for variance-preserving samplers and the one for the Euler family, as the texts have them.
func TestRenoise_rules(t *testing.T) {
	for _, sampler := range []string{"ddim", "euler"} {
		p := newGauss(t, sampler, 7).Plan
		x := []float32{2, 2}
		if err := p.Renoise(x, x, []float32{0, 1}, 5, 2); err != nil {
			t.Fatal(err)
		}
		a, b := p.Level(5)
		a2, b2 := p.Level(2)
		ratio, std := 1.0, math.Sqrt(b2*b2-b*b)
		if sampler == "ddim" {
			ratio, std = a2/a, math.Sqrt(1-a2*a2/(a*a))
		}
		if !(math.Abs(float64(x[0])-2*ratio) <= 1e-6) || !(math.Abs(float64(x[1])-2*ratio-std) <= 1e-6*std) {
			t.Errorf("%s: %v", sampler, x)
		}
	}
}
