package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"winnow/internal/tensor"
)

// ulps is the distance of got from want, an exact value, rounded to float32: in units
// of the last place, infinity counting as the number after the largest.
func ulps(got float32, want float64) float64 {
	w := float32(want)
	switch {
	case got == w, got != got && w != w:
		return 0
	case got != got || w != w:
		return math.Inf(1)
	}
	return math.Abs(ordered(got) - ordered(w))
}

// ordered numbers the float32 values from the smallest to the largest.
func ordered(x float32) float64 {
	b := int64(math.Float32bits(x))
	if b >= 1<<31 {
		b = 1<<31 - b
	}
	return float64(b)
}

// bounds are the largest errors in ULP of the vector loops over all float32 numbers;
// abs is an absolute error that is allowed as well (results near the denormal range,
// where a relative bound has no meaning).
var bounds = map[unaryOp]struct {
	name     string
	ulp, abs float64
}{
	opExp:        {"exp", 2, 0},
	opSigmoid:    {"sigmoid", 2, 0},
	opTanh:       {"tanh", 2, 0},
	opErf:        {"erf", 2, 0},
	opSilu:       {"silu", 3, 1e-42},
	opGelu:       {"gelu", 8, 1e-42},
	opGeluTanh:   {"geluTanh", 256, 1e-42},
	opQuickGelu:  {"quickGelu", 128, 1e-42},
	opSiluSlope:  {"siluSlope", 4, 2e-7}, // absolute, as the slopes cross zero
	opGeluSlope:  {"geluSlope", 4, 2e-7},
	opSqrt:       {"sqrt", 0, 0},
	opRsqrt:      {"rsqrt", 2, 0},
	opReciprocal: {"reciprocal", 0, 0},
	opRelu:       {"relu", 0, 0},
	opNeg:        {"neg", 0, 0},
	opAbs:        {"abs", 0, 0},
	opSquare:     {"square", 0, 0},
}

// TestUnaryULP sweeps the float32 numbers in strides.
func TestUnaryULP(t *testing.T) {
	stride := uint32(5003)
	if testing.Short() {
		stride = 200003
	}
	var in []float32
	for b := uint64(0); b < 1<<32; b += uint64(stride) {
		in = append(in, math.Float32frombits(uint32(b)))
	}
	for i := range 40000 { // more of where the functions bend
		in = append(in, float32(i-20000)/1000)
	}
	got := make([]float32, len(in))
	eachLevel(t, func(t *testing.T) {
		for op, bound := range bounds {
			unary(op, got, in)
			worst, at := 0.0, 0
			for i, x := range in {
				want := unaryFormulas[op](float64(x))
				if math.Abs(float64(got[i])-want) <= bound.abs {
					continue
				}
				if e := ulps(got[i], want); e > worst {
					worst, at = e, i
				}
			}
			if worst > bound.ulp {
				t.Errorf("%s(%g) = %g, want %g: %.3g ULP, bound %g", bound.name, in[at], got[at],
					unaryFormulas[op](float64(in[at])), worst, bound.ulp)
			}
			t.Logf("%s: %.3g ULP at %g", bound.name, worst, in[at])
		}
	})
}

// specials are numbers that every function must treat as float64 mathematics does.
var specials = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
	math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 88.5, -88.5, 104, -104, 0x1p-126, 0.5,
}

func TestUnarySpecials(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		got := make([]float32, len(specials))
		for op := range opCos + 1 {
			unary(op, got, specials)
			for i, x := range specials {
				want := unaryFormulas[op](float64(x))
				if math.IsNaN(want) != math.IsNaN(float64(got[i])) || math.IsInf(float64(float32(want)), 0) != math.IsInf(float64(got[i]), 0) {
					t.Errorf("function %d of %g = %g, want %g", op, x, got[i], want)
				}
			}
		}
	})
}

// lengths runs f for every length 0…257 and a few alignments.
func lengths(f func(n, offset int)) {
	for n := range 258 {
		f(n, n%16)
		f(n, (n*7+3)%16)
	}
}

