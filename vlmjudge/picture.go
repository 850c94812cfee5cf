package vlmjudge

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"math"

	"winnow/internal/imageproc"
)

const (
	patch      = 28  // pixels that Qwen-type judges put into one token's side; sides of its multiples stay as they are there
	maxAspect  = 200 // beyond it servers refuse a picture
	dataPrefix = "data:image/png;base64,"
)

// checkPicture refuses what no server takes; what names the picture.
func checkPicture(what string, img image.Image) error {
	if img == nil {
		return fmt.Errorf("vlmjudge: %s is missing", what)
	}
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	if w <= 0 || h <= 0 {
		return fmt.Errorf("vlmjudge: %s is empty: %d×%d pixels", what, w, h)
	}
	if max(w, h) > maxAspect*min(w, h) {
		return fmt.Errorf("vlmjudge: %s has %d×%d pixels, and servers refuse sides of more than 1:%d; crop it", what, w, h, maxAspect)
	}
	return nil
}

// fit is the size to send: unchanged within the budget, else near the same aspect ratio, multiples of 28, within it.
func fit(w, h, budget int) (int, int) {
	if w*h <= budget {
		return w, h
	}
	shrink := math.Sqrt(float64(w) * float64(h) / float64(budget))
	down := func(side int) int { return int(float64(side)/shrink) / patch * patch }
	fw, fh := down(w), down(h)
	// A side of very long pictures falls below a patch; then the other one takes what is left of the budget.
	rest := max(patch, budget/patch/patch*patch)
	switch {
	case fw < patch:
		fw, fh = patch, min(fh, rest)
	case fh < patch:
		fw, fh = min(fw, rest), patch
	}
	return fw, fh
}

// dataURL is the picture as opaque PNG in a data URL, resampled by Pillow's bicubic filter if it is over the budget.
func dataURL(img image.Image, budget int) (string, error) {
	pixels := imageproc.Opaque(img)
	if w, h := fit(pixels.Rect.Dx(), pixels.Rect.Dy(), budget); w != pixels.Rect.Dx() || h != pixels.Rect.Dy() {
		pixels = imageproc.Resize(pixels, w, h, imageproc.Bicubic)
	}
	data, err := encodePNG(pixels)
	return dataPrefix + data, err
}

// encodePNG is the picture as PNG in base64.
func encodePNG(img *image.NRGBA) (string, error) {
	var buf bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(&buf, img); err != nil {
		return "", fmt.Errorf("vlmjudge: encode a picture: %w", err)
	}
	return base64.StdEncoding.EncodeToString(buf.Bytes()), nil
}
