package dpo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/diff/fd"
)

func randomTerms(r *rand.Rand, n int) []Terms {
	terms := make([]Terms, n)
	for i := range terms {
		e := func() float64 { return .05 + .95*r.Float64() }
		terms[i] = pairTerms(e(), e(), e(), e(), r.Float64())
		terms[i].ScoreChosen, terms[i].ScoreRejected, terms[i].Group = r.NormFloat64(), r.NormFloat64(), i/2
	}
	return terms
}

func one(o Objective, t Terms) (loss float64, g Grad) {
	grad := make([]Grad, 1)
	return o.Evaluate([]Terms{t}, grad), grad[0]
}

// named are the objectives of every method, with every loss and beta or its default, and the scale of z.
func named(t testing.TB, beta float64, visit func(name string, m Method, loss string, o Objective)) {
	t.Helper()
	for _, m := range Methods() {
		for _, loss := range append([]string{""}, m.Losses...) {
			if loss == "" && len(m.Losses) == 1 {
				continue // it is the one
			}
			s := Settings{Loss: loss, Draws: min(m.Draws, 1)}
			if m.Beta != 0 {
				s.Beta = beta
			}
			o, err := m.New(s)
			if err != nil {
				t.Fatal(err)
			}
			visit(fmt.Sprintf("%s %s beta %g", m.Name, loss, beta), m, loss, o)
		}
	}
}

// Losses that hold something constant which depends on the errors: differences see more than the derivative says. Those of torch's
// detached weights are in the golden values.
var holding = []string{"kto", "wpo", "beta-dpo", "omni-dpo"}

// Derivatives of every objective against central differences, away from the kink of the hinge.
func TestObjective_derivatives(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, beta := range []float64{0.5, 10, 200} {
		named(t, beta, func(name string, _ Method, loss string, o Objective) {
			if slices.Contains(holding, loss) || beta == 200 && slices.Contains([]string{"discopop", "forward-kl", "alpha"}, loss) { // too sharp for differences
				return
			}
			terms := randomTerms(r, 5)
			for i := range terms {
				if z := max(beta, beta/2) * terms[i].Margin(); loss == "hinge" && (math.Abs(z-1) < .05 || math.Abs(z-2) < .05) {
					terms[i].PolicyChosen += .1
				}
			}
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
			}, x, &fd.Settings{Formula: fd.Central, Step: 1e-6})
			for i, g := range grad {
				for k, v := range []float64{g.Chosen, g.Rejected} {
					if d := math.Abs(v - num[2*i+k]); d > 1e-5*max(1, math.Abs(v)) {
						t.Errorf("%s, pair %d: derivative %g, finite difference %g", name, i, v, num[2*i+k])
					}
				}
			}
		})
	}
}

// Values of losses where policy and reference agree, and derivatives with respect to both rewards, for scores of 1 and 0.
func atStart(label float64) map[string][3]float64 {
	one := 1 / (1 + math.Exp(-1)) // σ(1)
	half := [3]float64{math.Ln2, -.5, .5}
	return map[string][3]float64{
		"": half, "sigmoid": half, "hinge": {1, -1, 1}, "ipo": {.25, -1, 1}, "cdpo": {math.Ln2, -.4, .4}, "robust": {math.Ln2, -.5 / .8, .5 / .8},
		"soft": {math.Ln2, .5 - label, label - .5}, "exo": {-math.Log(.6), -math.Log(3) / 2, math.Log(3) / 2},
		"forward-kl": half, "js": {math.Ln2, -.25, .25}, "alpha": half,
		"nca": {2 * math.Ln2, -.25, .25}, "bco": {2 * math.Ln2, -.5, .5}, "sppo": {.5, -1, 1},
		"sppo-soft": {2 * (label - .5) * (label - .5), 1 - 2*label, 2*label - 1}, "apo-zero": {1, -.25, .25}, "apo-down": {1, 0, .25},
		"kto": {.5, -.125, .125}, "aot": half, "aot-unpaired": half, "dr-dpo": half, "wpo": half, "beta-dpo": half,
		"omni-dpo": {one / 2 * math.Ln2, -one / 4, one / 4}, "mappo": {math.Ln2, -.5, one / 2},
		"rpo-reward":         {one*math.Log(one) + (1-one)*math.Log(1-one) + math.Ln2, .5 - one, one - .5},
		"rpo-reward-squared": {1, -2, 2}, "listwise": half, "mpo-set": half,
		"discopop": {(math.Ln2 + 1) / 2, -.75 + 5*(1-math.Ln2), .75 - 5*(1-math.Ln2)},
	}
}