// TestElementwiseLengths checks every function at every length against the plain loop,
// with canaries around the destination and NaN and Inf among the numbers.
func TestElementwiseLengths(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		rng := newRand(11)
		lengths(func(n, offset int) {
			src := make([][]float32, 3)
			for i := range src {
				src[i] = guard(n, (offset+5*i)%16).data
				randomize(rng, src[i])
				if n > 0 {
					src[i][rng.IntN(n)] = specials[rng.IntN(len(specials))]
				}
			}
			for name, f := range elementwiseCases(src[0], src[1], src[2]) {
				dst, want := guard(n, offset), make([]float32, n)
				f[0](dst.data)
				f[1](want)
				near(t, fmt.Sprintf("%s of %d", name, n), dst.data, want, 2e-6)
				dst.check(t, name)
			}
		})
	})
}

// small replaces numbers that would magnify the absolute error of a slope near its zero.
func small(v []float32) []float32 {
	out := slices.Clone(v)
	for i, x := range out {
		if !(x > -2 && x < 2) {
			out[i] = 0.5
		}
	}
	return out
}

// elementwiseCases pairs every vector function with its plain loop.
func elementwiseCases(a, b, c []float32) map[string][2]func(dst []float32) {
	cases := map[string][2]func(dst []float32){
		"mulAdd":       {func(d []float32) { MulAdd(d, a, b, c) }, func(d []float32) { mulAddRef(d, a, b, c) }},
		"mulAddScalar": {func(d []float32) { MulAddScalar(d, a, 1.5, -2) }, func(d []float32) { mulAddScalarRef(d, a, 1.5, -2) }},
		"axpby": {
			func(d []float32) { copy(d, a); axpby(d, b, 0.7, 1.5, -2) },
			func(d []float32) { copy(d, a); axpbyRef(d, b, 0.7, 1.5, -2) },
		},
		"gegluGrad value": {
			func(d []float32) { ActGelu.GEGLUBackward(d, make([]float32, len(d)), a, b, c) },
			func(d []float32) { gegluGradRef(d, make([]float32, len(d)), a, b, c) },
		},
		"gegluGrad gate": {
			func(d []float32) { ActGelu.GEGLUBackward(make([]float32, len(d)), d, small(a), b, small(c)) },
			func(d []float32) { gegluGradRef(make([]float32, len(d)), d, small(a), b, small(c)) },
		},
		"in place": {func(d []float32) { copy(d, a); Exp(d, d) }, func(d []float32) { unaryRef(opExp, d, a) }},
	}
	for op := range opCos + 1 {
		cases[fmt.Sprint("unary ", op)] = [2]func(dst []float32){
			func(d []float32) { unary(op, d, a) }, func(d []float32) { unaryRef(op, d, a) },
		}
	}
	for op := range opRevSub {
		cases[fmt.Sprint("binary ", op)] = [2]func(dst []float32){
			func(d []float32) { binary(op, d, a, b) }, func(d []float32) { binaryRef(op, d, a, b) },
		}
	}
	for _, op := range []binaryOp{opAdd, opMul, opDiv, opMax, opMin, opRevSub, opRevDiv} {
		cases[fmt.Sprint("scalar ", op)] = [2]func(dst []float32){
			func(d []float32) { scalar(op, d, a, 0.7) }, func(d []float32) { scalarRef(op, d, a, 0.7) },
		}
	}
	return cases
}

