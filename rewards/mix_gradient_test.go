package rewards

import (
	"errors"
	"math"
	"testing"
)

// A sum's derivative is the weighted sum of its rewards', in the scale of their transforms.
func TestMix_PixelGradient(t *testing.T) {
	const w, h = 40, 30
	pixels := make([]float32, 3*w*h)
	for i := range pixels {
		pixels[i] = float32(math.Sin(float64(i) / 7))
	}
	open := func(transform string, choices ...string) *Mix {
		m, err := OpenMix(t.Context(), choices, nil, transform, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		return m
	}
	one := open("", Mini)
	s, g, err := one.PixelGradient(t.Context(), "a red circle", pixels, w, h)
	if err != nil {
		t.Fatal(err)
	}
	two := open("z", "mini=3", "mini=-0.5")
	std := one.members[0].reference.Std
	mean := one.members[0].reference.Mean
	got, slope, err := two.PixelGradient(t.Context(), "a red circle", pixels, w, h)
	if err != nil || math.Abs(got-2.5*(s-mean)/std) > 1e-9 {
		t.Fatalf("%v, want %v (%v)", got, 2.5*(s-mean)/std, err)
	}
	for i, v := range slope {
		if want := 2.5 / std * float64(g[i]); math.Abs(float64(v)-want) > 1e-4*math.Abs(want)+1e-9 {
			t.Fatalf("value %d: %v, want %v", i, v, want)
		}
	}
	var arg *ArgumentError
	if err := open("cdf", Mini).CheckGradient(); !errors.As(err, &arg) {
		t.Errorf("cdf: %v", err)
	}
}
