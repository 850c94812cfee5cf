package onnx

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"winnow/internal/tensor"
)

func withWeights(ts ...tensor.Tensor) *Model {
	m := &Model{File: "m.onnx"}
	for i := range ts {
		m.weights = append(m.weights, weight{name: fmt.Sprintf("tensor %q", fmt.Sprint("w", i)), tensor: &ts[i]})
	}
	return m
}

func TestCheckFinitePlain(t *testing.T) {
	for name, path := range testModels(t) {
		if name == "dtypes" {
			continue // random bits
		}
		if err := openTest(t, path).CheckFinite(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every position in a vector of every length around the block size, every float type, NaN of both signs and infinity.
func TestCheckFiniteFindsEveryPosition(t *testing.T) {
	for _, dt := range []tensor.DType{tensor.F32, tensor.F16, tensor.BF16, tensor.F64} {
		for _, bad := range []float32{float32(math.NaN()), -float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
			for n := 2; n < 40; n++ {
				x := tensor.New(dt, n)
				fill := make([]float32, n)
				for i := range fill {
					fill[i] = 59000*float32(i%3-1) + 3 // no 0 and no 1: no mask
				}
				for i := range n {
					tensor.NarrowInto(x, 0, fill)
					tensor.NarrowInto(x, i, []float32{bad})
					err := withWeights(tensor.New(dt, 5), x).CheckFinite()
					if err == nil || !strings.Contains(err.Error(), fmt.Sprintf(`"w1": element %d of %d`, i, n)) {
						t.Fatalf("%v, %v at %d of %d: %v", dt, bad, i, n, err)
					}
				}
				tensor.NarrowInto(x, 0, fill)
				if err := withWeights(x).CheckFinite(); err != nil {
					t.Fatalf("%v of %d finite elements: %v", dt, n, err)
				}
			}
		}
	}
}

func TestCheckFiniteExtremes(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, ok := range []tensor.Tensor{
		tensor.FromF32([]float32{math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32}, 3),
		tensor.FromF16([]uint16{0x7bff, 0xfbff, 1}, 3),
		tensor.FromBF16([]uint16{0x7f7f, 0xff7f, 1}, 3),
		tensor.FromF64([]float64{math.MaxFloat64, -math.MaxFloat64}, 2),
		tensor.FromF32([]float32{-inf}),
		tensor.FromF32([]float32{0, -inf, 1, inf, -math.MaxFloat32}, 5),
		tensor.FromI32([]int32{0x7fc00000}, 1),
		tensor.FromF32(nil, 0),
	} {
		if err := withWeights(ok).CheckFinite(); err != nil {
			t.Errorf("%v: %v", ok, err)
		}
	}
	for _, bad := range []tensor.Tensor{
		tensor.FromF32([]float32{float32(math.NaN())}),
		tensor.FromF32([]float32{0, -inf, 0.5}, 3),
		tensor.FromF32([]float32{0, -inf, 1, float32(math.NaN())}, 4),
	} {
		var file *FileError
		if err := withWeights(bad).CheckFinite(); !errors.As(err, &file) {
			t.Errorf("%v passes", bad.F32())
		}
	}
}

// The first tensor in file order is named, however the chunks are shared out.
func TestCheckFiniteNamesTheFirst(t *testing.T) {
	big := tensor.New(tensor.F32, 3*finiteChunk/4+5)
	for i := range big.F32() {
		big.F32()[i] = 2
	}
	big.F32()[2*finiteChunk/4+7] = float32(math.NaN())
	big.F32()[3*finiteChunk/4+1] = float32(math.NaN())
	last := tensor.FromF32([]float32{2, float32(math.NaN())}, 2)
	for range 20 {
		err := withWeights(tensor.New(tensor.F32, 100), big, last).CheckFinite()
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf(`"w1": element %d of`, 2*finiteChunk/4+7)) {
			t.Fatal(err)
		}
	}
}

// Every bit pattern of every type of less than 16 bits; the format says which are no numbers.
func TestCheckFiniteSmall(t *testing.T) {
	bad := map[tensor.DType][]byte{
		tensor.F8E4M3FN: {0x7f, 0xff}, tensor.F8E4M3FNUZ: {0x80}, tensor.F8E5M2FNUZ: {0x80}, tensor.F8E8M0: {0xff},
		tensor.F8E5M2: {0x7c, 0x7d, 0x7e, 0x7f, 0xfc, 0xfd, 0xfe, 0xff},
	}
	for dt := tensor.F8E4M3FN; dt <= tensor.I2; dt++ {
		for b := range 1 << (8 / dt.PerByte()) {
			x := tensor.New(dt, 3)
			x.Data[0], x.Data[1], x.Data[2] = 2, byte(b), 2 // no 0 and no 1: no mask
			err := withWeights(x).CheckFinite()
			if want := bytes.IndexByte(bad[dt], byte(b)) >= 0; (err != nil) != want {
				t.Errorf("%v with %#02x: %v", dt, b, err)
			} else if err != nil && !strings.Contains(err.Error(), "element 1 of 3") {
				t.Errorf("%v: %v", dt, err)
			}
		}
	}
}

func BenchmarkCheckFinite(b *testing.B) {
	x := tensor.New(tensor.F16, 32<<20)
	m := withWeights(x)
	b.SetBytes(int64(len(x.Data)))
	for b.Loop() {
		if err := m.CheckFinite(); err != nil {
			b.Fatal(err)
		}
	}
}