func TestReductions(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		rng := newRand(12)
		lengths(func(n, offset int) {
			x := guard(n, offset).data
			randomize(rng, x)
			sum, squares := sumSquaresRef(x, 0.25)
			got, sq := sumSquares(x, 0.25)
			if math.Abs(got-sum) > 1e-12*float64(n) || math.Abs(sq-squares) > 1e-12*float64(n) {
				t.Fatalf("sums of %d: %v %v, want %v %v", n, got, sq, sum, squares)
			}
			y := randoms(rng, n)
			sum, dot := dotsRef(x, y)
			if s, d := dots(x, y); math.Abs(s-sum) > 1e-12*float64(n) || math.Abs(d-dot) > 1e-12*float64(n) {
				t.Fatalf("dots of %d: %v %v, want %v %v", n, s, d, sum, dot)
			}
			if MaxOf(x) != maxOfRef(x) {
				t.Fatalf("max of %d: %v, want %v", n, MaxOf(x), maxOfRef(x))
			}
			if n > 0 {
				x[rng.IntN(n)] = float32(math.NaN())
				if m := MaxOf(x); m == m {
					t.Fatalf("max of %d numbers with a NaN is %v", n, m)
				}
			}
		})
		if m := MaxOf(nil); !math.IsInf(float64(m), -1) {
			t.Errorf("max of nothing is %v", m)
		}
	})
}

// TestHalf converts every half-precision number there and back.
func TestHalf(t *testing.T) {
	all := make([]uint16, 1<<16)
	for i := range all {
		all[i] = uint16(i)
	}
	eachLevel(t, func(t *testing.T) {
		wide, back := make([]float32, len(all)), make([]uint16, len(all))
		F16ToF32(wide, all)
		F32ToF16(back, wide)
		for i, h := range all {
			want := tensor.F16ToF32(h)
			if wide[i] != want && (wide[i] == wide[i] || want == want) {
				t.Fatalf("float16 %04x is %v, want %v", h, wide[i], want)
			}
			if back[i] != h && want == want {
				t.Fatalf("float16 %04x comes back as %04x", h, back[i])
			}
			if nan := back[i]&0x7c00 == 0x7c00 && back[i]&0x3ff != 0; want != want && !nan {
				t.Fatalf("NaN %04x comes back as %04x", h, back[i])
			}
		}
		BF16ToF32(wide, all)
		F32ToBF16(back, wide)
		for i, h := range all {
			if want := tensor.BF16ToF32(h); math.Float32bits(wide[i]) != math.Float32bits(want) {
				t.Fatalf("bfloat16 %04x is %v, want %v", h, wide[i], want)
			}
			if wide[i] == wide[i] && back[i] != h {
				t.Fatalf("bfloat16 %04x comes back as %04x", h, back[i])
			}
		}
		lengths(func(n, _ int) {
			d, g := guard(n, n%16), make([]uint16, n+2)
			F16ToF32(d.data, all[100:])
			d.check(t, "widen")
			BF16ToF32(d.data, all[100:])
			d.check(t, "widen")
			g[n], g[n+1] = 7, 7
			F32ToF16(g[:n], wide[100:])
			if g[n] != 7 || g[n+1] != 7 {
				t.Fatalf("narrowing %d numbers wrote past the end", n)
			}
		})
	})
}

// TestNarrowRounds compares rounding to float16 with the scalar conversion.
func TestNarrowRounds(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		var in []float32
		for b := uint64(0); b < 1<<32; b += 65521 {
			in = append(in, math.Float32frombits(uint32(b)))
		}
		got := make([]uint16, len(in))
		F32ToF16(got, in)
		for i, x := range in {
			if want := tensor.F32ToF16(x); got[i] != want && x == x {
				t.Fatalf("%v narrows to %04x, want %04x", x, got[i], want)
			}
		}
	})
}

func BenchmarkElementwise(b *testing.B) {
	const n = 1 << 16
	rng := newRand(13)
	src, dst := randoms(rng, n), make([]float32, n)
	for op, f := range bounds {
		for _, impl := range Available() {
			b.Run(fmt.Sprintf("f=%s/impl=%s", f.name, impl), func(b *testing.B) {
				before := Selected()
				defer func() { must(b, Select(before)) }()
				must(b, Select(impl))
				b.SetBytes(4 * n)
				for b.Loop() {
					unary(op, dst, src)
				}
			})
		}
	}
}
