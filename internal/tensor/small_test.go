package tensor

import (
	"bytes"
	"math"
	"testing"
)

// TestSmallFloats_RoundTrip: every bit pattern that is a number spells itself.
func TestSmallFloats_RoundTrip(t *testing.T) {
	for dt := F8E4M3FN; dt <= F4E2M1; dt++ {
		if dt == F8E8M0 {
			continue
		}
		for b := range 1 << (8 / dt.PerByte()) {
			v := SmallToF64(dt, byte(b))
			got := F64ToSmall(dt, v, false)
			if math.IsNaN(v) {
				if !math.IsNaN(SmallToF64(dt, got)) {
					t.Errorf("%v: NaN %#x becomes %#x", dt, b, got)
				}
			} else if got != byte(b) {
				t.Errorf("%v: %#x is %v and becomes %#x", dt, b, v, got)
			}
		}
	}
}

// TestSmallFloats_Values holds values of ml_dtypes 0.5.
func TestSmallFloats_Values(t *testing.T) {
	for _, c := range []struct {
		dt       DType
		x        float64
		saturate bool
		want     byte
	}{
		{F8E4M3FN, 1e6, true, 0x7e},
		{F8E4M3FN, -1e6, false, 0xff},
		{F8E4M3FN, 464, false, 0x7e},
		{F8E4M3FN, 0.4789254665374756, true, 0x2f},
		{F8E5M2, 1e6, true, 0x7b},
		{F8E5M2, -1e6, false, 0xfc},
		{F8E5M2, 0.8191054463386536, true, 0x3b},
		{F8E5M2FNUZ, 1e6, false, 0x80},
		{F8E5M2FNUZ, -1e-7, true, 0},
		{F8E4M3FNUZ, 1e6, true, 0x7f},
		{F4E2M1, math.NaN(), true, 8},
		{F4E2M1, -3.5, true, 0xe},
		{F4E2M1, 0.25, true, 0},
		{F4E2M1, math.Inf(-1), true, 0xf},
	} {
		if got := F64ToSmall(c.dt, c.x, c.saturate); got != c.want {
			t.Errorf("%v of %v (saturate %v) is %#x, want %#x", c.dt, c.x, c.saturate, got, c.want)
		}
	}
	for _, c := range []struct {
		x    float64
		mode string
		want byte
	}{{0.124, "up", 0x7c}, {1.1, "up", 0x80}, {1.1, "nearest", 0x7f}, {1.5, "nearest", 0x80}, {1.9, "down", 0x7f}, {math.Inf(1), "up", 0xff}} {
		if got := F64ToScale(c.x, c.mode, true); got != c.want {
			t.Errorf("scale of %v, %s, is %#x, want %#x", c.x, c.mode, got, c.want)
		}
	}
}

func TestPacked(t *testing.T) {
	for _, c := range []struct {
		dt     DType
		packed []byte
		want   []byte
	}{{U4, []byte{0x21, 0x0f}, []byte{1, 2, 15}}, {I2, []byte{0b11_10_01_00, 0b01}, []byte{0, 1, 2, 3, 1}}} {
		got := Unpack(c.dt, c.packed, len(c.want))
		if !bytes.Equal(got, c.want) {
			t.Errorf("%v: unpacked %v, want %v", c.dt, got, c.want)
		}
		if again := (Tensor{c.dt, []int{len(got)}, got}).Packed(); !bytes.Equal(again, c.packed) {
			t.Errorf("%v: packed %v, want %v", c.dt, again, c.packed)
		}
	}
	if v := SmallToF64(I4, 8); v != -8 {
		t.Errorf("int4 1000 is %v", v)
	}
}