// What every objective with a reference gives where policy and reference agree.
func TestObjective_start(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	named(t, 7, func(name string, m Method, loss string, o Objective) {
		if !m.UsesReference(loss) || m.Drift { // TestDSPO_start
			return
		}
		for _, term := range randomTerms(r, 20) {
			term.PolicyChosen, term.PolicyRejected = term.RefChosen, term.RefRejected
			term.ScoreChosen, term.ScoreRejected = 1, 0
			got, g := one(o, term)
			want, ok := atStart(term.Label)[loss]
			if !ok || math.Abs(got-want[0]) > 1e-15 {
				t.Errorf("%s: loss %g where policy = reference, want %g", name, got, want)
			}
			scale := map[string]float64{"dpo": 3.5, "vrpo": 3.5, "sdpo": 3.5, "rethinking": 3.5, "flow-dpo": 3.5, "inpo": 3.5, "spin": 3.5, "seppo": 3.5, "kto": 7, "smpo": 35 * (2*term.Label - 1), "chats": 7, "tailorpo": 7, "spo": 7, "d3po": 7, "ncp": 7}[m.Name]
			if m.Name == "chats" {
				want[2] = -want[2]
			}
			if !near(g.Chosen, -want[1]*scale, 1e-14, 35) || !near(g.Rejected, -want[2]*scale, 1e-14, 35) {
				t.Errorf("%s: derivative %v where policy = reference, want %g times %g", name, g, want, -scale)
			}
		}
	})
}

// A constant on both errors of a picture, or another order of the batch, changes nothing.
func TestObjective_invariants(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	named(t, 3, func(name string, m Method, loss string, o Objective) {
		info, _ := FindLoss(loss)
		terms := randomTerms(r, 6)
		grad, swapped := make([]Grad, 6), make([]Grad, 6)
		value := o.Evaluate(terms, grad)
		reversed := make([]Terms, 6)
		for i, term := range terms {
			reversed[5-i] = term
			if !m.UsesReference(loss) || m.Drift {
				continue
			}
			was, _ := one(o, term)
			term.PolicyChosen, term.RefChosen = term.PolicyChosen+.3, term.RefChosen+.3
			term.PolicyRejected, term.RefRejected = term.PolicyRejected-.2, term.RefRejected-.2
			if got, _ := one(o, term); !near(got, was, 1e-13, max(1, was)) {
				t.Errorf("%s: constants on the errors change the loss from %.17g to %.17g", name, was, got)
			}
		}
		if loss == "beta-dpo" {
			return // what it draws hangs on places
		}
		if got := o.Evaluate(reversed, swapped); !near(got, value, 1e-14, max(1, value)) {
			t.Errorf("%s: loss %g, in reverse order %g", name, value, got)
		}
		for i, g := range grad {
			// Sums over a batch round in another order.
			if other := swapped[5-i]; other != g && !(info.Batch && near(other.Chosen, g.Chosen, 1e-14, 3) && near(other.Rejected, g.Rejected, 1e-14, 3)) {
				t.Errorf("%s: derivative of pair %d depends on its place", name, i)
			}
		}
	})
}

// L(w,l) − L(l,w) = −z, and the probabilities of both orders add up to 1.
func TestDiffusionDPO_swap(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, term := range randomTerms(r, 50) {
		swapped := pairTerms(term.PolicyRejected, term.PolicyChosen, term.RefRejected, term.RefChosen, 1)
		for _, row := range []struct {
			o Objective
			z float64
		}{{DiffusionDPO{Beta: 8}, 4 * term.Margin()}, {TailorPO{Beta: 8}, 8 * term.Margin()}} {
			a, _ := one(row.o, term)
			b, _ := one(row.o, swapped)
			if !near(a-b, -row.z, 1e-14, 16) || !near(math.Exp(-a)+math.Exp(-b), 1, 1e-14, 1) {
				t.Errorf("%+v: losses %g and %g of both orders at z = %g", row.o, a, b, row.z)
			}
		}
	}
}

