package metric

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// McNemar is the exact two-sided test of whether two scorers that answered the same questions are right equally often: onlyA
// counts the questions that only the first got right, onlyB those that only the second did. Under equality onlyA is
// binomial with probability ½. The result is 1 when they never disagree.
func McNemar(onlyA, onlyB int) float64 {
	n, k := onlyA+onlyB, min(onlyA, onlyB)
	if n == 0 {
		return 1
	}
	return math.Min(1, 2*distuv.Binomial{N: float64(n), P: 0.5}.CDF(float64(k)))
}

// Difference is what PairedBootstrap finds.
type Difference struct {
	Interval         // a − b
	P        float64 // two-sided: twice the smaller share of resamples on either side of 0, at least 2/(resamples+1)
}

// PairedBootstrap compares two statistics over the same n clusters (prompts), drawn together, so that what makes a prompt
// easy or hard for both cancels out.
func PairedBootstrap(n, resamples int, seed uint64, level float64, a, b func(clusters []int) float64) Difference {
	var ds []float64
	iv := Bootstrap(n, resamples, seed, level, func(clusters []int) float64 {
		d := a(clusters) - b(clusters)
		ds = append(ds, d)
		return d
	})
	below, above, total := 0.0, 0.0, 0.0
	for _, d := range ds[:len(ds)-1] { // the last is the statistic itself
		if math.IsNaN(d) {
			continue
		}
		total++
		if d <= 0 {
			below++
		}
		if d >= 0 {
			above++
		}
	}
	return Difference{iv, math.Min(1, 2*(math.Min(below, above)+1)/(total+1))}
}
