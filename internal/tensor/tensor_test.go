package tensor

import (
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// halfFormat describes a 16-bit float format by its definition, as an oracle for the bit tricks.
type halfFormat struct {
	name     string
	mantissa int // stored bits
	bias     int
	widen    func(uint16) float32
	narrow   func(float32) uint16
}

var halfFormats = []halfFormat{
	{"float16", 10, 15, F16ToF32, F32ToF16},
	{"bfloat16", 7, 127, BF16ToF32, F32ToBF16},
}

// value evaluates the bits by the definition of the format; ok is false for NaN.
func (f halfFormat) value(h uint16) (v float64, ok bool) {
	expBits := 15 - f.mantissa
	exp := int(h>>f.mantissa) & (1<<expBits - 1)
	man := float64(h & (1<<f.mantissa - 1))
	switch {
	case exp == 1<<expBits-1 && man != 0:
		return 0, false
	case exp == 1<<expBits-1:
		v = math.Inf(1)
	case exp == 0:
		v = math.Ldexp(man, 1-f.bias-f.mantissa)
	default:
		v = math.Ldexp(1+man/float64(int(1)<<f.mantissa), exp-f.bias)
	}
	if h&0x8000 != 0 {
		v = math.Copysign(v, -1)
	}
	return v, true
}

func TestHalfWidenAll(t *testing.T) {
	for _, f := range halfFormats {
		for i := range 1 << 16 {
			h := uint16(i)
			got := f.widen(h)
			want, ok := f.value(h)
			if !ok {
				if got == got {
					t.Fatalf("%s %#04x: got %v, want NaN", f.name, h, got)
				}
				continue
			}
			if float64(got) != want || math.Signbit(float64(got)) != math.Signbit(want) {
				t.Fatalf("%s %#04x: got %v, want %v", f.name, h, got, want)
			}
			if back := f.narrow(got); back != h {
				t.Fatalf("%s %#04x: narrowed back to %#04x", f.name, h, back)
			}
		}
	}
}

// Between each two neighbours of a format lie three interesting float32 values: just below the midpoint, the midpoint
// and just above it. All of them, for every pair of neighbours and both signs, against the rule of IEEE 754.
func TestHalfRoundingAll(t *testing.T) {
	for _, f := range halfFormats {
		inf := uint16(1<<15-1) &^ (1<<f.mantissa - 1)
		for lo := uint16(0); lo < inf; lo++ {
			a, _ := f.value(lo)
			b, _ := f.value(lo + 1)
			if lo+1 == inf { // overflow rounds as if the next binade existed
				p, _ := f.value(lo - 1)
				b = a + (a - p)
			}
			mid := float32((a + b) / 2) // exact: one more mantissa bit than the format
			if float64(mid) != (a+b)/2 {
				t.Fatalf("%s: the midpoint after %#04x is no float32: the test itself is wrong", f.name, lo)
			}
			even := lo + lo&1
			check := func(x float32, want uint16) {
				t.Helper()
				if got := f.narrow(x); got != want {
					t.Fatalf("%s: %v (between %#04x and %#04x) rounds to %#04x, want %#04x", f.name, x, lo, lo+1, got, want)
				}
				if got := f.narrow(-x); got != want|0x8000 {
					t.Fatalf("%s: %v rounds to %#04x, want %#04x", f.name, -x, got, want|0x8000)
				}
			}
			check(mid, even)
			check(math.Nextafter32(mid, 0), lo)
			check(math.Nextafter32(mid, float32(math.Inf(1))), lo+1)
		}
	}
}

// A sweep over float32 bit patterns against math/big with the precision of the format (normal range only: big.Float has
// no subnormals, and TestHalfRoundingAll covers those).
func TestHalfAgainstBig(t *testing.T) {
	for _, f := range halfFormats {
		for b := uint64(0); b < 1<<32; b += 99991 {
			x := math.Float32frombits(uint32(b))
			got := f.narrow(x)
			if x != x {
				if v, ok := f.value(got); ok {
					t.Fatalf("%s: NaN %#x became %v", f.name, b, v)
				}
				continue
			}
			smallest, _ := f.value(1 << f.mantissa)
			if a := math.Abs(float64(x)); a < smallest || math.IsInf(a, 0) {
				continue
			}
			want, _ := new(big.Float).SetPrec(uint(f.mantissa + 1)).SetFloat64(float64(x)).Float64()
			largest, _ := f.value(uint16(1<<15-1)&^(1<<f.mantissa-1) - 1)
			if math.Abs(want) > largest {
				want = math.Inf(int(math.Copysign(1, want)))
			}
			if v, _ := f.value(got); v != want {
				t.Fatalf("%s: %v became %v, want %v", f.name, x, v, want)
			}
		}
	}
}

func TestHalfNaNKeepsPayload(t *testing.T) {
	x := math.Float32frombits(0xffc56000)
	if got := F32ToF16(x); got != 0xfe2b {
		t.Errorf("F32ToF16 = %#04x", got)
	}
	if got := F32ToBF16(math.Float32frombits(0x7f800001)); got != 0x7fc0 {
		t.Errorf("a NaN whose upper payload is empty became %#04x, want a quiet NaN", got)
	}
	if got := F32ToF16(math.Float32frombits(0x7f800001)); got != 0x7e00 {
		t.Errorf("a NaN whose upper payload is empty became %#04x, want a quiet NaN", got)
	}
}

func TestNewIsZeroedAndAligned(t *testing.T) {
	for _, shape := range [][]int{{}, {0}, {1}, {3, 5, 7}, {64, 64}} {
		x := New(F32, shape...)
		n, _ := Elems(shape)
		if len(x.Data) != 4*n || cap(x.Data) != 4*n || !slices.Equal(x.Shape, shape) || x.Shape == nil {
			t.Errorf("New(F32, %v) = %v with %d bytes", shape, x, len(x.Data))
		}
		if n > 0 && uintptr(unsafe.Pointer(&x.Data[0]))%64 != 0 {
			t.Errorf("New(F32, %v) is not aligned", shape)
		}
		if slices.ContainsFunc(x.F32(), func(v float32) bool { return v != 0 }) {
			t.Errorf("New(F32, %v) is not zero", shape)
		}
	}
}

func TestViewsAlias(t *testing.T) {
	f := []float32{1, 2, 3, 4, 5, 6}
	x := FromF32(f, 2, 3)
	x.F32()[4] = 50
	if f[4] != 50 {
		t.Error("FromF32 copied")
	}
	y := x.Reshaped(3, 2)
	y.F32()[0] = 10
	c := x.Clone()
	c.F32()[0] = 99
	if f[0] != 10 {
		t.Errorf("f[0] = %v: Reshaped must alias, Clone must not", f[0])
	}
	if got := x.String(); got != "float32[2 3]" {
		t.Error(got)
	}
	// An odd address is a legal view.
	raw := append([]byte{7}, x.Data...)
	if got := (Tensor{F32, []int{6}, raw[1:]}).F32(); !slices.Equal(got, f) {
		t.Errorf("unaligned view: %v", got)
	}
}

func TestEveryTypeRoundTrips(t *testing.T) {
	check := func(name string, same bool, x Tensor, want []byte) {
		t.Helper()
		if !same || string(x.Data) != string(want) {
			t.Errorf("%s: data %v, want %v", name, x.Data, want)
		}
		if x.DType.Size()*x.Elems() != len(x.Data) {
			t.Errorf("%s: %d bytes for %d elements", name, len(x.Data), x.Elems())
		}
		if FromONNX(x.DType.ONNX()) != x.DType {
			t.Errorf("%s: ONNX number does not come back", name)
		}
	}
	i8 := FromI8([]int8{-2, 3}, 2)
	check("int8", slices.Equal(i8.I8(), []int8{-2, 3}), i8, []byte{0xfe, 3})
	u8 := FromU8([]uint8{200}, 1)
	check("uint8", slices.Equal(u8.U8(), []uint8{200}), u8, []byte{200})
	i16 := FromI16([]int16{-2}, 1)
	check("int16", i16.I16()[0] == -2, i16, []byte{0xfe, 0xff})
	u16 := FromU16([]uint16{0x1234}, 1)
	check("uint16", u16.U16()[0] == 0x1234, u16, []byte{0x34, 0x12})
	i32 := FromI32([]int32{-2}, 1)
	check("int32", i32.I32()[0] == -2, i32, []byte{0xfe, 0xff, 0xff, 0xff})
	u32 := FromU32([]uint32{0x12345678}, 1)
	check("uint32", u32.U32()[0] == 0x12345678, u32, []byte{0x78, 0x56, 0x34, 0x12})
	i64 := FromI64([]int64{-1})
	check("int64", i64.I64()[0] == -1, i64, []byte{255, 255, 255, 255, 255, 255, 255, 255})
	u64 := FromU64([]uint64{1 << 56}, 1)
	check("uint64", u64.U64()[0] == 1<<56, u64, []byte{0, 0, 0, 0, 0, 0, 0, 1})
	f64 := FromF64([]float64{-2}, 1)
	check("float64", f64.F64()[0] == -2, f64, []byte{0, 0, 0, 0, 0, 0, 0, 0xc0})
	f16 := FromF16([]uint16{0x3c00}, 1)
	check("float16", f16.Float32s()[0] == 1, f16, []byte{0, 0x3c})
	b16 := FromBF16([]uint16{0x3f80}, 1)
	check("bfloat16", b16.Float32s()[0] == 1, b16, []byte{0x80, 0x3f})
	bb := FromBool([]bool{true, false}, 2)
	check("bool", slices.Equal(bb.Bools(), []bool{true, false}), bb, []byte{1, 0})
	s := FromStrings([]string{"", "ab", strings.Repeat("x", 300)}, 3)
	if got := s.Strings(); len(got) != 3 || got[1] != "ab" || len(got[2]) != 300 || FromONNX(8) != String {
		t.Errorf("strings: %q", got)
	}
}

func TestWidenAndNarrow(t *testing.T) {
	v := []float32{0, 1, -2.5, 65504, 1e-7, 3.1415927}
	for _, dt := range []DType{F32, F16, BF16, F64} {
		x := New(dt, 8)
		NarrowInto(x, 2, v)
		got := make([]float32, len(v))
		WidenInto(got, x, 2)
		for i, w := range v {
			switch dt {
			case F16:
				w = F16ToF32(F32ToF16(w))
			case BF16:
				w = BF16ToF32(F32ToBF16(w))
			}
			if got[i] != w {
				t.Errorf("%s element %d: %v, want %v", dt, i, got[i], w)
			}
		}
		if all := x.Float32s(); all[0] != 0 || all[1] != 0 || !slices.Equal(all[2:], got) {
			t.Errorf("%s: Float32s %v", dt, all)
		}
	}
}

func TestBadShapes(t *testing.T) {
	const big = math.MaxInt
	for _, c := range []struct {
		shape []int
		want  string
	}{
		{[]int{2, -1}, "negative"},
		{[]int{big, 2}, "more elements"},
		{[]int{1 << 32, 1 << 32}, "more elements"},
		{[]int{big / 2}, "more bytes"},
		{[]int{0, big, big}, "more elements"},
	} {
		if _, err := Bytes(F32, c.shape); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Bytes(%v): error %v, want one about %q", c.shape, err, c.want)
		}
	}
	if _, err := Bytes(String, []int{1}); err == nil {
		t.Error("Bytes accepts strings")
	}
	if n, err := Bytes(F32, []int{0, 1 << 40}); n != 0 || err != nil {
		t.Errorf("an empty tensor: %d, %v", n, err)
	}
}

func TestWrongUsePanics(t *testing.T) {
	x := New(F32, 2)
	for name, f := range map[string]func(){
		"view of another type":   func() { x.I64() },
		"shape without the data": func() { FromF32([]float32{1, 2}, 3) },
		"reshape to other size":  func() { x.Reshaped(3) },
		"negative dimension":     func() { New(F32, -1) },
		"widen integers":         func() { WidenInto(make([]float32, 1), New(I32, 1), 0) },
		"widen past the end":     func() { WidenInto(make([]float32, 2), x, 1) },
		"strings of numbers":     func() { x.Strings() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestCheckStrings(t *testing.T) {
	good := FromStrings([]string{"", "ab", strings.Repeat("x", 300)}, 3)
	if err := good.CheckStrings(); err != nil {
		t.Error(err)
	}
	for what, data := range map[string][]byte{
		"too few": good.Data[:4], "too many": append(slices.Clone(good.Data), 0), "cut off": good.Data[:len(good.Data)-1],
		"length without end": {0, 0, 0x80}, "huge length": {0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	} {
		if err := (Tensor{String, good.Shape, data}).CheckStrings(); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
