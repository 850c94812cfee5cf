package kernel

import (
	"math"
	"testing"
)

// normLoss is Σ dy·act(gamma·x̂ + beta) over one group in float64; channels of hw numbers each.
func normLoss(x []float64, dy []float32, gamma, beta []float32, hw int, eps float64, act func(float64) float64, rms bool) float64 {
	mean, sq, n := 0.0, 0.0, float64(len(x))
	for _, v := range x {
		mean += v / n
	}
	if rms {
		mean = 0
	}
	for _, v := range x {
		sq += (v - mean) * (v - mean) / n
	}
	sum := 0.0
	for i, v := range x {
		g, b := 1.0, 0.0
		if gamma != nil {
			g = float64(gamma[i/hw])
		}
		if beta != nil {
			b = float64(beta[i/hw])
		}
		sum += float64(dy[i]) * act(g*(v-mean)/math.Sqrt(sq+eps)+b)
	}
	return sum
}

// checkNormGrad compares got with central differences over one group.
func checkNormGrad(t *testing.T, what string, got, x []float32, loss func(x []float64) float64) {
	t.Helper()
	wide := make([]float64, len(x))
	for i, v := range x {
		wide[i] = float64(v)
	}
	const h = 1e-4
	for i := range x {
		at := wide[i]
		wide[i] = at + h
		up := loss(wide)
		wide[i] = at - h
		down := loss(wide)
		wide[i] = at
		if want := (up - down) / (2 * h); math.Abs(float64(got[i])-want) > 2e-5*max(1, math.Abs(want)) {
			t.Fatalf("%s: element %d is %g, want %g", what, i, got[i], want)
		}
	}
}

func TestGroupNormBackward(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	acts := map[Act]func(float64) float64{
		ActNone: func(v float64) float64 { return v },
		ActSilu: func(v float64) float64 { return v / (1 + math.Exp(-v)) },
	}
	eachLevel(t, func(t *testing.T) {
		rng := newRand(23)
		for act, f := range acts {
			for _, affine := range []bool{false, true} {
				s := GroupNormSpec{N: 2, C: 6, HW: 35, Groups: 3, Eps: 1e-5, Act: act}
				if affine {
					s.Gamma, s.Beta = randoms(rng, s.C), randoms(rng, s.C)
				}
				x, dy := randoms(rng, s.N*s.C*s.HW), randoms(rng, s.N*s.C*s.HW)
				for i := range x {
					x[i] += 3 // a mean that is not 0
				}
				got, sums := guard(len(x), 3), make([]float32, 2*s.N*s.C)
				GroupNormBackward(pool, got.data, sums, x, dy, s)
				got.check(t, "group norm gradient")
				size, cg := s.C/s.Groups*s.HW, s.C/s.Groups
				for g := range s.N * s.Groups {
					var gamma, beta []float32
					if affine {
						gamma, beta = s.Gamma[g%s.Groups*cg:], s.Beta[g%s.Groups*cg:]
					}
					at := g * size
					checkNormGrad(t, act.String(), got.data[at:at+size], x[at:at+size], func(x []float64) float64 {
						return normLoss(x, dy[at:], gamma, beta, s.HW, 1e-5, f, false)
					})
				}
				same := append([]float32{}, dy...)
				GroupNormBackward(pool, same, sums, x, same, s)
				near(t, "in place", same, got.data, 0)
			}
		}
	})
}

func TestLayerNormBackward(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	eachLevel(t, func(t *testing.T) {
		rng := newRand(29)
		for _, rms := range []bool{false, true} {
			for _, cols := range []int{7, 600} {
				const rows = 3
				x, dy, gamma := randoms(rng, rows*cols), randoms(rng, rows*cols), randoms(rng, cols)
				got := guard(rows*cols, 5)
				LayerNormBackward(pool, got.data, x, dy, rows, cols, gamma, 1e-5, rms)
				got.check(t, "layer norm gradient")
				for r := range rows {
					at := r * cols
					checkNormGrad(t, "layer norm", got.data[at:at+cols], x[at:at+cols], func(x []float64) float64 {
						return normLoss(x, dy[at:], gamma, nil, 1, 1e-5, func(v float64) float64 { return v }, rms)
					})
				}
			}
		}
	})
}
