package vlmjudge

import (
	"bytes"
	"encoding/base64"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// Sizes over the budget are those of Qwen2-VL's own rule, so that its resize does nothing more.
func TestFit(t *testing.T) {
	for _, c := range []struct{ w, h, wantW, wantH int }{
		{1024, 1024, 980, 980},
		{1216, 832, 1204, 812},
		{832, 1216, 812, 1204},
		{1920, 1080, 1316, 728},
		{512, 512, 512, 512},
		{64, 64, 64, 64},
		{1, 1, 1, 1},
	} {
		if w, h := fit(c.w, c.h, defaultBudget); w != c.wantW || h != c.wantH {
			t.Errorf("%d×%d: %d×%d, want %d×%d", c.w, c.h, w, h, c.wantW, c.wantH)
		}
	}
}

func TestFit_withinBudget(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		w := 1 + r.IntN(4000)
		h := max(1, min(int(float64(w)*math.Exp(r.NormFloat64()*2)), maxAspect*w))
		if w > maxAspect*h {
			continue
		}
		budget := 56*56 + r.IntN(1<<21)
		fw, fh := fit(w, h, budget)
		if fw < 1 || fh < 1 || fw*fh > budget {
			t.Fatalf("%d×%d under %d: %d×%d", w, h, budget, fw, fh)
		}
		if fw == w && fh == h {
			continue
		}
		if w*h <= budget || fw%patch != 0 || fh%patch != 0 {
			t.Fatalf("%d×%d under %d: %d×%d", w, h, budget, fw, fh)
		}
		// Each side loses less than a patch to rounding.
		shrink := math.Sqrt(float64(w) * float64(h) / float64(budget))
		if exact := float64(w) / shrink; fw > patch && fh > patch && math.Abs(exact-float64(fw)) >= patch {
			t.Fatalf("%d×%d under %d: width %d, exact %.1f", w, h, budget, fw, exact)
		}
	}
}

func TestDataURL(t *testing.T) {
	for _, c := range []struct{ w, h, wantW, wantH int }{{40, 30, 40, 30}, {200, 100, 140, 56}} {
		img := filled(c.w, c.h, color.NRGBA{200, 110, 90, 10}) // nearly transparent: alpha is dropped, not blended
		text, err := dataURL(img, 10000)
		if err != nil {
			t.Fatal(err)
		}
		data, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "data:image/png;base64,"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if b := got.Bounds(); b.Dx() != c.wantW || b.Dy() != c.wantH {
			t.Errorf("%d×%d became %v", c.w, c.h, b)
		}
		if p := color.NRGBAModel.Convert(got.At(3, 3)); p != (color.NRGBA{200, 110, 90, 255}) {
			t.Errorf("%d×%d: colour %v", c.w, c.h, p)
		}
	}
}
