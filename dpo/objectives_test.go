package dpo

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/diff/fd"
)

// Numbers of the reference notes, the swap identity, and φ across its series.
func TestMaPO(t *testing.T) {
	loss, _ := one(MaPO{Beta: .1}, pairTerms(.1, .12, 0, 0, 1))
	if !near(loss, .1007357, 1e-7, 1) {
		t.Errorf("loss %.7f", loss)
	}
	if _, g := one(MaPO{Beta: .1}, pairTerms(.1, .102, 0, 0, 1)); !near(g.Chosen, 10.329892, 5e-6, 1) || !near(g.Rejected, -9.326730, 5e-6, 1) {
		t.Errorf("derivative %v", g)
	}
	for _, row := range [][2]float64{{.1, .9752083}, {.12, .9703000}, {0, 1}} {
		if got, _ := mapoPhi(row[0]); !near(got, row[1], 5e-8, 1) {
			t.Errorf("φ(%g) = %.7f, want %.7f", row[0], got, row[1])
		}
	}
	if _, slope := mapoPhi(0); slope != -.25 {
		t.Errorf("φ'(0) = %g", slope)
	}
	for _, e := range []float64{0, .01, .3, 5} {
		if got, _ := one(MaPO{Beta: .1}, pairTerms(e, e, 0, 0, 1)); !near(got, e+.1*math.Ln2, 1e-15, 1+e) {
			t.Errorf("equal errors of %g: %g", e, got)
		}
	}
	last := math.Inf(1)
	for x := 1e-4; x < 1e3; x *= 1.07 {
		value, slope := mapoPhi(x)
		// The series of tanh: φ is x/2·(coth(x/2) − 1) of half the error.
		want := x / 4 * (1/math.Tanh(x/4) - 1)
		if value >= last || slope > 0 || !near(value, want, 1e-13, 1) {
			t.Errorf("φ(%g) = %g with slope %g, %g before; want %g", x, value, slope, last, want)
		}
		last = value
		if d := fd.Derivative(func(x float64) float64 { v, _ := mapoPhi(x); return v }, x, &fd.Settings{Formula: fd.Central, Step: 1e-6 * (1 + x)}); !near(slope, d, 1e-7, 1) {
			t.Errorf("φ'(%g) = %g, by differences %g", x, slope, d)
		}
	}
	for _, at := range []float64{.0199999, .0200001} { // on either side of where the series ends
		x := at / 2
		v, s := mapoPhi(at)
		if e := math.Expm1(x); !near(v, x/e, 1e-15, 1) || !near(s, .5*(e-x*math.Exp(x))/(e*e), 1e-12, 1) {
			t.Errorf("φ(%g) = %g with slope %g", at, v, s)
		}
	}
}

// The value is the objective's; the rejected derivative shrinks just so that the chosen picture keeps the share Mu of its
// descent.
func TestSDPO(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 1))
	const n = 32
	seen := [3]int{}
	for k := range 60 {
		target, w, l := normal(r, n), normal(r, n), normal(r, n)
		for i := range l {
			l[i] = target[i] + (l[i]-target[i])*.5 + float32(k%5-1)*(w[i]-target[i]) // misses with the chosen picture's, or against them
		}
		term := pairTerms(DenoisingError(w, target), DenoisingError(l, target), 1, 1, 1)
		term.Dot = DenoisingDot(w, target, l, target)
		for _, mu := range []float64{0, .4, .9, 1} {
			inner := DiffusionDPO{Beta: .2, Loss: LossSigmoid()}
			value, g := one(SDPO{inner, mu}, term)
			plain, p := one(inner, term)
			if value != plain || g.Chosen != p.Chosen {
				t.Errorf("loss %g, derivative %v; without the guard %g, %v", value, g, plain, p)
			}
			// Both pictures move one output, as weights that they share would: what is left of the descent of the chosen error.
			down := func(g Grad) float64 { return g.Chosen*term.PolicyChosen + g.Rejected*term.Dot }
			share := g.Rejected / p.Rejected
			switch {
			case term.Dot <= 0:
				seen[0]++
				if share != 1 {
					t.Errorf("gradients against each other: share %g", share)
				}
			case share == 1:
				seen[1]++
			default:
				seen[2]++
				if want := (1 - mu) * term.PolicyChosen / term.Dot; !near(share, want, 1e-13, 1) {
					t.Errorf("share %g, want %g", share, want)
				}
			}
			if got := down(g); got < mu*g.Chosen*term.PolicyChosen-1e-12 {
				t.Errorf("mu %g: the chosen error falls by %g, want %g at least", mu, got, mu*g.Chosen*term.PolicyChosen)
			}
		}
	}
	if slices.Min(seen[:]) == 0 {
		t.Errorf("cases %v", seen)
	}
}

