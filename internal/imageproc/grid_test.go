package imageproc

import (
	"image"
	"image/color"
	"strings"
	"testing"
)

func TestGrid(t *testing.T) {
	var pictures []image.Image
	for i := range 5 {
		p := image.NewNRGBA(image.Rect(3, 7, 3+128, 7+64))
		for j := range p.Pix {
			p.Pix[j] = 255
		}
		p.SetNRGBA(3, 7, color.NRGBA{byte(i), 0, 0, 255})
		pictures = append(pictures, p)
	}
	pictures[4] = pictures[4].(*image.NRGBA).SubImage(image.Rect(3, 7, 3+64, 7+64))
	g, err := Grid(pictures, 0) // three columns, two rows, one pixel between them
	if err != nil {
		t.Fatal(err)
	}
	if g.Bounds() != image.Rect(0, 0, 3*129-1, 2*65-1) {
		t.Fatalf("bounds %v", g.Bounds())
	}
	for i, at := range []image.Point{{0, 0}, {129, 0}, {258, 0}, {0, 65}, {129 + 32, 65}} { // the small one stands in the middle
		if got := g.NRGBAAt(at.X, at.Y); got != (color.NRGBA{byte(i), 0, 0, 255}) {
			t.Errorf("picture %d: %v", i, got)
		}
	}
	for _, at := range []image.Point{{128, 3}, {5, 64}, {300, 100}, {129 + 31, 80}} {
		if got := g.NRGBAAt(at.X, at.Y); got != gridGap {
			t.Errorf("%v: %v between the pictures", at, got)
		}
	}
	if g, err := Grid(pictures[:2], 7); err != nil || g.Bounds().Dx() != 2*129-1 {
		t.Errorf("more columns than pictures: %v, %v", g.Bounds(), err)
	}
}

func TestGrid_refuses(t *testing.T) {
	large := image.NewUniform(color.White) // 2·10⁹ pixels each way, none in memory
	for name, pictures := range map[string][]image.Image{"without": nil, "pixels; take": {large}, "has no pixels": {image.NewNRGBA(image.Rectangle{})}, "2 of a grid has no": {image.NewNRGBA(image.Rect(0, 0, 1, 1)), nil}} {
		if _, err := Grid(pictures, 0); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