// The robust loss over swapped labels is the sigmoid loss over true ones; the others' minima are where they should be.
func TestLoss_identities(t *testing.T) {
	for _, e := range []float64{.01, .1, .3, .45} {
		for z := -30.; z <= 30; z += .37 {
			right, dRight, _ := at(LossRobust(e), z, 1)
			wrong, dWrong, _ := at(LossRobust(e), -z, 1)
			want, slope, _ := at(LossSigmoid(), z, 1)
			if got := (1-e)*right + e*wrong; !near(got, want, 1e-13/(1-2*e), 30) {
				t.Errorf("robust, e %g at %g: %.17g on average, sigmoid %.17g", e, z, got, want)
			}
			if got := (1-e)*dRight - e*dWrong; !near(got, slope, 1e-14/(1-2*e), 1) {
				t.Errorf("robust, e %g at %g: slope %.17g on average, sigmoid %.17g", e, z, got, slope)
			}
			smooth, dSmooth, _ := at(LossCDPO(e), z, 1)
			soft, dSoft, _ := at(LossSoft(), z, 1-e)
			if !near(smooth, soft, 1e-14, 30) || !near(dSmooth, dSoft, 1e-15, 1) {
				t.Errorf("cdpo, e %g at %g: %g, %g; soft with label 1−e %g, %g", e, z, smooth, dSmooth, soft, dSoft)
			}
			if entropy := -e*math.Log(e) - (1-e)*math.Log(1-e); smooth < entropy-1e-15 {
				t.Errorf("cdpo, e %g at %g: %g is below the entropy %g", e, z, smooth, entropy)
			}
		}
		if _, slope, _ := at(LossCDPO(e), math.Log((1-e)/e), 1); math.Abs(slope) > 1e-15 {
			t.Errorf("cdpo, e %g: slope %g at logit(1−e)", e, slope)
		}
	}
	if value, slope, _ := at(LossHinge(), 1, 1); value != 0 || slope != 0 {
		t.Errorf("hinge: %g with slope %g at z = 1", value, slope)
	}
	if value, slope, _ := at(LossHinge(), 1.005, 1); value != 0 || slope != 0 {
		t.Errorf("hinge: %g with slope %g beyond z = 1", value, slope)
	}
	if _, slope, _ := at(LossIPO(), .5, 1); slope != 0 {
		t.Errorf("ipo: slope %g at z = ½", slope)
	}
}

// A label of ½ has no gradient in SmPO and pulls back in the soft loss; swapping a pair mirrors its label.
func TestSmPO_labels(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	smpo, soft := SmPO{Beta: 10, Gamma: 10}, DiffusionDPO{Beta: 2, Loss: LossSoft()}
	for _, term := range randomTerms(r, 50) {
		swapped := pairTerms(term.PolicyRejected, term.PolicyChosen, term.RefRejected, term.RefChosen, 1-term.Label)
		for _, o := range []Objective{smpo, soft} {
			a, ga := one(o, term)
			if b, gb := one(o, swapped); !near(a, b, 1e-12, max(1, a)) || !near(ga.Chosen, gb.Rejected, 1e-12, 50) {
				t.Errorf("%+v: %g, %v; swapped with its label %g, %v", o, a, ga, b, gb)
			}
		}
		hard := term
		hard.Label = 1
		a, ga := one(SmPO{Beta: 10, Gamma: 1}, hard)
		if b, gb := one(DiffusionDPO{Beta: 10}, hard); a != b || ga != gb {
			t.Errorf("gamma 1 and a hard label give %g, %v, DPO %g, %v", a, ga, b, gb)
		}
		term.Label = .5
		if loss, g := one(smpo, term); loss != math.Ln2 || g.Chosen != 0 || g.Rejected != 0 {
			t.Errorf("SmPO at label ½: loss %g, derivative %v", loss, g)
		}
		if _, g := one(soft, term); !near(g.Rejected, sigmoid(term.Margin())-.5, 1e-15, 1) || g.Chosen != -g.Rejected {
			t.Errorf("soft at label ½: derivative %v, margin %g", g, term.Margin())
		}
	}
}

func TestSmoothedLabel(t *testing.T) {
	const low, high = PickScoreLow, PickScoreHigh
	for _, row := range [][3]float64{
		{.2, .2, .5},
		{high, low, 1 / (1 + math.Exp(-1))}, // the furthest apart: 10·tanh(½) = 4.62 is the largest factor
		{low, high, 1 / (1 + math.E)},
		{.21, .20, 1 / (1 + math.Exp(-.01/(high-low)))},
	} {
		if got := SmoothedLabel(row[0], row[1], low, high); !near(got, row[2], 1e-15, 1) {
			t.Errorf("label of %g over %g is %g, want %g", row[0], row[1], got, row[2])
		}
	}
	if got := 10 * (2*SmoothedLabel(high, low, low, high) - 1); !near(got, 10*math.Tanh(.5), 1e-13, 1) {
		t.Errorf("largest factor %g", got)
	}
	if got := SmoothedLabel(3, 3, 3, 3); got != .5 {
		t.Errorf("label %g where all rewards are equal", got)
	}
}

