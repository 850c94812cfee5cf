package monitor

import (
	"math"
	"slices"
)

// window holds the last size values, the oldest first. The exported part is what a checkpoint keeps.
type window struct {
	Values []float64 `json:"values"`
	size   int
}

func (w *window) add(v float64) {
	w.Values = append(w.Values, v)
	w.trim()
}

func (w *window) trim() {
	if drop := len(w.Values) - w.size; drop > 0 {
		w.Values = slices.Delete(w.Values, 0, drop)
	}
}

func (w *window) full() bool { return len(w.Values) == w.size }

// mean is NaN for no values.
func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// meanError returns the mean of at least two values and its squared standard error, values being independent.
func meanError(v []float64) (m, squared float64) {
	m = mean(v)
	for _, x := range v {
		squared += (x - m) * (x - m)
	}
	n := float64(len(v))
	return m, squared / (n - 1) / n
}

// median of at least one value; of an even number the mean of the middle two.
func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// madScale makes the median absolute deviation of normal numbers their standard deviation: 1/Φ⁻¹(¾).
const madScale = 1.482602218505602

// center is the median and the spread around it, as a standard deviation that single outliers do not move.
func center(v []float64) (middle, spread float64) {
	middle = median(v)
	off := make([]float64, len(v))
	for i, x := range v {
		off[i] = math.Abs(x - middle)
	}
	return middle, madScale * median(off)
}

// Smooth is a moving mean over n values around each, with the range of the middle 80 % of them, for curves that people read. At
// both ends there are fewer values to take. Values that are not finite are left out; where all are, the result is NaN.
func Smooth(values []float64, n int) (means, low, high []float64) {
	half := max(n, 1) / 2
	for i := range values {
		var near []float64
		for _, x := range values[max(0, i-half):min(len(values), i+half+1)] {
			if !math.IsNaN(x) && !math.IsInf(x, 0) {
				near = append(near, x)
			}
		}
		if len(near) == 0 {
			near = []float64{math.NaN()}
		}
		means = append(means, mean(near))
		slices.Sort(near)
		low, high = append(low, near[len(near)/10]), append(high, near[len(near)-1-len(near)/10])
	}
	return means, low, high
}
