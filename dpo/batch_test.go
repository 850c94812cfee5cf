package dpo

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Equal losses are their mean at every temperature; a low one is the least of them, whose pair alone learns.
func TestDrDPO(t *testing.T) {
	equal := []Terms{rewarded(1, .2), rewarded(1.8, 1), rewarded(.8, 0)}
	want, _, _ := at(LossSigmoid(), .8, 1)
	for _, temperature := range []float64{.01, .5, 3, 1e4} {
		if got := (DrDPO{temperature}).Evaluate(1, equal, make([]Grad, 3)); !near(got, want, 1e-14, 1) {
			t.Errorf("temperature %g: equal losses of %g give %g", temperature, want, got)
		}
	}
	mixed := []Terms{rewarded(-3, 0), rewarded(2, 0), rewarded(-1, 0)}
	grad := make([]Grad, 3)
	least, slope, _ := at(LossSigmoid(), 2, 1)
	// n pairs of which one counts: the least loss plus temperature·log n.
	if got := (DrDPO{.01}).Evaluate(1, mixed, grad); !near(got, least+.01*math.Log(3), 1e-12, 1) || !near(grad[1].Chosen, -slope, 1e-12, 1) || math.Abs(grad[0].Chosen) > 1e-100 {
		t.Errorf("cold: %g with derivatives %v", got, grad)
	}
	rightly, hot := math.Abs(grad[0].Chosen), make([]Grad, 3)
	DrDPO{1}.Evaluate(1, mixed, hot)
	if math.Abs(hot[0].Chosen) <= rightly || hot[0].Chosen >= hot[1].Chosen*math.Exp(3) {
		t.Errorf("the pair of high loss learns by %g at temperature 1, by %g at 0.01", hot[0].Chosen, rightly)
	}
	if got := (DrDPO{1}).Evaluate(1, nil, nil); got != 0 {
		t.Errorf("no pairs: %g", got)
	}
}

// Sorting: a batch of one is a pair of cdpo, pairings do not matter to the unpaired form, and a shift of the distribution
// is seen where no pair shows it.
func TestAOT(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 1))
	for _, term := range randomTerms(r, 20) {
		for _, unpaired := range []bool{false, true} {
			got, dA, dB := lossAt(AOT{Unpaired: unpaired, Smoothing: .1}, 3, term)
			want, wA, wB := lossAt(LossCDPO(.1), 3, term)
			if !near(got, want, 1e-14, 1) || !near(dA, wA, 1e-14, 1) || !near(dB, wB, 1e-14, 1) {
				t.Errorf("a batch of one: %g, %g, %g; cdpo has %g, %g, %g", got, dA, dB, want, wA, wB)
			}
		}
	}
	terms := randomTerms(r, 7)
	mixed := slices.Clone(terms)
	for i := range mixed {
		other := terms[(i+3)%7]
		mixed[i].PolicyRejected, mixed[i].RefRejected = other.PolicyRejected, other.RefRejected
	}
	a, b := make([]Grad, 7), make([]Grad, 7)
	l := AOT{Unpaired: true}
	if x, y := l.Evaluate(2, terms, a), l.Evaluate(2, mixed, b); !near(x, y, 1e-14, 1) {
		t.Errorf("%g, paired otherwise %g", x, y)
	}
	for i := range a {
		if !near(a[i].Chosen, b[i].Chosen, 1e-14, 1) || !near(a[(i+3)%7].Rejected, b[i].Rejected, 1e-14, 1) {
			t.Errorf("derivatives %v, paired otherwise %v", a, b)
		}
	}
	// The reference prefers one chosen picture by 4 and one by 0, the policy the other way round: sorted, nothing has changed.
	crossed := []Terms{pairTerms(0, 4, 0, 0, 1), pairTerms(0, 0, 0, 4, 1)}
	if got := (AOT{}).Evaluate(1, crossed, make([]Grad, 2)); !near(got, math.Ln2, 1e-15, 1) {
		t.Errorf("gaps that changed places: %g", got)
	}
}

