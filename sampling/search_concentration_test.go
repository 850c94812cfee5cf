package sampling

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"winnow/internal/rng"
)

func TestConcentration_gradient(t *testing.T) {
	for _, c := range []struct {
		size, dims   int
		scale, shift float32
	}{{64, 4, 2, 0}, {64, 4, 1, 0.8}, {514, 4, 0.2, 0}, {48, 1, 2, 1}, {96, 16, 2, 0.5}} {
		noise := make([]float32, c.size)
		NewNoise(3)(noise, 0, 0)
		for i := range noise {
			noise[i] = noise[i]*c.scale + c.shift
		}
		back := make([]int, c.size)
		for i := range back {
			back[i] = (i*29 + 7) % c.size // 29 has no factor in common with the sizes
		}
		for _, orders := range [][][]int{nil, {back}, {nil, back}} {
			grad := make([]float32, c.size)
			value := Concentration(grad, noise, c.dims, orders)
			if again := Concentration(nil, noise, c.dims, orders); again != value || value <= 2*math.Ln2 {
				t.Errorf("%+v: %v without a gradient, %v with", c, again, value)
			}
			for i := range noise {
				const h = 1.0 / 512
				at := func(step float32) float64 {
					moved := slices.Clone(noise)
					moved[i] += step
					return Concentration(nil, moved, c.dims, orders)
				}
				want := (at(h) - at(-h)) / (2 * h)
				if d := math.Abs(float64(grad[i]) - want); d > 1e-4*math.Max(1, math.Abs(want)) {
					t.Errorf("%+v, number %d: %v, by differences %v", c, i, grad[i], want)
				}
			}
		}
	}
}

// The values and gradients of tests/oracle/concentration.py, in float64 there; the gradient is given in float32.
func TestConcentration_golden(t *testing.T) {
	data, err := os.ReadFile("../tests/golden/concentration.json")
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Cases []struct {
			Dims     int
			Noise    []float32
			Orders   [][]int
			Value    float64
			Gradient []float64
		}
	}
	if err := json.Unmarshal(data, &set); err != nil || len(set.Cases) < 6 {
		t.Fatal(err, len(set.Cases))
	}
	pulled := 0
	for k, c := range set.Cases {
		grad := make([]float32, len(c.Noise))
		if v := Concentration(grad, c.Noise, c.Dims, c.Orders); math.Abs(v-c.Value) > 1e-9*c.Value {
			t.Errorf("case %d: %v, want %v", k, v, c.Value)
		}
		length := lengthOf(c.Gradient)
		if length > 0 {
			pulled++
		}
		for i, want := range c.Gradient {
			if math.Abs(float64(grad[i])-want) > 1e-6*length {
				t.Errorf("case %d, number %d: %v, want %v", k, i, grad[i], want)
			}
		}
	}
	if pulled < 4 {
		t.Errorf("only %d cases have a gradient", pulled)
	}
}

// Noise as it should be is not pulled at; a repeated pattern is, although its length and its numbers are those of noise.
func TestConcentration_patterns(t *testing.T) {
	noise, grad := make([]float32, 4096), make([]float32, 4096)
	NewNoise(5)(noise, 0, 0)
	if v := Concentration(grad, noise, 4, nil); v != 2*math.Ln2 || norm(grad) != 0 {
		t.Errorf("plain noise: %v with a gradient of length %v", v, norm(grad))
	}
	for i := range noise {
		noise[i] = noise[i/4*4] // vectors along one direction
	}
	// The covariance is all ones times about 1, so that M is about 3, and √(1+3) − 1 − √(4/1024) = 0.9375.
	if v, want := Concentration(grad, noise, 4, nil), math.Ln2+1024*0.9375*0.9375/2; math.Abs(v-want) > 0.1*want || norm(grad) == 0 {
		t.Errorf("a pattern: %v, want about %v", v, want)
	}
	for i := range noise {
		noise[i] = 0.5
	}
	// ‖mean‖² = 1, M = 1 or 0: the covariance is ¼ everywhere less the identity, eigenvalues 0 and −1.
	d := math.Sqrt2 - 1 - 1.0/16
	if v, want := Concentration(nil, noise, 4, nil), 1024.0/8+1024*d*d/2; math.Abs(v-want) > 1e-6*want {
		t.Errorf("a constant: %v, want %v", v, want)
	}
}

// DNO under the regulariser keeps noise probable where it would not be without.
func TestDNO_concentration(t *testing.T) {
	last := func(gamma float64) float64 {
		p := newToy(t, 1)
		f := search(t, p.Problem, DNO(still(t, p, firstSlope), DNOOptions{Rate: 0.5, Concentration: gamma, Dims: 1, Permutations: 2}), 120, 4)
		return math.Abs(f.Score) / p.factor
	}
	free, held := last(0), last(50)
	if free < 8 || held > free/2 || held < 0 {
		t.Errorf("the noise of the picture is %v, with the regulariser %v", free, held)
	}
	s := &Search{stream: rng.New(3)}
	seen := map[[3]int]int{}
	for range 6000 {
		seen[[3]int(s.permutation(3))]++
	}
	for order, n := range seen {
		if math.Abs(float64(n)-1000) > 150 {
			t.Errorf("order %v comes %d times in 6000", order, n)
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d orders", len(seen))
	}
}
