package imageproc

import (
	"math"
)

// smooth are the taps of Pillow and of torch with antialiasing.
func smooth(in, out int) []taps { return kernels[Bicubic].antialiased(in, out) }

// interpolated are torch's taps without antialiasing: always four samples, whose indices stop at the borders. They are given
// as one weight per input sample touched. Positions are float32 as there: far from the origin that moves a value by 1e-5.
func interpolated(in, out int) []taps {
	scale := float32(in) / float32(out)
	list := make([]taps, out)
	for i := range list {
		at := float64(float32((float64(i)+0.5)*float64(scale) - 0.5)) // rounded once: torch fuses
		floor := int(math.Floor(at))
		from, to := min(max(floor-1, 0), in-1), min(max(floor+2, 0), in-1)
		w := make([]float64, to-from+1)
		for k := floor - 1; k <= floor+2; k++ {
			w[min(max(k, 0), in-1)-from] += cubic(at-float64(k), cubicSharp)
		}
		list[i] = taps{from, w}
	}
	return list
}

// field is one channel in floating point, row after row.
type field struct {
	w, h int
	v    []float64
}

// resized applies taps to both directions, columns of each row first; nothing is rounded or clamped. round, where given, is
// applied after each pass.
func (p field) resized(w, h int, tapsOf func(in, out int) []taps, round func(float64) float64) field {
	rows := field{w, p.h, make([]float64, w*p.h)}
	if w == p.w {
		rows = p
	} else {
		list := tapsOf(p.w, w)
		for y := range p.h {
			for x, t := range list {
				rows.v[y*w+x] = sum(p.v[y*p.w+t.first:], 1, t.weights, round)
			}
		}
	}
	if h == p.h {
		return rows
	}
	out := field{w, h, make([]float64, w*h)}
	for y, t := range tapsOf(p.h, h) {
		for x := range w {
			out.v[y*w+x] = sum(rows.v[t.first*w+x:], w, t.weights, round)
		}
	}
	return out
}

func sum(v []float64, stride int, weights []float64, round func(float64) float64) float64 {
	s := 0.0
	for k, w := range weights {
		s += w * v[k*stride]
	}
	if round != nil {
		return round(s)
	}
	return s
}
