package ldm

import (
	"fmt"
	"image"
	"math"
)

// ToImage maps [3, height, width] values from [-1, 1] to 8 bits, clamping and rounding half to even as diffusers does
// ((x/2 + ½) clamped, ×255, numpy round).
func ToImage(px []float32, height, width int) (*image.NRGBA, error) {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	area := height * width
	for c := range 3 {
		for i, v := range px[c*area : (c+1)*area] {
			u := v*0.5 + 0.5
			if u != u || math.IsInf(float64(u), 0) {
				return nil, fmt.Errorf("the VAE gave %v at channel %d, row %d, column %d", v, c, i/width, i%width)
			}
			img.Pix[4*i+c] = uint8(math.RoundToEven(float64(min(max(u, 0), 1) * 255)))
		}
	}
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = 255
	}
	return img, nil
}
