package imageproc

import (
	"errors"
	"fmt"
	"image"
	"math"
)

// Differentiable is a preparation that also exists in floating point, as a map with a derivative.
type Differentiable interface {
	Preparer
	Floating(w, h int) (*FloatMap, error)
}

// FloatMap prepares pictures of one size that are given in floating point, as a VAE decoder makes them: 3×h×w values around −1
// to 1, channel after channel. Values are cut off at −1 and 1, resized in floating point, cropped or padded with black, and
// normalised: an affine map behind the cut. Prepare of the same picture in bytes differs by the rounding to bytes before and,
// except for letterboxes, between the passes of the resize (each within half a level), and where the filter overshoots black
// or white, which bytes cannot hold. It is safe for concurrent use.
type FloatMap struct {
	w, h         int // of the pictures
	outW, outH   int
	left, top    int // where the picture lies in the result
	cols, rows   []taps
	black, slope [3]float64 // result = black + slope·intensity, intensity 0 to 1
}

// newFloatMap lays out a resize to `to`, of which span cols and rows are kept.
func newFloatMap(w, h int, to, out image.Point, tapsOf func(in, out int) []taps, cut func(have, want int) (from, at, n int)) (*FloatMap, error) {
	switch {
	case w < 1 || h < 1:
		return nil, errors.New("imageproc: picture without pixels")
	case to.X < 1 || to.Y < 1:
		return nil, fmt.Errorf("imageproc: a picture of %d×%d would have no pixels left when resized; cut it", w, h)
	case to.X > DefaultLimits.Pixels/to.Y:
		return nil, fmt.Errorf("imageproc: a picture of %d×%d is too long for its width: resized it would be %d×%d; cut it", w, h, to.X, to.Y)
	}
	m := &FloatMap{w: w, h: h, outW: out.X, outH: out.Y}
	fx, left, nx := cut(to.X, out.X)
	fy, top, ny := cut(to.Y, out.Y)
	m.left, m.top = left, top
	m.cols, m.rows = axis(w, to.X, tapsOf)[fx:fx+nx], axis(h, to.Y, tapsOf)[fy:fy+ny]
	return m, nil
}

// axis gives taps; an axis that keeps its length keeps its samples.
func axis(in, out int, tapsOf func(in, out int) []taps) []taps {
	if in != out {
		return tapsOf(in, out)
	}
	list := make([]taps, in)
	for i := range list {
		list[i] = taps{i, []float64{1}}
	}
	return list
}

// clipScale sets CLIP's normalisation.
func (m *FloatMap) clipScale() *FloatMap {
	for c := range 3 {
		m.black[c], m.slope[c] = -clipMean[c]/clipStd[c], 1/clipStd[c]
	}
	return m
}

// Floating is the preparation of pictures of w×h pixels in floating point.
func (p *Processor) Floating(w, h int) (*FloatMap, error) {
	to, out := image.Pt(w, h), image.Point{}
	if p.resize && w > 0 && h > 0 {
		to.X, to.Y = p.target(w, h)
	}
	out.X, out.Y = p.Size()
	tapsOf := nearestTaps
	if k, ok := kernels[p.filter]; ok {
		tapsOf = k.antialiased
	}
	m, err := newFloatMap(w, h, to, out, tapsOf, func(have, want int) (int, int, int) { return cropSpan(have, want, p.backend) })
	if err != nil {
		return nil, err
	}
	for c := range 3 {
		m.black[c] = float64(p.table[c][0])
		m.slope[c] = float64(p.table[c][255]) - m.black[c]
	}
	return m, nil
}

// nearestTaps takes the samples that Pillow's nearest neighbour takes.
func nearestTaps(in, out int) []taps {
	list := make([]taps, out)
	for i, at := range centres(in, out) {
		list[i] = taps{at, []float64{1}}
	}
	return list
}

