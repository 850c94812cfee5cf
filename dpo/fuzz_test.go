package dpo

import (
	"math"
	"testing"
)

// Errors of finite float32 outputs are finite and below 4·max², 4.7e77. Within that every loss and derivative is finite,
// and beyond, nothing panics and a NaN shows.
func FuzzObjective(f *testing.F) {
	f.Add(.1, .12, .101, .1205, 1., 5000.)
	f.Add(0., 0., 0., 0., .5, 1.)
	f.Add(4.6e77, 0., 0., 4.6e77, 0., maxSetting)
	f.Add(0., 4.6e77, 4.6e77, 0., 1., maxSetting)
	f.Add(-1e77, 1e-300, 5e-324, 1., .3, 1e-300)
	f.Add(math.Inf(1), 0., 0., 0., 1., 1.)
	f.Add(math.NaN(), 0., 0., 0., 1., 1.)
	f.Add(.1, .1, .1, math.NaN(), 1., 1.)
	f.Fuzz(func(t *testing.T, policyChosen, policyRejected, refChosen, refRejected, label, beta float64) {
		if !(beta > 0 && beta <= maxSetting) || !(label >= 0 && label <= 1) {
			return
		}
		terms := []Terms{pairTerms(policyChosen, policyRejected, refChosen, refRejected, label), pairTerms(.1, .1, .1, .1, 1)}
		bounded, missing := true, false
		for _, v := range []float64{policyChosen, policyRejected, refChosen, refRejected} {
			bounded = bounded && math.Abs(v) <= 4.7e77
			missing = missing || math.IsNaN(v)
		}
		named(t, beta, func(name string, m Method, loss string, o Objective) {
			grad := make([]Grad, 2)
			value := o.Evaluate(terms, grad)
			numbers := []float64{value, grad[0].Chosen, grad[0].Rejected, grad[1].Chosen, grad[1].Rejected}
			for _, v := range numbers {
				if bounded && (math.IsNaN(v) || math.IsInf(v, 0)) {
					t.Errorf("%s: loss and derivatives %v of %+v", name, numbers, terms[0])
				}
			}
			if gone := missing && m.UsesReference(loss) && m.Name != "pmpo" || m.Rejected && math.IsNaN(policyChosen+policyRejected); gone && !math.IsNaN(value) && !math.IsInf(policyChosen+policyRejected, 0) {
				t.Errorf("%s: loss %g of %+v hides a NaN", name, value, terms[0])
			}
			if bounded && m.UsesReference(loss) && !m.Drift && loss != "robust" && value < -1e-15 {
				t.Errorf("%s: loss %g is below 0", name, value)
			}
		})
	})
}
