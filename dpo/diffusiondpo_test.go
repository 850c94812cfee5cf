package dpo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/diff/fd"
)

// The numbers follow from the formula in double precision; beta 5000 is diffusers' beta 2500, which folds the half in.
func TestDiffusionDPO_goldens(t *testing.T) {
	terms := []Terms{{PolicyChosen: .1000, PolicyRejected: .1200, RefChosen: .1010, RefRejected: .1205}}
	for beta, want := range map[float64]float64{2000: .474077, 5000: .251929} {
		if got := (DiffusionDPO{Beta: beta}).Evaluate(terms, make([]Grad, 1)); math.Abs(got-want) > 5e-7 {
			t.Errorf("beta %g: loss %.6f, want %.6f", beta, got, want)
		}
	}
}

func randomTerms(r *rand.Rand, n int) []Terms {
	terms := make([]Terms, n)
	for i := range terms {
		terms[i] = Terms{r.Float64(), r.Float64(), r.Float64(), r.Float64(), r.Float64()}
	}
	return terms
}

func TestDiffusionDPO_derivative(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, beta := range []float64{0.5, 10, 200} {
		o := DiffusionDPO{Beta: beta}
		terms := randomTerms(r, 5)
		grad := make([]Grad, len(terms))
		o.Evaluate(terms, grad)
		x := make([]float64, 2*len(terms))
		for i, term := range terms {
			x[2*i], x[2*i+1] = term.PolicyChosen, term.PolicyRejected
		}
		num := fd.Gradient(nil, func(x []float64) float64 {
			moved := append([]Terms(nil), terms...)
			for i := range moved {
				moved[i].PolicyChosen, moved[i].PolicyRejected = x[2*i], x[2*i+1]
			}
			return o.Evaluate(moved, make([]Grad, len(moved)))
		}, x, &fd.Settings{Formula: fd.Central})
		for i, g := range grad {
			for k, v := range []float64{g.Chosen, g.Rejected} {
				if d := math.Abs(v - num[2*i+k]); d > 1e-6*max(1, beta) {
					t.Errorf("beta %g, pair %d: derivative %g, finite difference %g", beta, i, v, num[2*i+k])
				}
			}
		}
	}
}

func TestDiffusionDPO_invariants(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	o := DiffusionDPO{Beta: 7}
	one := func(t Terms) float64 { return o.Evaluate([]Terms{t}, make([]Grad, 1)) }
	for _, term := range randomTerms(r, 50) {
		same := Terms{term.PolicyChosen, term.PolicyRejected, term.PolicyChosen, term.PolicyRejected, 1}
		if got := one(same); math.Abs(got-math.Ln2) > 1e-15 {
			t.Errorf("policy = reference: loss %g, want ln 2", got)
		}
		swapped := Terms{term.PolicyRejected, term.PolicyChosen, term.RefRejected, term.RefChosen, 1}
		if got := math.Exp(-one(term)) + math.Exp(-one(swapped)); math.Abs(got-1) > 1e-12 {
			t.Errorf("probabilities of both orders add up to %g", got)
		}
		shifted := term
		shifted.PolicyChosen, shifted.RefChosen = term.PolicyChosen+.3, term.RefChosen+.3
		if d := one(shifted) - one(term); math.Abs(d) > 1e-12 {
			t.Errorf("a constant on both errors of a picture changes the loss by %g", d)
		}
	}
	if got := o.Evaluate([]Terms{{PolicyRejected: 1e6}, {PolicyChosen: 1e6}}, make([]Grad, 2)); math.IsInf(got, 0) || math.IsNaN(got) {
		t.Errorf("extreme margins give %g", got)
	}
}

// The loss of one pair that the policy already prefers a little.
func ExampleDiffusionDPO() {
	grad := make([]Grad, 1)
	loss := DiffusionDPO{Beta: 5000}.Evaluate([]Terms{{
		PolicyChosen: .1000, PolicyRejected: .1200, RefChosen: .1010, RefRejected: .1205,
	}}, grad)
	fmt.Printf("loss %.4f, derivative %.1f %.1f\n", loss, grad[0].Chosen, grad[0].Rejected)
	// Output: loss 0.2519, derivative 556.8 -556.8
}