// Floating is the preparation of pictures of w×h pixels in floating point.
func (l Letterbox) Floating(w, h int) (*FloatMap, error) {
	var to image.Point
	if w > 0 && h > 0 {
		to = l.target(w, h)
	}
	tapsOf := smooth
	if l.Legacy {
		tapsOf = interpolated
	}
	m, err := newFloatMap(w, h, to, image.Pt(l.Side, l.Side), tapsOf, func(have, want int) (int, int, int) { return 0, (want - have) / 2, have })
	if err != nil {
		return nil, err
	}
	return m.clipScale(), nil
}

// Floating is the preparation of pictures of w×h pixels in floating point.
func (t Torchvision) Floating(w, h int) (*FloatMap, error) {
	var to image.Point
	if w > 0 && h > 0 {
		to.X, to.Y = t.target(w, h)
	}
	cut := func(have, want int) (int, int, int) { return int(math.RoundToEven(float64(have-want) / 2)), 0, want }
	m, err := newFloatMap(w, h, to, image.Pt(t.Side, t.Side), smooth, cut)
	if err != nil {
		return nil, err
	}
	return m.clipScale(), nil
}

// Prepare writes the prepared picture, 3 channels of the size that the preparation gives, into dst.
func (m *FloatMap) Prepare(dst, pixels []float32) error {
	if err := m.check(dst, pixels); err != nil {
		return err
	}
	nx, in, wide := len(m.cols), make([]float64, m.w), make([]float64, m.h*len(m.cols))
	for c := range 3 {
		to := dst[c*m.outW*m.outH:][:m.outW*m.outH]
		fill(to, float32(m.black[c]))
		for y := range m.h {
			for x, v := range pixels[(c*m.h+y)*m.w:][:m.w] {
				in[x] = min(max(float64(v)/2+0.5, 0), 1)
			}
			for x, t := range m.cols {
				wide[y*nx+x] = sum(in[t.first:], 1, t.weights, nil)
			}
		}
		for y, t := range m.rows {
			for x := range nx {
				to[(m.top+y)*m.outW+m.left+x] = float32(m.black[c] + m.slope[c]*sum(wide[t.first*nx+x:], nx, t.weights, nil))
			}
		}
	}
	return nil
}

// Adjoint turns the derivative of a number with respect to the prepared picture into that with respect to pixels. It is zero
// where pixels lie beyond −1 or 1, as torch.clamp's is; the bounds themselves pass it on. dst may be pixels.
func (m *FloatMap) Adjoint(dst, gradient, pixels []float32) error {
	if err := m.check(gradient, pixels); err != nil {
		return err
	}
	if len(dst) != len(pixels) {
		return fmt.Errorf("imageproc: destination holds %d values, want %d", len(dst), len(pixels))
	}
	nx, row, wide := len(m.cols), make([]float64, m.w), make([]float64, m.h*len(m.cols))
	for c := range 3 {
		clear(wide)
		from := gradient[c*m.outW*m.outH:]
		for y, t := range m.rows {
			for x := range nx {
				g := m.slope[c] * float64(from[(m.top+y)*m.outW+m.left+x])
				scatter(wide[t.first*nx+x:], nx, t.weights, g)
			}
		}
		for y := range m.h {
			clear(row)
			for x, t := range m.cols {
				scatter(row[t.first:], 1, t.weights, wide[y*nx+x])
			}
			at := (c*m.h + y) * m.w
			for x, g := range row {
				if v := pixels[at+x]; v < -1 || v > 1 {
					g = 0
				}
				dst[at+x] = float32(g / 2)
			}
		}
	}
	return nil
}

// scatter is the transpose of sum.
func scatter(v []float64, stride int, weights []float64, g float64) {
	for k, w := range weights {
		v[k*stride] += w * g
	}
}

func (m *FloatMap) check(prepared, pixels []float32) error {
	if want := 3 * m.w * m.h; len(pixels) != want {
		return fmt.Errorf("imageproc: a picture of %d×%d has %d values, want %d", m.w, m.h, len(pixels), want)
	}
	if want := 3 * m.outW * m.outH; len(prepared) != want {
		return fmt.Errorf("imageproc: a prepared picture has %d values, want %d", len(prepared), want)
	}
	return nil
}