// Derivatives of the objectives that no method has by name, with respect to errors and drifts, by differences.
func TestObjective_moreDerivatives(t *testing.T) {
	r := rand.New(rand.NewPCG(42, 1))
	for _, o := range []Objective{
		DSPO{Beta: .05},
		DSPO{Beta: 2},
		SePPO{Beta: 8},
		PMPO{Alpha: .3, KL: 2},
		WithSFT{DiffusionDPO{Beta: 3}, 7},
		VRPO{WithSFT{DSPO{Beta: 2}, 7}, 2},
		SDPO{DSPO{Beta: 2}, .5},
	} {
		terms := randomTerms(r, 4)
		for i := range terms {
			terms[i].DriftChosen, terms[i].DriftRejected, terms[i].Dot = r.Float64(), r.Float64(), -r.Float64() // SDPO at rest
		}
		fields := func(t *Terms) [4]*float64 {
			return [4]*float64{&t.PolicyChosen, &t.PolicyRejected, &t.DriftChosen, &t.DriftRejected}
		}
		var x []float64
		for i := range terms {
			for _, p := range fields(&terms[i]) {
				x = append(x, *p)
			}
		}
		num := fd.Gradient(nil, func(x []float64) float64 {
			moved := slices.Clone(terms)
			for i, v := range x {
				*fields(&moved[i/4])[i%4] = v
			}
			return o.Evaluate(moved, make([]Grad, len(moved)))
		}, x, &fd.Settings{Formula: fd.Central, Step: 1e-6})
		grad := make([]Grad, len(terms))
		o.Evaluate(terms, grad)
		for i, g := range grad {
			for k, v := range []float64{g.Chosen, g.Rejected, g.DriftChosen, g.DriftRejected} {
				if !near(v, num[4*i+k], 1e-7, 1) {
					t.Errorf("%+v, pair %d.%d: derivative %g, by differences %g", o, i, k, v, num[4*i+k])
				}
			}
		}
	}
}

// The square of vectors from errors alone, and what is left at either end of beta.
func TestDSPO(t *testing.T) {
	r := rand.New(rand.NewPCG(43, 1))
	target, policy, ref := normal(r, 40), normal(r, 40), normal(r, 40)
	term := pairTerms(DenoisingError(policy, target), .5, DenoisingError(ref, target), .7, 1)
	term.DriftChosen = DenoisingError(policy, ref)
	for _, beta := range []float64{.001, .05, 1, 30} {
		k := beta * sigmoid(-.5*beta*term.Margin())
		var want float64
		for i := range target {
			e, d := float64(policy[i])-float64(target[i]), float64(policy[i])-float64(ref[i])
			want += (e - k*d) * (e - k*d) / 40
		}
		if got, _ := one(DSPO{Beta: beta}, term); !near(got, want, 1e-13, 1+want) {
			t.Errorf("beta %g: %g, want %g", beta, got, want)
		}
	}
	same := pairTerms(.3, .5, .3, .5, 1) // policy = reference: the error of the chosen picture, whatever beta is
	if got, g := one(DSPO{Beta: 4}, same); !near(got, .3, 1e-15, 1) || !near(g.Chosen, -1, 1e-15, 1) || !near(g.DriftChosen, 2, 1e-15, 4) {
		t.Errorf("at the start: %g, %v", got, g) // k = 2
	}
}

