package imageproc

import "math"

// Filter is a resampling kernel under Pillow's number, which is also the number
// in preprocessor_config.json.
type Filter int

// The kernels of Pillow's Image.resize.
const (
	Nearest  Filter = 0
	Lanczos  Filter = 1
	Bilinear Filter = 2
	Bicubic  Filter = 3
	Box      Filter = 4
	Hamming  Filter = 5
)

// kernel is a symmetric weight function that is zero beyond its support,
// measured in pixels of the coarser grid.
type kernel struct {
	support float64
	at      func(float64) float64
}

// Cubic sharpness: Pillow and torch's antialiased mode use the Catmull-Rom
// value, torch without antialiasing the one of OpenCV.
const (
	cubicSmooth = -0.5
	cubicSharp  = -0.75
)

var kernels = map[Filter]kernel{
	Lanczos:  {3, lanczos},
	Bilinear: {1, triangle},
	Bicubic:  {2, func(x float64) float64 { return cubic(x, cubicSmooth) }},
	Box:      {0.5, box},
	Hamming:  {1, hamming},
}

func box(x float64) float64 {
	if x > -0.5 && x <= 0.5 {
		return 1
	}
	return 0
}

func triangle(x float64) float64 { return max(0, 1-math.Abs(x)) }

// hamming is a windowed sinc; Pillow keeps its two constants in float32.
func hamming(x float64) float64 {
	const a, b = float64(float32(0.54)), float64(float32(0.46))
	if math.Abs(x) >= 1 {
		return 0
	}
	return sinc(x) * (a + float64(b*math.Cos(x*math.Pi)))
}

func lanczos(x float64) float64 {
	if x < -3 || x >= 3 {
		return 0
	}
	return sinc(x) * sinc(x/3)
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}

// cubic is the piecewise cubic convolution kernel. The conversions keep
// compilers from fusing products and sums, so that every machine gets the same weights.
func cubic(x, a float64) float64 {
	x = math.Abs(x)
	switch {
	case x < 1:
		return float64(float64(float64(float64((a+2)*x)-(a+3))*x)*x) + 1
	case x < 2:
		return (float64((float64((x-5)*x)+8)*x) - 4) * a
	}
	return 0
}

// taps are the source pixels first, first+1, … that make one result pixel.
type taps struct {
	first   int
	weights []float64
}

// antialiased lists the taps of every result pixel; shrinking widens the kernel
// by the same factor, and weights add up to 1.
func (k kernel) antialiased(in, out int) []taps {
	scale := float64(in) / float64(out)
	wide := max(scale, 1)
	support, narrow := k.support*wide, 1/wide
	list := make([]taps, out)
	for i := range list {
		center := float64((float64(i) + 0.5) * scale)
		first := max(int(center-support+0.5), 0)
		end := min(int(center+support+0.5), in)
		w, sum := make([]float64, end-first), 0.0
		for j := range w {
			w[j] = k.at((float64(j+first) - center + 0.5) * narrow)
			sum += w[j]
		}
		for j := range w {
			if sum != 0 {
				w[j] /= sum
			}
		}
		list[i] = taps{first, w}
	}
	return list
}
