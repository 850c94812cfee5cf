package imageproc

import (
	"crypto/sha256"
	"encoding/hex"
	"image"
	"image/color"
	"testing"
)

// rgbOf are the colours of an image, three bytes a pixel.
func rgbOf(img *image.NRGBA) []byte {
	out := make([]byte, 0, 3*len(img.Pix)/4)
	for y := range img.Rect.Dy() {
		row := img.Pix[y*img.Stride:][:4*img.Rect.Dx()]
		for i := 0; i < len(row); i += 4 {
			out = append(out, row[i:i+3]...)
		}
	}
	return out
}

func digest(img *image.NRGBA) string {
	sum := sha256.Sum256(rgbOf(img))
	return hex.EncodeToString(sum[:])
}

func TestResize_equalsPillowBitForBit(t *testing.T) {
	var g struct {
		Rows []struct {
			Filter Filter
			W, H   int
			Out    [2]int
			SHA256 string
		}
	}
	readJSON(t, "resize.json", &g)
	if len(g.Rows) < 150 {
		t.Fatalf("only %d goldens", len(g.Rows))
	}
	for _, r := range g.Rows {
		got := Resize(formula(r.W, r.H), r.Out[0], r.Out[1], r.Filter)
		if got.Rect != image.Rect(0, 0, r.Out[0], r.Out[1]) || digest(got) != r.SHA256 {
			t.Errorf("filter %d, %d×%d to %v: %v differs", r.Filter, r.W, r.H, r.Out, got.Rect)
		}
	}
}

// table is the 5×7 picture of the reference table of resize results.
func table() *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, 7, 5))
	for y := range 5 {
		for x := range 7 {
			v := byte((37*(7*y+x) + 11*y*y) % 256)
			img.SetNRGBA(x, y, color.NRGBA{v, v, v, 255})
		}
	}
	return img
}

func TestResize_referenceTable(t *testing.T) {
	for _, c := range []struct {
		w, h int
		want []byte
	}{
		{4, 3, []byte{18, 80, 154, 218, 67, 140, 167, 121, 174, 115, 67, 96}},
		{11, 9, []byte{0, 12, 39, 63, 86, 110, 134, 157, 181, 208, 224}},
	} {
		got := rgbOf(Resize(table(), c.w, c.h, Bicubic))
		for i, v := range c.want {
			if got[3*i] != v {
				t.Errorf("%d×%d: value %d is %d, want %d", c.w, c.h, i, got[3*i], v)
			}
		}
	}
}