// Which way the made picture pulls, and what it is otherwise.
func TestSePPO(t *testing.T) {
	r := rand.New(rand.NewPCG(44, 1))
	for _, term := range randomTerms(r, 60) {
		loss, g := one(SePPO{Beta: 6}, term)
		a, b := term.ImplicitRewards()
		want, wg := one(DiffusionDPO{Beta: 6}, term)
		if a < 0 { // the reference fits the chosen picture better: both are learnt
			want = softplus(-3 * (a + b))
			wg = Grad{Chosen: 3 * sigmoid(-3*(a+b)), Rejected: 3 * sigmoid(-3*(a+b))}
		}
		if !near(loss, want, 1e-14, 1) || !near(g.Chosen, wg.Chosen, 1e-14, 3) || !near(g.Rejected, wg.Rejected, 1e-14, 3) {
			t.Errorf("rewards %g, %g: %g, %v; want %g, %v", a, b, loss, g, want, wg)
		}
	}
	if loss, g := one(SePPO{Beta: 6}, pairTerms(.2, .3, .2, .3, 1)); loss != math.Ln2 || g.Rejected != -1.5 {
		t.Errorf("a tie: %g, %v", loss, g)
	}
}

// Objectives on numbers at the ends of what float32 outputs can give.
func FuzzObjective_more(f *testing.F) {
	f.Add(.1, .12, .101, .1205, .01, .02, .05, 1.)
	f.Add(0., 0., 0., 0., 0., 0., 0., .5)
	f.Add(4.6e77, 0., 0., 4.6e77, 4.6e77, 4.6e77, -4.6e77, 5000.)
	f.Add(0., 4.6e77, 4.6e77, 0., 1e-300, 0., 1e-300, 1e9)
	f.Fuzz(func(t *testing.T, policyChosen, policyRejected, refChosen, refRejected, drift, score, dot, beta float64) {
		for _, v := range []float64{policyChosen, policyRejected, refChosen, refRejected, drift, score, dot} {
			if !(math.Abs(v) <= 4.7e77) {
				return
			}
		}
		if !(beta > 0 && beta <= maxSetting) {
			return
		}
		term := pairTerms(policyChosen, policyRejected, refChosen, refRejected, 1)
		term.DriftChosen, term.DriftRejected, term.ScoreChosen, term.ScoreRejected, term.Dot = drift, drift, score, -score, dot
		other := pairTerms(.1, .2, .3, .4, 0)
		other.ScoreChosen, other.Group = 1, 1
		objectives := []Objective{
			DSPO{Beta: beta},
			SePPO{Beta: beta},
			PMPO{Alpha: .5, KL: beta},
			SDPO{DiffusionDPO{Beta: beta}, .9},
			MaPO{Beta: beta},
			DiffusionKTO{Beta: beta, KTO: KTO{Desirable: 1, Undesirable: 1}},
			WithSFT{DiffusionDPO{Beta: beta}, beta},
		}
		for _, info := range Losses() {
			if l, err := info.New(0, nil); err == nil {
				objectives = append(objectives, DiffusionDPO{Beta: beta, Loss: l})
			}
		}
		for _, o := range objectives {
			grad := make([]Grad, 2)
			numbers := []float64{o.Evaluate([]Terms{term, other}, grad)}
			for _, g := range grad {
				numbers = append(numbers, g.Chosen, g.Rejected, g.DriftChosen, g.DriftRejected)
			}
			for _, v := range numbers {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Fatalf("%T %+v: %v of %+v", o, o, numbers, term)
				}
			}
		}
	})
}