func TestWPO(t *testing.T) {
	terms := []Terms{rewarded(1, 1), rewarded(-1, -1), rewarded(-400, -400), rewarded(-2, 2)}
	grad := make([]Grad, 4)
	got := WPO{Kappa: 1}.Evaluate(1, terms, grad)
	weights := []float64{1, math.Exp(-1), 0, 1} // pairs that the policy fits better than the reference count in full
	sum := 2 + math.Exp(-1)
	var want float64
	for i, w := range weights {
		value, slope, _ := at(LossSigmoid(), terms[i].Margin(), 1)
		want += w * value / sum
		if !near(grad[i].Chosen, -w*slope/sum, 1e-15, 1) || grad[i].Chosen != -grad[i].Rejected {
			t.Errorf("pair %d: derivative %v, want %g", i, grad[i], -w*slope/sum)
		}
	}
	if !near(got, want, 1e-15, 1) {
		t.Errorf("loss %g, want %g", got, want)
	}
	// Weights are relative: where all pairs are improbable they count as among likely ones.
	far := []Terms{rewarded(-900, -900), rewarded(-901, -901)}
	if got := (WPO{Kappa: 1}).Evaluate(1, far, grad[:2]); !near(got, math.Ln2, 1e-15, 1) || !near(grad[0].Chosen/grad[1].Chosen, math.E, 1e-12, 3) {
		t.Errorf("improbable pairs: %g, %v", got, grad[:2])
	}
}

// Gaps that never change leave beta as it is; wider ones raise it, narrower ones lower it down to a floor.
func TestBetaDPO_factor(t *testing.T) {
	l := &BetaDPO{A: .6, Momentum: .9, Share: .8}
	constant := []Terms{rewarded(1, .5), rewarded(2, 1.5), rewarded(0, -.5), rewarded(3, 2.5), rewarded(.5, 0)}
	grad := make([]Grad, 5)
	for range 3 {
		got := l.Evaluate(2, constant, grad)
		want, slope, _ := at(LossSigmoid(), 1, 1)
		kept := 0
		for _, g := range grad {
			if g.Chosen != 0 {
				kept++
				if !near(g.Chosen, -2*slope/4, 1e-15, 1) {
					t.Errorf("derivative %g, want %g", g.Chosen, -2*slope/4)
				}
			}
		}
		if !near(got, want, 1e-15, 1) || kept != 4 {
			t.Errorf("gaps of 1 give %g of %d pairs, want %g of 4", got, kept, want)
		}
		l.Observe(2, constant)
	}
	// Behind gaps of 1, gaps of 3: the mean moves to 1.2 and beta by 1 + 0.6·1.8.
	for _, row := range [][2]float64{{3, 1 + .6*1.8}, {-3, .01}} {
		term := rewarded(row[0]/2, 0)
		got := l.Evaluate(2, []Terms{term, term}, grad[:2])
		want, _, _ := at(LossSigmoid(), row[1]*row[0], 1)
		if !near(got, want, 1e-14, 1) {
			t.Errorf("gaps of %g: %g, want %g", row[0], got, want)
		}
	}
	if got := l.State(); !slices.Equal(got, []float64{3, got[1], got[2]}) || !near(got[1], 1, 1e-15, 1) || !near(got[2], 0, 1e-15, 1) {
		t.Errorf("state %v", got)
	}
}

// Evaluate changes nothing, Observe does, and a state that is put back goes on with the same draws.
func TestBetaDPO_state(t *testing.T) {
	r := rand.New(rand.NewPCG(33, 1))
	a, _ := methodDPO().New(Settings{Beta: 8, Loss: "beta-dpo", SFTWeight: 2, Draws: 2})
	b, _ := methodDPO().New(Settings{Beta: 8, Loss: "beta-dpo", SFTWeight: 2, Draws: 2})
	wrapped := SDPO{Objective: a, Mu: .5}
	var picked []int
	for k := range 6 {
		terms := randomTerms(r, 24)
		grad, again, other := make([]Grad, 24), make([]Grad, 24), make([]Grad, 24)
		first := a.Evaluate(terms, grad)
		if second := a.Evaluate(terms, again); first != second || !slices.Equal(grad, again) {
			t.Errorf("batch %d: %g, then %g", k, first, second)
		}
		if err := Restore(b, State(wrapped)); err != nil {
			t.Fatal(err)
		}
		if third := b.Evaluate(terms, other); first != third || !slices.Equal(grad, other) {
			t.Errorf("batch %d: %g, behind a restored state %g", k, first, third)
		}
		for i, g := range grad {
			if g.Rejected == 0 {
				picked = append(picked, i/2)
			}
		}
		Observe(wrapped, terms)
	}
	if len(picked) != 6*2*2 || slices.Max(picked) == slices.Min(picked) {
		t.Errorf("pairs %v of six batches of 12 were left out", picked)
	}
	if got := State(a); got[0] != 6 {
		t.Errorf("state %v behind six batches", got)
	}
	plainly, _ := methodDPO().New(Settings{})
	Observe(plainly, randomTerms(r, 2))
	if State(plainly) != nil || Restore(plainly, nil) != nil || Restore(plainly, []float64{1}) == nil {
		t.Error("the sigmoid loss has a state")
	}
	for _, wrong := range [][]float64{nil, {1, 2}, {-1, 0, 0}, {1, math.NaN(), 0}, {1, 0, math.NaN()}} {
		if Restore(a, wrong) == nil {
			t.Errorf("state %v is taken", wrong)
		}
	}
	siblings, _ := methodTailorPO().New(Settings{Loss: "beta-dpo"})
	Observe(siblings, randomTerms(r, 3))
	if got := State(siblings); got[0] != 1 || got[1] == 0 {
		t.Errorf("tailorpo: state %v", got)
	}
}

