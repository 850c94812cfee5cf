package metric

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Interval is a figure with its confidence interval.
type Interval struct {
	Value, Low, High float64
}

// Wilson is Wilson's score interval of a share, for comparison: it takes the pairs for independent, which pairs of one
// prompt are not, and so is too narrow for pooled pairs. level is for example 0.95.
func Wilson(c Count, level float64) Interval {
	z := distuv.UnitNormal.Quantile(0.5 + level/2)
	p, n := c.Share(), c.Total
	middle := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	w := Interval{p, middle - half, middle + half}
	switch { // these ends are exact; rounding would put them to either side
	case n == 0: // NaN
	case c.Right == 0:
		w.Low = 0
	case c.Right == n:
		w.High = 1
	}
	return w
}

// Bootstrap is the percentile interval of a statistic over n clusters (prompts), which are drawn with replacement:
// whatever belongs to a prompt stays together. of computes the statistic for the clusters given by index; resamples for
// which it is NaN are left out. The same seed gives the same interval. One cluster tells nothing about how clusters differ: its
// interval is NaN.
func Bootstrap(n, resamples int, seed uint64, level float64, of func(clusters []int) float64) Interval {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	if n < 2 {
		return Interval{of(all), math.NaN(), math.NaN()}
	}
	r := rand.New(rand.NewPCG(seed, 0))
	draw, values := make([]int, n), make([]float64, 0, resamples)
	for range resamples {
		for i := range draw {
			draw[i] = r.IntN(n)
		}
		if v := of(draw); !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	low, high := percentiles(values, level)
	return Interval{of(all), low, high}
}

// percentiles cuts the same share off both ends, interpolating between values as numpy does.
func percentiles(values []float64, level float64) (low, high float64) {
	if len(values) == 0 {
		return math.NaN(), math.NaN()
	}
	slices.Sort(values)
	at := func(q float64) float64 {
		x := q * float64(len(values)-1)
		i := int(x)
		if i == len(values)-1 {
			return values[i]
		}
		return values[i] + (x-float64(i))*(values[i+1]-values[i])
	}
	return at((1 - level) / 2), at((1 + level) / 2)
}

// SharesOf is the statistic of Bootstrap for pooled counts, one a cluster.
func SharesOf(counts []Count) func(clusters []int) float64 {
	return func(clusters []int) float64 {
		var sum Count
		for _, i := range clusters {
			sum.Right += counts[i].Right
			sum.Total += counts[i].Total
		}
		return sum.Share()
	}
}

// MeanOf is the statistic of Bootstrap for one number a cluster; NaN is left out.
func MeanOf(values []float64) func(clusters []int) float64 {
	return func(clusters []int) float64 {
		sum, n := 0.0, 0.0
		for _, i := range clusters {
			if !math.IsNaN(values[i]) {
				sum, n = sum+values[i], n+1
			}
		}
		return sum / n
	}
}
