package conformance

import (
	"fmt"
	"math"
	"slices"

	"winnow/internal/tensor"
)

// limits is the largest accepted |got-want| / (1+|want|) by the type of a result, beside the tolerance of the case itself:
// sums of some thousand float32 products; one unit in the last place of results of half types.
var limits = map[tensor.DType]float64{tensor.F32: 1e-5, tensor.F64: 1e-7, tensor.F16: 1e-3, tensor.BF16: 0x1p-7}

// rough lists cases whose expected values are less exact than that, with the reason.
var rough = map[string]float64{
	"test_averagepool_2d_ceil_last_window_starts_on_pad": 1e-4, // states four digits
	"test_gridsample_bicubic":                            1e-4, // likewise
}

// compare says how got differs from want, nil if type, shape and every element agree. NaN and infinities agree with
// themselves only.
func (c *testCase) compare(got, want tensor.Tensor) error {
	if got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	if !want.DType.IsFloat() {
		if string(canonical(got)) != string(canonical(want)) {
			return fmt.Errorf("%v differs: bytes %v…, want %v…", want, head(got.Data), head(want.Data))
		}
		return nil
	}
	rtol := c.RTol
	if want.DType == tensor.BF16 { // the ONNX runner's own rule: two units in the last place
		rtol = max(rtol, 0x1p-6)
	}
	x, y, limit := floats(got), floats(want), max(limits[want.DType], rough[c.Name])
	for i := range y {
		if math.IsNaN(x[i]) && math.IsNaN(y[i]) || x[i] == y[i] {
			continue
		}
		e := math.Abs(x[i] - y[i])
		if !(e <= limit*(1+math.Abs(y[i])) && e <= max(c.ATol, limit)+rtol*math.Abs(y[i])) {
			return fmt.Errorf("%v: element %d is %v, want %v", want, i, x[i], y[i])
		}
	}
	return nil
}

// canonical returns the bytes of a tensor, with one pattern for all NaN of an 8-bit float.
func canonical(t tensor.Tensor) []byte {
	if !t.DType.IsSmallFloat() {
		return t.Data
	}
	out := slices.Clone(t.Data)
	for i, b := range out {
		if math.IsNaN(tensor.SmallToF64(t.DType, b)) {
			out[i] = 0xff
		}
	}
	return out
}

func head(b []byte) []byte { return b[:min(len(b), 24)] }

func floats(t tensor.Tensor) []float64 {
	if t.DType == tensor.F64 {
		return t.F64()
	}
	out := make([]float64, t.Elems())
	for i, v := range t.Float32s() {
		out[i] = float64(v)
	}
	return out
}
