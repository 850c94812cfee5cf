package sampling

import (
	"math"
	"slices"
	"testing"
)

func TestNoiseRegulariser_gradient(t *testing.T) {
	for _, c := range []struct {
		size  int
		scale float32
	}{{1, 1}, {2, 1}, {7, 0.3}, {64, 1}, {64, 2}} {
		noise := make([]float32, c.size)
		NewNoise(3)(noise, 0, 0)
		for i := range noise {
			noise[i] *= c.scale
		}
		grad := make([]float32, c.size)
		value := NoiseRegulariser(grad, noise)
		if again := NoiseRegulariser(nil, noise); again != value {
			t.Errorf("d = %d: %v without a gradient, %v with", c.size, again, value)
		}
		for i := range noise {
			const h = 1.0 / 256
			at := func(step float32) float64 {
				moved := slices.Clone(noise)
				moved[i] += step
				return NoiseRegulariser(nil, moved)
			}
			want := (at(h) - at(-h)) / (2 * h)
			if d := math.Abs(float64(grad[i]) - want); d > 2e-4*math.Max(1, math.Abs(want)) {
				t.Errorf("d = %d, number %d: %v, by differences %v", c.size, i, grad[i], want)
			}
		}
		if NoiseRegulariser(noise, noise); !slices.Equal(noise, grad) {
			t.Errorf("d = %d: in place it is another gradient", c.size)
		}
	}
}

func TestNoiseRegulariser_stationary(t *testing.T) {
	const size = 4096
	noise, grad := make([]float32, size), make([]float32, size)
	NewNoise(5)(noise, 0, 0)
	unit := 1 / math.Sqrt(squared(noise))
	value := func(norm float64) float64 {
		x := make([]float32, size)
		scaleTo(x, noise, norm*unit)
		return NoiseRegulariser(grad, x)
	}
	shell := math.Sqrt(size - 1)
	least := value(shell)
	if g := math.Sqrt(squared(grad)); g > 1e-4 {
		t.Errorf("on the shell the gradient is %v long", g)
	}
	if want := (size-1)/2.0 - (size-1)/2.0*math.Log(size-1); math.Abs(least-want) > 1e-2 {
		t.Errorf("on the shell it is %v, not %v", least, want)
	}
	for _, f := range []float64{0.5, 0.98, 1.02, 2} {
		v := value(f * shell)
		if along := float64(grad[0]) / float64(noise[0]); v <= least || (along > 0) != (f > 1) {
			t.Errorf("at %v of the shell: %v, on it %v; gradient %v of the noise", f, v, least, along)
		}
	}
	clear(noise)
	if v := NoiseRegulariser(grad, noise); !math.IsInf(v, 1) || squared(grad) != 0 {
		t.Errorf("no noise at all: %v, gradient of length %v", v, math.Sqrt(squared(grad)))
	}
}
