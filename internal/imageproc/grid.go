package imageproc

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
)

// gridGap is the colour between the pictures of a grid, visible on light and on dark pages.
var gridGap = color.NRGBA{0x88, 0x88, 0x88, 0xff}

// Grid puts pictures side by side, row by row from the top left, in cells of the largest width and height; smaller ones stand in the
// middle of theirs. columns 0 gives a grid that is about square. It fails without pictures, and where the result would be larger than
// the pictures that are read here may be.
func Grid(pictures []image.Image, columns int) (*image.NRGBA, error) {
	n := len(pictures)
	if n == 0 {
		return nil, errors.New("imageproc: grid without pictures")
	}
	if columns <= 0 {
		columns = int(math.Ceil(math.Sqrt(float64(n))))
	}
	columns = min(columns, n)
	rows := (n + columns - 1) / columns
	w, h := 0, 0
	for i, p := range pictures {
		if p == nil || p.Bounds().Empty() {
			return nil, fmt.Errorf("imageproc: picture %d of a grid has no pixels", i+1)
		}
		w, h = max(w, p.Bounds().Dx()), max(h, p.Bounds().Dy())
	}
	gap := max(1, min(w, h)/64)
	width, height := columns*(w+gap)-gap, rows*(h+gap)-gap
	if width > DefaultLimits.Side || height > DefaultLimits.Side || int64(width)*int64(height) > int64(DefaultLimits.Pixels) {
		return nil, fmt.Errorf("imageproc: a grid of %d pictures would have %d×%d pixels; take fewer or smaller ones", n, width, height)
	}
	out := image.NewNRGBA(image.Rect(0, 0, width, height))
	draw.Draw(out, out.Bounds(), image.NewUniform(gridGap), image.Point{}, draw.Src)
	for i, p := range pictures {
		b := p.Bounds()
		x, y := i%columns*(w+gap)+(w-b.Dx())/2, i/columns*(h+gap)+(h-b.Dy())/2
		draw.Draw(out, image.Rect(x, y, x+b.Dx(), y+b.Dy()), p, b.Min, draw.Src)
	}
	return out, nil
}