// Both pictures the same: what the two rows add to the shared weights cancels to the last bit.
func TestObjective_identicalPair(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	// These pull both pictures somewhere, whatever stands against them.
	single := []string{"nca", "bco", "sppo", "sppo-soft", "apo-down", "cpo", "orpo", "asft", "mappo"}
	named(t, 900, func(name string, m Method, loss string, o Objective) {
		if !m.Reference || m.Drift || m.Name == "chats" || m.Name == "seppo" || m.Name == "kto" || slices.Contains(single, loss) {
			return
		}
		output, target := normal(r, 64), normal(r, 64)
		e := DenoisingError(output, target)
		ref := e + .01*r.NormFloat64()
		value, g := one(o, pairTerms(e, e, ref, ref, r.Float64()))
		a, b := make([]float32, 64), make([]float32, 64)
		DenoisingCotangent(a, output, target, g.Chosen)
		DenoisingCotangent(b, output, target, g.Rejected)
		for i := range a {
			if a[i]+b[i] != 0 {
				t.Fatalf("%s: cotangents of an identical pair add up to %g, loss %g", name, a[i]+b[i], value)
			}
		}
	})
}

// The two networks of CHATS both learn to fit their pictures, by one weight that fades once both beat the reference.
func TestCHATS_direction(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for _, term := range randomTerms(r, 50) {
		_, g := one(CHATS{Beta: 4}, term)
		a, b := term.ImplicitRewards()
		if want := 4 * sigmoid(-4*(a+b)); !near(g.Chosen, want, 1e-14, 4) || g.Chosen != g.Rejected {
			t.Errorf("derivative %v, want %g on both", g, want)
		}
	}
}

func normal(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// The margin of siblings is linear in the policy's mean and is the closed form; the gradient runs along their difference.
func TestSiblings(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	const n, sigma = 48, 0.25
	a, b, ref, d := normal(r, n), normal(r, n), normal(r, n), normal(r, n)
	policy := make([]float32, n)
	closed := 0.
	for i := range d {
		// Few bits, so that the means below are exact.
		ref[i], d[i] = float32(math.Round(float64(ref[i])*64)/64), float32(math.Round(float64(d[i])*64)/64)
		closed += (float64(a[i]) - float64(b[i])) * float64(d[i]) / (sigma * sigma * n)
	}
	for _, s := range []float32{-4, -1, -.25, 0, .25, 1, 2, 8} {
		for i := range policy {
			policy[i] = ref[i] + s*d[i]
		}
		terms := SiblingTerms(a, b, policy, ref, sigma)
		if got := terms.Margin(); !near(got, float64(s)*closed, 1e-13, max(1, terms.PolicyChosen)) {
			t.Errorf("margin %.17g at %g, want %.17g", got, s, float64(s)*closed)
		}
		swapped := SiblingTerms(b, a, policy, ref, sigma)
		if terms.Margin() != -swapped.Margin() {
			t.Errorf("margin %g, swapped %g", terms.Margin(), swapped.Margin())
		}
		_, g := one(TailorPO{Beta: 5}, terms)
		dst, rows := make([]float32, n), make([]float32, n)
		SiblingCotangent(dst, a, b, policy, sigma, g)
		for i := range dst {
			want := -5 * sigmoid(-5*terms.Margin()) * (float64(a[i]) - float64(b[i])) / (sigma * sigma * n)
			if !near(float64(dst[i]), want, 6.1e-8, math.Abs(want)+1e-9) {
				t.Errorf("cotangent %g, want %g along the difference", dst[i], want)
			}
		}
		// Row by row the same, up to rounding of each row.
		StepCotangent(dst, a, policy, sigma, g.Chosen)
		StepCotangent(rows, b, policy, sigma, g.Rejected)
		for i := range dst {
			want := -5 * sigmoid(-5*terms.Margin()) * (float64(a[i]) - float64(b[i])) / (sigma * sigma * n)
			if !near(float64(dst[i])+float64(rows[i]), want, 6.1e-8, math.Abs(float64(dst[i]))+math.Abs(float64(rows[i]))+1e-9) {
				t.Errorf("rows add up to %g, want %g", dst[i]+rows[i], want)
			}
		}
		same := SiblingTerms(a, a, policy, ref, sigma)
		_, g = one(TailorPO{Beta: 5}, same)
		SiblingCotangent(dst, a, a, policy, sigma, g)
		for i := range dst {
			if dst[i] != 0 || same.Margin() != 0 {
				t.Fatalf("equal siblings have margin %g and cotangent %g", same.Margin(), dst[i])
			}
		}
	}
}

// pairTerms are the four errors of a pair and its label.
func pairTerms(policyChosen, policyRejected, refChosen, refRejected, label float64) Terms {
	return Terms{PolicyChosen: policyChosen, PolicyRejected: policyRejected, RefChosen: refChosen, RefRejected: refRejected, Label: label}
}
