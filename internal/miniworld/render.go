package miniworld

import (
	"image"
	"math"
)

// Render draws the scene on a Size×Size opaque picture: the background, then the objects in order, each with an edge
// one pixel soft. Colours and levels outside [0, 1] are clipped; an unknown shape draws nothing.
func (s Scene) Render() *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, Size, Size))
	for y := range Size {
		for x := range Size {
			rgb := s.at(float64(x)+0.5, float64(y)+0.5)
			pixel := img.Pix[img.PixOffset(x, y):]
			for c := range rgb {
				pixel[c] = uint8(clamp(rgb[c], 0, 1)*255 + 0.5)
			}
			pixel[3] = 255
		}
	}
	return img
}

// at returns the colour at a point in pixels.
func (s Scene) at(x, y float64) [3]float64 {
	level := s.Background.at(x, y)
	rgb := [3]float64{level, level, level}
	for _, o := range s.Objects {
		cover := clamp(0.5-distance(o.Shape, x-o.X, y-o.Y, o.R), 0, 1)
		for c := range rgb {
			rgb[c] = rgb[c]*(1-cover) + o.RGB[c]*cover
		}
	}
	return rgb
}

// at returns the grey level at a point in pixels. Stripes are 8 pixels high with an edge one pixel soft, checks 16
// pixels wide and hard.
func (b Background) at(x, y float64) float64 {
	switch b.Kind {
	case "gradient":
		return b.Top + (b.Bottom-b.Top)*y/Size
	case "striped":
		t := math.Mod(y+b.Phase, 16)
		edge := math.Min(math.Abs(t-8), math.Min(t, 16-t))
		if t >= 8 {
			edge = -edge
		}
		return b.Low + (b.High-b.Low)*clamp(0.5+edge, 0, 1)
	case "checkered":
		if (int(x/16)+int(y/16)+int(b.Phase))%2 == 0 {
			return b.Low
		}
		return b.High
	}
	return b.Level
}