// Which pairs are drawn: by weight, outliers least.
func TestBetaDPO_draws(t *testing.T) {
	l := &BetaDPO{A: .6, Momentum: .9, Share: .5}
	gaps := []float64{0, 1, 2, 4}
	count := make([]float64, 4)
	const n = 20000
	for k := range n {
		l.batches = float64(k)
		for _, i := range l.keep(gaps, 0, 1) {
			count[i] += 1. / n
		}
	}
	w := []float64{1, math.Exp(-.5), math.Exp(-2), math.Exp(-8)}
	sum := w[0] + w[1] + w[2] + w[3]
	for i := range w {
		want := w[i] / sum
		for j := range w {
			if j != i {
				want += w[j] / sum * w[i] / (sum - w[j])
			}
		}
		if !near(count[i], want, 5*math.Sqrt(.25/n), 1) {
			t.Errorf("gap %g is drawn in a share of %.4f, want %.4f", gaps[i], count[i], want)
		}
	}
	if got := l.keep([]float64{7}, 7, 0); !slices.Equal(got, []int{0}) {
		t.Errorf("a batch of one keeps %v", got)
	}
}

// KTO starts at ½, and stays within 0 and the weights; what rewards are measured against has no gradient.
func TestKTO(t *testing.T) {
	weights := KTO{Desirable: 1, Undesirable: 1}
	one := func(reward, label float64) Terms {
		return Terms{PolicyChosen: -reward, Label: label, Mismatched: -1}
	}
	// Implicit rewards of 0.001, desirable, and −0.002, not, at beta 1000; their mean is below 0.
	grad := make([]Grad, 2)
	for k, want := range []float64{.268941, .119203} {
		row := []Terms{one(.001, 1), one(-.002, 0)}
		all := DiffusionKTO{Beta: 1000, KTO: weights}.Evaluate(row, grad)
		row[1-k].Label = []float64{0, 1}[1-k]
		value, _ := weights.picture([]float64{1, -2}[k], 0, k == 0)
		if !near(value, want, 5e-7, 1) || !near(all, (.268941+.119203)/2, 5e-7, 1) {
			t.Errorf("picture %d: %.6f, want %.6f; all %.6f", k, value, want, all)
		}
	}
	if value, slope := weights.picture(1.3*.3, 1.3*.1, true); !near(value, .4353637, 1e-7, 1) || !near(1.3*slope, -.319569, 1e-6, 1) {
		t.Errorf("%.7f with slope %.6f", value, 1.3*slope)
	}
	r := rand.New(rand.NewPCG(34, 1))
	for _, against := range []KTOAgainst{AgainstBatch, AgainstOthers, AgainstClasses} {
		o := DiffusionKTO{Beta: 50, KTO: KTO{Desirable: 1, Undesirable: 1, Against: against}}
		terms, grad := randomTerms(r, 9), make([]Grad, 9)
		if got := o.Evaluate(terms, grad); !(got > 0 && got < 1) {
			t.Errorf("form %d: %g", against, got)
		}
		for i, g := range grad {
			if (g.Chosen > 0) != (terms[i].Label > .5) || g.Rejected != 0 {
				t.Errorf("form %d: derivative %v of label %g", against, g, terms[i].Label)
			}
		}
		for i := range terms {
			terms[i].PolicyChosen = terms[i].RefChosen
		}
		if got := o.Evaluate(terms, grad); !near(got, .5, 1e-15, 1) {
			t.Errorf("form %d: %g where policy = reference", against, got)
		}
		for i := range terms {
			terms[i].Label = 1 // one class alone
		}
		if got := o.Evaluate(terms, grad); !near(got, .5, 1e-15, 1) {
			t.Errorf("form %d: %g of desirable pictures alone", against, got)
		}
		if got := o.Evaluate(nil, nil); got != 0 {
			t.Errorf("form %d: %g of nothing", against, got)
		}
	}
	// Mismatched pictures: below 0 they do not count, above they do.
	o := DiffusionKTO{Beta: 1, KTO: KTO{Desirable: 1, Undesirable: 1, Against: AgainstOthers}}
	row := []Terms{{Label: 1, Mismatched: -3}}
	if got := o.Evaluate(row, grad[:1]); got != .5 {
		t.Errorf("a divergence below 0 counts: %g", got)
	}
	row[0].Mismatched = 2
	if got := o.Evaluate(row, grad[:1]); !near(got, sigmoid(2), 1e-15, 1) {
		t.Errorf("a divergence of 2: %g, want %g", got, sigmoid(2))
	}
}

