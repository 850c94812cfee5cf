package metric

import (
	"cmp"
	"math"
	"slices"
)

// ECE is the expected calibration error over equal-width bins of probability: Σ share of the bin · |mean probability − mean
// label|. Labels are 0, 1, or between for soft ones. (Guo et al. 2017, On calibration of modern neural networks, eq. 3.)
func ECE(probability, label []float64, bins int) float64 {
	sums := make([]struct{ n, p, y float64 }, bins)
	for i, p := range probability {
		b := &sums[min(max(int(p*float64(bins)), 0), bins-1)]
		b.n, b.p, b.y = b.n+1, b.p+p, b.y+label[i]
	}
	e := 0.0
	for _, b := range sums {
		if b.n > 0 {
			e += math.Abs(b.p-b.y) / float64(len(probability))
		}
	}
	return e
}

// ECEMass is ECE over bins of equal mass: sorted by probability, then by label, and cut into bins whose sizes differ by one at
// most, the larger ones first. Bins of equal width leave most of them empty for scorers that are always sure, or never.
func ECEMass(probability, label []float64, bins int) float64 {
	order := make([]int, len(probability))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(probability[a], probability[b]), cmp.Compare(label[a], label[b]))
	})
	e, at := 0.0, 0
	for k := range bins {
		size := (len(order) - k + bins - 1) / bins
		gap := 0.0
		for _, i := range order[at : at+size] {
			gap += probability[i] - label[i]
		}
		at += size
		e += math.Abs(gap) / float64(len(order))
	}
	return e
}

// Brier is the mean squared difference of probability and label (Brier 1950).
func Brier(probability, label []float64) float64 {
	sum := 0.0
	for i, p := range probability {
		sum += (p - label[i]) * (p - label[i])
	}
	return sum / float64(len(probability))
}

// FitTemperature returns the τ for which σ(margin/τ) has the smallest cross-entropy against the labels (0…1). The loss is
// convex in 1/τ, so its slope Σ (σ(margin/τ) − label)·margin is brought to 0 by bisection. Margins that order everything
// rightly make τ go to 0, labels that contradict them make it grow without limit: it stays within 10⁻³ and 10³ times the
// largest margin. All margins 0 give 1.
func FitTemperature(margin, label []float64) float64 {
	scale := 0.0
	for _, m := range margin {
		scale = math.Max(scale, math.Abs(m))
	}
	if scale == 0 {
		return 1
	}
	slope := func(inverse float64) float64 {
		sum := 0.0
		for i, m := range margin {
			sum += (1/(1+math.Exp(-m*inverse)) - label[i]) * m
		}
		return sum
	}
	low, high := 1e-3/scale, 1e3/scale
	for range 200 {
		if mid := math.Sqrt(low * high); slope(mid) < 0 {
			low = mid
		} else {
			high = mid
		}
	}
	return 1 / math.Sqrt(low*high)
}

// Isotonic is a non-decreasing step function fitted to labels.
type Isotonic struct {
	X, Y []float64 // thresholds, ascending, and values
}

// FitIsotonic fits by pooling adjacent violators (Barlow et al. 1972): the least-squares non-decreasing function of x.
// Equal x share one value.
func FitIsotonic(x, label []float64) Isotonic {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(x[a], x[b]) })
	type block struct{ from, sum, n float64 }
	var blocks []block
	for k := 0; k < len(order); {
		b := block{from: x[order[k]]}
		for ; k < len(order) && x[order[k]] == b.from; k++ {
			b.sum, b.n = b.sum+label[order[k]], b.n+1
		}
		for len(blocks) > 0 {
			last := blocks[len(blocks)-1]
			if last.sum/last.n < b.sum/b.n {
				break
			}
			b = block{last.from, last.sum + b.sum, last.n + b.n}
			blocks = blocks[:len(blocks)-1]
		}
		blocks = append(blocks, b)
	}
	var f Isotonic
	for _, b := range blocks {
		f.X, f.Y = append(f.X, b.from), append(f.Y, b.sum/b.n)
	}
	return f
}

// At is the value at x: that of the last threshold not above x, the first one's below all.
func (f Isotonic) At(x float64) float64 {
	i, found := slices.BinarySearch(f.X, x)
	if !found {
		i--
	}
	if len(f.Y) == 0 {
		return math.NaN()
	}
	return f.Y[max(i, 0)]
}
