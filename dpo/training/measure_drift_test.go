package training

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"winnow/dpo"
)

// drifting is a loss of everything that terms hold about a pair.
type drifting struct{}

func (drifting) Evaluate(terms []dpo.Terms, grad []dpo.Grad) float64 {
	loss, n := 0.0, float64(len(terms))
	for i, t := range terms {
		// 0.3 of the chosen picture's drift, the square of the rejected one's, and both errors.
		loss += (t.PolicyChosen - 0.5*t.PolicyRejected + 0.3*t.DriftChosen + t.DriftRejected*t.DriftRejected) / n
		grad[i] = dpo.Grad{Chosen: 1 / n, Rejected: -0.5 / n, DriftChosen: 0.3 / n, DriftRejected: 2 * t.DriftRejected / n}
	}
	return loss
}

// The derivative of a loss of drifts is that of the loss, with one reference and with several, weighed errors or not.
func TestGradient_drift(t *testing.T) {
	m, err := dpo.FindMethod("dpo")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"base": func(*Config) {}, "weighed": func(c *Config) { c.SNRGamma = 2 },
		"two references": func(c *Config) {
			c.Reference.Files = []ReferenceFile{{BaseReference, 0.25}, {guide(t), 0.75}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := methodConfig(m)
			change(&c)
			tr := aloof(t, c)
			tr.method.Drift, tr.objective = true, drifting{}
			s := batchOf(t, tr, madeUp(tr, 2))
			grad, _ := gradientOf(t, tr, s)
			random := make([]float32, len(grad))
			normal(random, rand.New(rand.NewPCG(7, 8)))
			for name, along := range map[string][]float32{"gradient": grad, "random": random} {
				length := math.Sqrt(dot(along, along))
				want := dot(grad, along) / length
				difference := func(h float64) float64 {
					return (lossAt(t, tr, s, along, h/length) - lossAt(t, tr, s, along, -h/length)) / (2 * h)
				}
				got := (4*difference(0.04) - difference(0.08)) / 3
				if scale := math.Sqrt(dot(grad, grad)); math.Abs(got-want) > 1e-4*scale {
					t.Errorf("along the %s the derivative is %v, differences say %v", name, want, got)
				}
			}
		})
	}
}

// guide writes an adapter far from the base model.
func guide(t *testing.T) string {
	t.Helper()
	m, err := dpo.FindMethod("dpo")
	if err != nil {
		t.Fatal(err)
	}
	tr := aloof(t, methodConfig(m))
	stir(tr, 0.1, 9)
	files, err := tr.WriteAdapters(t.TempDir(), "guide")
	if err != nil {
		t.Fatal(err)
	}
	return files[0]
}

// described keeps the terms of a batch, the first that it is asked about.
type described struct{ terms []dpo.Terms }

func (d *described) Evaluate(terms []dpo.Terms, _ []dpo.Grad) float64 {
	if d.terms == nil {
		d.terms = slices.Clone(terms)
	}
	return 0
}

// Drifts and the product of errors are what their names say, and the policy that agrees with its reference has no drift.
func TestDescribe(t *testing.T) {
	m, err := dpo.FindMethod("dpo")
	if err != nil {
		t.Fatal(err)
	}
	tr := aloof(t, methodConfig(m))
	seen := &described{}
	tr.method.Drift, tr.method.Dot, tr.objective = true, true, seen
	all := madeUp(tr, 2)
	all[1].pair.Scores, all[1].group = [2]float64{3, -1}, 7
	all[1].rejected = all[1].chosen
	s := batchOf(t, tr, all)
	gradientOf(t, tr, s)
	one, two := seen.terms[0], seen.terms[1]
	if two.ScoreChosen != 3 || two.ScoreRejected != -1 || two.Group != 7 {
		t.Errorf("scores and group: %+v", two)
	}
	if two.Dot != two.PolicyChosen || two.DriftChosen != two.DriftRejected || two.DriftChosen <= 0 {
		t.Errorf("a pair of equal pictures: %+v", two)
	}
	if one.Dot == one.PolicyChosen || one.DriftChosen == one.DriftRejected || math.Abs(one.Dot) > math.Sqrt(one.PolicyChosen*one.PolicyRejected) {
		t.Errorf("a pair of two pictures: %+v", one)
	}
	for _, p := range tr.params {
		clear(p.Value)
	}
	seen.terms = nil
	gradientOf(t, tr, s)
	if one := seen.terms[0]; one.DriftChosen > 1e-12 || one.DriftRejected > 1e-12 {
		t.Errorf("the base model drifts from itself: %+v", one)
	}
}
