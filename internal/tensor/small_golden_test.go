package tensor

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
)

// smallGolden holds what ml_dtypes and ONNX make of one type; tests/oracle/smalltypes.py describes it.
type smallGolden struct {
	Values, Inputs string
	Bytes          map[string]string
}

func readSmallGolden(t *testing.T) map[DType]smallGolden {
	t.Helper()
	data, err := os.ReadFile("testdata/small.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Types map[string]smallGolden }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	out := map[DType]smallGolden{}
	for dt := F8E4M3FN; dt <= I2; dt++ {
		g, ok := file.Types[dt.String()]
		if !ok {
			t.Fatalf("testdata/small.json lacks %v", dt)
		}
		out[dt] = g
	}
	return out
}

func base64Bytes(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func base64Floats(t *testing.T, s string) []float64 {
	t.Helper()
	b := base64Bytes(t, s)
	out := make([]float64, len(b)/4)
	for i := range out {
		out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
	}
	return out
}

// sameNumber compares bits, but for NaN.
func sameNumber(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Float64bits(a) == math.Float64bits(b)
}

// TestSmallGolden_Values: every bit pattern of every type has the value that ml_dtypes gives it.
func TestSmallGolden_Values(t *testing.T) {
	for dt, g := range readSmallGolden(t) {
		want := base64Floats(t, g.Values)
		if n := 1 << (8 / dt.PerByte()); len(want) != n {
			t.Fatalf("%v: %d values on record, want %d", dt, len(want), n)
		}
		for b, v := range want {
			if got := SmallToF64(dt, byte(b)); !sameNumber(got, v) {
				t.Errorf("%v %#02x: got %v, want %v", dt, b, got, v)
			}
		}
	}
}

// TestSmallGolden_Conversions: midpoints and their neighbours, overflow, NaN, signed zeros and subnormal numbers become the
// bytes that ml_dtypes and ONNX make of them.
func TestSmallGolden_Conversions(t *testing.T) {
	for dt, g := range readSmallGolden(t) {
		if !dt.IsSmallFloat() {
			continue
		}
		x := base64Floats(t, g.Inputs)
		for how, s := range g.Bytes {
			want, wrong := base64Bytes(t, s), 0
			if len(want) != len(x) || len(x) < 900 {
				t.Fatalf("%v: %d results for %d numbers on record", dt, len(want), len(x))
			}
			mode, rest, _ := strings.Cut(how, "/")
			for i, v := range x {
				var got byte
				if dt == F4E2M1 && math.IsNaN(v) {
					continue // the format has no NaN, and ONNX does not say what one becomes
				}
				if dt == F8E8M0 {
					got = F64ToScale(v, mode, rest == "saturated")
				} else {
					got = F64ToSmall(dt, v, how == "saturated")
				}
				if got != want[i] && !(math.IsNaN(v) && math.IsNaN(SmallToF64(dt, got)) && math.IsNaN(SmallToF64(dt, want[i]))) {
					if wrong++; wrong < 5 {
						t.Errorf("%v, %s: %v becomes %#02x, want %#02x", dt, how, v, got, want[i])
					}
				}
			}
		}
	}
}

// TestSmallGolden_Nearest: a float64 rounds once. What it becomes is as near as any number of the format.
func TestSmallGolden_Nearest(t *testing.T) {
	for dt, g := range readSmallGolden(t) {
		if !dt.IsSmallFloat() || dt == F8E8M0 {
			continue
		}
		var numbers []float64
		for _, v := range base64Floats(t, g.Values) {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				numbers = append(numbers, v)
			}
		}
		for _, x := range base64Floats(t, g.Inputs) {
			for _, v := range []float64{x, math.Nextafter(x, math.Inf(-1)), math.Nextafter(x, math.Inf(1))} {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					continue
				}
				least := math.Inf(1)
				for _, n := range numbers {
					least = min(least, math.Abs(n-v))
				}
				if got := SmallToF64(dt, F64ToSmall(dt, v, true)); !(math.Abs(got-v) <= least) {
					t.Errorf("%v: %v becomes %v, there is a number at a distance of %v", dt, v, got, least)
				}
			}
		}
	}
}
