package kernel

import (
	"fmt"
	"math"
	"testing"
)

// normNaive normalises x in float64, two passes, and returns it.
func normNaive(x []float32, eps float64) []float64 {
	mean, variance := 0.0, 0.0
	for _, v := range x {
		mean += float64(v) / float64(len(x))
	}
	for _, v := range x {
		variance += (float64(v) - mean) * (float64(v) - mean) / float64(len(x))
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = (float64(v) - mean) / math.Sqrt(variance+eps)
	}
	return out
}

func TestGroupNorm(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	eachLevel(t, func(t *testing.T) {
		rng := newRand(16)
		for _, s := range []GroupNormSpec{
			{N: 2, C: 64, HW: 81, Groups: 32, Eps: 1e-5, Act: ActSilu},
			{N: 1, C: 6, HW: 1, Groups: 2, Eps: 1e-3},
			{N: 3, C: 8, HW: 300, Groups: 8, Eps: 1e-5},
			{N: 1, C: 4, HW: 5000, Groups: 1, Eps: 1e-6, Act: ActGelu},
		} {
			for variant := range 4 {
				n := s.N * s.C * s.HW
				src, dst := guard(n, rng.IntN(16)), guard(n, rng.IntN(16))
				randomize(rng, src.data)
				AddScalar(src.data, src.data, float32(variant*40)) // means far from 0 must not cost digits
				if s.Gamma, s.Beta = nil, nil; variant%2 == 1 {
					s.Gamma, s.Beta = randoms(rng, s.C), randoms(rng, s.C)
				}
				want := make([]float32, n)
				size := n / (s.N * s.Groups)
				for g := range s.N * s.Groups {
					for i, v := range normNaive(src.data[g*size:][:size], float64(s.Eps)) {
						if c := (g*size + i) / s.HW % s.C; s.Gamma != nil {
							v = v*float64(s.Gamma[c]) + float64(s.Beta[c])
						}
						want[g*size+i] = float32(v)
					}
				}
				actNaive(s.Act, want)
				GroupNorm(pool, dst.data, src.data, s)
				near(t, fmt.Sprintf("%+v", s), dst.data, want, 3e-6*float64(1+variant*10))
				dst.check(t, "group norm")
				GroupNorm(pool, src.data, src.data, s)
				same(t, "in place", src.data, dst.data)
			}
		}
	})
}

func TestRowNorms(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	eachLevel(t, func(t *testing.T) {
		rng := newRand(17)
		for _, s := range [][2]int{{1, 1}, {3, 7}, {50, 77}, {9, 320}, {2, 5000}, {0, 4}} {
			rows, cols := s[0], s[1]
			src, gamma, beta := guard(rows*cols, 3), randoms(rng, cols), randoms(rng, cols)
			randomize(rng, src.data)
			layer, rms, soft := make([]float32, rows*cols), make([]float32, rows*cols), make([]float32, rows*cols)
			for r := range rows {
				x := src.data[r*cols:][:cols]
				square, top, sum := 0.0, math.Inf(-1), 0.0
				for _, v := range x {
					square += float64(v) * float64(v) / float64(cols)
					top = math.Max(top, float64(v))
				}
				for _, v := range x {
					sum += math.Exp(float64(v) - top)
				}
				for i, v := range normNaive(x, 1e-5) {
					layer[r*cols+i] = float32(v*float64(gamma[i]) + float64(beta[i]))
					rms[r*cols+i] = float32(float64(x[i]) / math.Sqrt(square+1e-5) * float64(gamma[i]))
					soft[r*cols+i] = float32(math.Exp(float64(x[i])-top) / sum)
				}
			}
			for name, c := range map[string]struct {
				f    func(dst []float32)
				want []float32
			}{
				"layer norm": {func(d []float32) { LayerNorm(pool, d, src.data, rows, cols, gamma, beta, 1e-5) }, layer},
				"RMS norm":   {func(d []float32) { RMSNorm(pool, d, src.data, rows, cols, gamma, 1e-5) }, rms},
				"softmax":    {func(d []float32) { Softmax(pool, d, src.data, rows, cols) }, soft},
			} {
				dst := guard(rows*cols, rng.IntN(16))
				c.f(dst.data)
				near(t, fmt.Sprint(name, " ", s), dst.data, c.want, 3e-6)
				dst.check(t, name)
			}
		}
	})
}

// TestSoftmaxExtremes pins rows of one infinity, of -Inf only, and large numbers.
func TestSoftmaxExtremes(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		inf, nan := float32(math.Inf(1)), float32(math.NaN())
		src := []float32{-inf, 0, 0, -inf, 3e38, 3e38, 1, 2, 3e38, -3e38, 0, 0, -inf, -inf, -inf, -inf}
		want := []float32{0, .5, .5, 0, .5, .5, 0, 0, 1, 0, 0, 0, nan, nan, nan, nan}
		got := make([]float32, len(src))
		Softmax(nil, got, src, 4, 4)
		near(t, "softmax", got, want, 1e-7)
	})
}

func BenchmarkNorm(b *testing.B) {
	const n = 2 * 320 * 4096
	rng := newRand(18)
	src, dst, gamma := randoms(rng, n), make([]float32, n), randoms(rng, 320)
	for name, f := range map[string]func(){
		"group": func() {
			GroupNorm(nil, dst, src, GroupNormSpec{N: 2, C: 320, HW: 4096, Groups: 32, Gamma: gamma, Beta: gamma})
		},
		"group+silu": func() {
			GroupNorm(nil, dst, src, GroupNormSpec{N: 2, C: 320, HW: 4096, Groups: 32, Gamma: gamma, Beta: gamma, Act: ActSilu})
		},
		"layer":   func() { LayerNorm(nil, dst, src, 8192, 320, gamma, gamma, 1e-5) },
		"softmax": func() { Softmax(nil, dst, src, 8192, 320) },
	} {
		b.Run("f="+name, func(b *testing.B) {
			b.SetBytes(4 * n)
			for b.Loop() {
				f()
			}
		})
	}
}