// Rankings and sets: two pictures are a pair; the order of pairs, and which picture is called chosen, are all one.
func TestGroups(t *testing.T) {
	r := rand.New(rand.NewPCG(35, 1))
	for name, l := range map[string]Loss{"listwise": LossListwise(), "mpo-set": LossMPOSet(2), "mpo-set, even": LossMPOSet(0)} {
		for _, term := range randomTerms(r, 20) {
			want, wA, wB := lossAt(LossSigmoid(), 3, term)
			if term.ScoreChosen < term.ScoreRejected {
				term.ScoreChosen, term.ScoreRejected = term.ScoreRejected, term.ScoreChosen
			}
			if got, dA, dB := lossAt(l, 3, term); !near(got, want, 1e-14, 1) || !near(dA, wA, 1e-14, 1) || !near(dB, wB, 1e-14, 1) {
				t.Errorf("%s: two pictures give %g, %g, %g; the sigmoid loss %g, %g, %g", name, got, dA, dB, want, wA, wB)
			}
		}
		terms := randomTerms(r, 6)
		for i := range terms {
			terms[i].Group = i % 2
		}
		mixed := make([]Terms, 6)
		for i, k := range r.Perm(6) {
			m := terms[k]
			mixed[i] = m
			mixed[i].PolicyChosen, mixed[i].RefChosen, mixed[i].ScoreChosen = m.PolicyRejected, m.RefRejected, m.ScoreRejected
			mixed[i].PolicyRejected, mixed[i].RefRejected, mixed[i].ScoreRejected = m.PolicyChosen, m.RefChosen, m.ScoreChosen
		}
		if x, y := l.Evaluate(4, terms, make([]Grad, 6)), l.Evaluate(4, mixed, make([]Grad, 6)); !near(x, y, 1e-14, max(1, x)) {
			t.Errorf("%s: %g, in another order %g", name, x, y)
		}
	}
	// At the start a ranking of n is −log 1/n!, a set by its weights.
	terms := []Terms{{ScoreChosen: 9, ScoreRejected: 0}, {ScoreChosen: 2, ScoreRejected: 1}}
	grad := make([]Grad, 2)
	if got := LossListwise().Evaluate(1, terms, grad); !near(got, math.Log(24), 1e-15, 4) {
		t.Errorf("listwise at the start: %g, want log 24", got)
	}
	if got := LossMPOSet(1).Evaluate(1, terms, grad); !near(got, math.Ln2, 1e-15, 1) {
		t.Errorf("mpo-set at the start: %g", got)
	}
	if got := LossMPOSet(0).Evaluate(1, terms, grad); !near(got, math.Log(4), 1e-15, 1) || grad[0].Chosen <= 0 || grad[1].Chosen >= 0 {
		t.Errorf("mpo-set of even weights at the start: %g, %v", got, grad)
	}
	terms[0].ScoreChosen, terms[0].ScoreRejected, terms[1].ScoreChosen, terms[1].ScoreRejected = 5, 5, 5, 5
	if got := LossMPOSet(1).Evaluate(1, terms, grad); got != 0 || grad[0] != (Grad{}) {
		t.Errorf("mpo-set of equal scores: %g, %v", got, grad)
	}
	if got := LossListwise().Evaluate(1, nil, nil); got != 0 {
		t.Errorf("listwise of nothing: %g", got)
	}
}
