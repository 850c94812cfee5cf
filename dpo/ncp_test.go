package dpo

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Errors are another method's business: with every loss NCP is Diffusion-DPO of twice its beta, whose numbers are held against torch.
func TestNCP(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	ncp, other := methodNCP(), methodDPO()
	for _, loss := range ncp.Losses {
		terms := randomTerms(r, 6)
		for i := range terms {
			terms[i].ScoreChosen, terms[i].ScoreRejected = 1+r.Float64(), r.Float64()
		}
		a, err := ncp.New(Settings{Beta: 40, Loss: loss})
		if err != nil {
			t.Fatal(err)
		}
		b, err := other.New(Settings{Beta: 80, Loss: loss})
		if err != nil {
			t.Fatal(err)
		}
		one, two := make([]Grad, len(terms)), make([]Grad, len(terms))
		if x, y := a.Evaluate(terms, one), b.Evaluate(terms, two); x != y || !slices.Equal(one, two) {
			t.Errorf("%s: %v and %v, derivatives %v and %v", loss, x, y, one, two)
		}
	}
	// CPO: the policy alone, and the supervised term of a weight of 1.
	if ncp.UsesReference("cpo") || !ncp.UsesReference("") {
		t.Error("cpo has a reference, or sigmoid none")
	}
	cpo, err := ncp.New(Settings{Loss: "cpo", SFTWeight: 3})
	if err != nil {
		t.Fatal(err)
	}
	term := pairTerms(.10, .1004, 5, 7, 1)
	grad := make([]Grad, 1)
	z := 2500 * (.1004 - .10)
	if got, want := cpo.Evaluate([]Terms{term}, grad), softplus(-z)+.3; !near(got, want, 1e-12, 1) {
		t.Errorf("cpo: %v, want %v", got, want)
	}
	if got, err := ncp.New(Settings{}); err != nil || got.(NCP).Beta != 2500 {
		t.Errorf("default: %+v, %v", got, err)
	}
	if scale, err := ncp.RewardScale(Settings{}); err != nil || scale != 2500 {
		t.Errorf("implicit rewards are multiplied by %v, %v", scale, err)
	}
}
