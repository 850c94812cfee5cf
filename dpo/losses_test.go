package dpo

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
)

// make1 makes a loss by name.
func makeLoss(t *testing.T, name string, options map[string]float64) Loss {
	t.Helper()
	info, err := FindLoss(name)
	if err != nil {
		t.Fatal(err)
	}
	l, err := info.New(0, options)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// rewarded are terms with these implicit rewards; the policy's errors are minus them.
func rewarded(a, b float64) Terms { return pairTerms(-a, -b, 0, 0, 1) }

// lossAt is the value of a loss and its derivatives with respect to two rewards before beta.
func lossAt(l Loss, beta float64, t Terms) (value, dA, dB float64) {
	grad := make([]Grad, 1)
	value = l.Evaluate(beta, []Terms{t}, grad)
	return value, -grad[0].Chosen, -grad[0].Rejected
}

// Numbers that the reference notes derive in double precision, for beta 1.3 and rewards of 0.3 and −0.2, and the sigmoid
// loss's kin at a margin of 2 and beta 0.1. IPO and SPPO are times beta squared here.
func TestLoss_published(t *testing.T) {
	const beta, square = 1.3, 1.3 * 1.3
	for name, want := range map[string][3]float64{
		"sigmoid": {.4200553, -.445886, .445886}, "hinge": {1 - beta*.5, -beta, beta}, "ipo": {.0133136 * square, .230769 * square, -.230769 * square},
		"cdpo": {.4850553, -.315886, .315886}, "robust": {.3388053, -.608386, .608386}, "soft": {.6150553, -.055886, .055886},
		"exo": {.2159870, -.453263, .453263}, "nca": {1.2563473, -.137249, .282986}, "bco": {1.0886139, -.524832, .565973},
		"sppo": {.0412426 * square, -.169231 * square, .369231 * square}, "apo-zero": {.8390810, -.312949, .319569},
		"apo-down": {.9392722, .019997, .292952}, "discopop": {.5220455, -.678653, .678653},
	} {
		term := rewarded(.3, -.2)
		term.Label = .7
		value, dA, dB := lossAt(makeLoss(t, name, nil), beta, term)
		if !near(value, want[0], 1e-7, 1) || !near(dA, want[1], 1e-6, 1) || !near(dB, want[2], 1e-6, 1) {
			t.Errorf("%s: %.7f with slopes %.6f, %.6f; want %.7f", name, value, dA, dB, want)
		}
	}
	for name, want := range map[string]float64{"sigmoid": .5981389, "hinge": .8, "ipo": 9 * .01, "cdpo": .6181389, "robust": .5731389} {
		if value, _, _ := lossAt(makeLoss(t, name, nil), .1, rewarded(2, 0)); !near(value, want, 1e-7, 1) {
			t.Errorf("%s at a margin of 2: %.7f, want %.7f", name, value, want)
		}
	}
	if value, _, _ := lossAt(LossSimPO(1), 2, pairTerms(.1, .5, 9, 9, 1)); !near(value, .7981389, 1e-7, 1) {
		t.Errorf("simpo: %.7f", value)
	}
	// Log-likelihoods of −0.5 and −0.9: odds of 0.8109167.
	if value, _, _ := lossAt(LossORPO(1), 1, pairTerms(.5, .9, 9, 9, 1)); !near(value, .5+.3677289, 1e-7, 1) {
		t.Errorf("orpo: %.7f", value)
	}
	if value, dA, _ := lossAt(LossSimPO(.5), 1, pairTerms(.3, .3, 9, 9, 1)); !near(value, math.Log(1+math.Exp(.5)), 1e-15, 1) || !near(dA, -sigmoid(.5), 1e-15, 1) {
		t.Errorf("simpo where errors are equal: %g, %g", value, dA)
	}
}

// Which losses never rise with the chosen reward nor fall with the rejected one, and that the others do somewhere.
func TestLoss_monotonicity(t *testing.T) {
	rises := []string{"ipo", "cdpo", "soft", "exo", "nca", "sppo", "sppo-soft", "apo-down", "discopop", "rpo-reward", "rpo-reward-squared"}
	for _, info := range Losses() {
		l := makeLoss(t, info.Name, nil)
		most, least := math.Inf(-1), math.Inf(1)
		for a := -6.; a < 6; a += .17 {
			for b := -6.; b < 6; b += .19 {
				term := rewarded(a, b)
				if info.NoReference {
					term = rewarded(a-6.5, b-6.5) // likelihoods
				}
				term.Label, term.ScoreChosen = .8, 1
				_, dA, dB := lossAt(l, 1, term)
				most, least = max(most, dA), min(least, dB)
			}
		}
		if up := most > 1e-12; up != slices.Contains(rises, info.Name) {
			t.Errorf("%s: slopes with respect to the chosen reward reach %g", info.Name, most)
		}
		if margin := []string{"ipo", "cdpo", "soft", "exo", "sppo", "sppo-soft", "discopop", "rpo-reward", "rpo-reward-squared"}; (least < -1e-12) != slices.Contains(margin, info.Name) {
			t.Errorf("%s: slopes with respect to the rejected reward reach %g", info.Name, least)
		}
	}
}

// What a pair and the pair swapped add up to.
func TestLoss_swap(t *testing.T) {
	for a := -4.; a <= 4; a += .31 {
		for b := -4.; b <= 4; b += .37 {
			both := func(name string) (x, y float64) {
				term, swapped := rewarded(a, b), rewarded(b, a)
				term.ScoreChosen, swapped.ScoreChosen = 1, 1
				x, _, _ = lossAt(makeLoss(t, name, nil), 1, term)
				y, _, _ = lossAt(makeLoss(t, name, nil), 1, swapped)
				return x, y
			}
			for name, h := range map[string]func(float64) float64{
				"sigmoid": func(u float64) float64 { return u }, "aot": func(u float64) float64 { return u }, "aot-unpaired": func(u float64) float64 { return u },
				"dr-dpo": func(u float64) float64 { return u }, "wpo": func(u float64) float64 { return u }, "beta-dpo": func(u float64) float64 { return u },
				"cpo": func(u float64) float64 { return u }, "listwise": func(u float64) float64 { return u }, "mpo-set": func(u float64) float64 { return u },
				"forward-kl": func(u float64) float64 { return -math.Exp(-u) }, "js": func(u float64) float64 { return math.Log(sigmoid(u)) },
				"alpha": func(u float64) float64 { return -2 * math.Exp(-u/2) },
			} {
				x, y := both(name)
				if d := h(a) - h(b); !near(x-y, -d, 1e-13, 1+math.Abs(d)) || !near(math.Exp(-x)+math.Exp(-y), 1, 1e-13, 1) {
					t.Errorf("%s at %g, %g: %g, swapped %g", name, a, b, x, y)
				}
			}
			for name, sum := range map[string]float64{"apo-zero": 2, "kto": 1} {
				if name == "kto" && a+b > 0 {
					continue // q is the mean of both, and the same
				}
				if x, y := both(name); !near(x+y, sum, 1e-14, 1) {
					t.Errorf("%s at %g, %g: both orders add up to %g", name, a, b, x+y)
				}
			}
		}
	}
}

// Members of a family meet where they should.
func TestLoss_families(t *testing.T) {
	option := func(name string, v float64) map[string]float64 { return map[string]float64{name: v} }
	for _, row := range []struct {
		what string
		a, b Loss
	}{
		{"alpha at 1", makeLoss(t, "alpha", option("alpha", 1)), LossSigmoid()},
		{"alpha beside 1", makeLoss(t, "alpha", option("alpha", 1+1e-13)), LossSigmoid()},
		{"alpha at 0", makeLoss(t, "alpha", option("alpha", 0)), LossForwardKL()},
		{"sppo-soft with hard labels", LossSPPOSoft(), LossSPPO()},
		{"mappo with a wide gap", LossMaPPO(1e4), LossSigmoid()},
		{"beta-dpo without a", &BetaDPO{Share: 1, Momentum: .9}, LossSigmoid()},
		{"wpo without kappa", WPO{}, LossSigmoid()},
		{"dr-dpo, hot", DrDPO{Temperature: 1e11}, LossSigmoid()},
	} {
		var terms []Terms
		for a := -3.; a < 3; a += .7 {
			term := rewarded(a, a*a-2)
			term.ScoreChosen = 1
			terms = append(terms, term)
		}
		got, want := make([]Grad, len(terms)), make([]Grad, len(terms))
		x, y := row.a.Evaluate(1.5, terms, got), row.b.Evaluate(1.5, terms, want)
		if !near(x, y, 1e-8, 1) {
			t.Errorf("%s: %g, want %g", row.what, x, y)
		}
		for i := range got {
			if !near(got[i].Chosen, want[i].Chosen, 1e-8, 1) || !near(got[i].Rejected, want[i].Rejected, 1e-8, 1) {
				t.Errorf("%s: derivative %v, want %v", row.what, got[i], want[i])
			}
		}
	}
	// The known defect of discopop: a rise at 0 between a valley before it and a hill behind it.
	slope := func(z float64) float64 { _, d, _ := at(LossDiscoPOP(.05), z, 1); return d }
	if !near(slope(0), .784, 5e-4, 1) || slope(-.14) > 0 || slope(-.10) < 0 || slope(.05) < 0 || slope(.09) > 0 {
		t.Errorf("discopop: slopes %g at 0, %g, %g, %g, %g around it", slope(0), slope(-.14), slope(-.1), slope(.05), slope(.09))
	}
	if value, d, _ := at(LossEXO(.2), math.Log(4), 1); !near(value, 0, 1e-15, 1) || !near(d, 0, 1e-15, 1) {
		t.Errorf("exo at logit(1−ε): %g with slope %g", value, d)
	}
}

func TestLosses(t *testing.T) {
	names := map[string]bool{}
	for _, l := range Losses() {
		if names[l.Name] || l.Name != strings.ToLower(l.Name) || l.Formula == "" || l.Paper == "" {
			t.Errorf("%q stands twice or says too little: %+v", l.Name, l)
		}
		names[l.Name] = true
		if l.Smoothing != (l.DefaultSmoothing != 0) && !strings.HasPrefix(l.Name, "aot") {
			t.Errorf("%s: smoothing %g", l.Name, l.DefaultSmoothing)
		}
		for _, o := range l.Options {
			if !(o.Low <= o.Default && o.Default <= o.High) || o.What == "" || !strings.Contains(l.Formula+o.What+l.Paper, o.What) {
				t.Errorf("%s: option %+v", l.Name, o)
			}
			for _, v := range []float64{o.Low, o.High} {
				if _, err := l.New(0, map[string]float64{o.Name: v}); err != nil {
					t.Errorf("%s: %v", l.Name, err)
				}
			}
			for _, v := range []float64{math.NaN(), math.Inf(1), o.Low - 1} {
				_, err := l.New(0, map[string]float64{o.Name: v})
				if err == nil || !strings.Contains(err.Error(), "--loss-option "+o.Name) || !strings.Contains(err.Error(), "from") {
					t.Errorf("%s: %s=%g: %v", l.Name, o.Name, v, err)
				}
			}
		}
		if _, err := l.New(0, map[string]float64{"nonsense": 1}); err == nil || !strings.Contains(err.Error(), "--loss-option nonsense") {
			t.Errorf("%s takes a nonsensical option: %v", l.Name, err)
		}
		// What is said about it is what moves it.
		made, _ := l.New(0, nil)
		moves := func(change func(*Terms)) bool {
			terms := []Terms{pairTerms(.3, .2, .5, .7, .8), pairTerms(.4, .2, .6, .3, .7)}
			terms[0].ScoreChosen, terms[1].ScoreChosen, terms[1].Group = 1, 2, 1
			was := made.Evaluate(3, terms, make([]Grad, 2))
			change(&terms[0])
			return made.Evaluate(3, terms, make([]Grad, 2)) != was
		}
		for _, row := range []struct {
			what       string
			got, wants bool
		}{
			{"reference", moves(func(t *Terms) { t.RefChosen += .13 }), !l.NoReference},
			{"label", moves(func(t *Terms) { t.Label = .6 }), l.SoftLabels},
			{"scores", moves(func(t *Terms) { t.ScoreChosen = math.NaN() }), l.Scores},
			{"groups", moves(func(t *Terms) { t.Group = 1 }), l.Groups},
			{"drift", moves(func(t *Terms) { t.DriftChosen, t.Dot = 3, 4 }), false},
		} {
			if row.got != row.wants {
				t.Errorf("%s: looks at the %s: %t, says %t", l.Name, row.what, row.got, row.wants)
			}
		}
		if !l.Groups && batchDependent(made) != l.Batch {
			t.Errorf("%s: pairs depend on each other: %t, says %t", l.Name, !l.Batch, l.Batch)
		}
	}
	for _, name := range []string{"rpo", "mpo", "apo", "spo"} { // of several methods each
		if names[name] {
			t.Errorf("%q does not say which one", name)
		}
	}
}

// batchDependent reports whether another pair changes the derivative of the first.
func batchDependent(l Loss) bool {
	terms := []Terms{pairTerms(.3, .2, .5, .7, .8), pairTerms(.4, .2, .6, .3, .7)}
	if s, ok := l.(Stateful); ok {
		if err := s.Restore([]float64{1, .5, 1}); err != nil {
			return false
		}
	}
	was, now := make([]Grad, 2), make([]Grad, 2)
	l.Evaluate(3, terms, was)
	for _, by := range []float64{-.3, .8} {
		terms[1].PolicyChosen += by
		if l.Evaluate(3, terms, now); was[0] != now[0] {
			return true
		}
	}
	return false
}

func TestLossInfo_CheckScores(t *testing.T) {
	terms := []Terms{rewarded(1, 2), rewarded(1, 2)}
	terms[1].ScoreRejected = math.NaN()
	for _, l := range Losses() {
		err := l.CheckScores(terms)
		if (err != nil) != l.Scores {
			t.Errorf("%s: %v", l.Name, err)
		}
		for _, want := range []string{"--loss " + l.Name, "pair 2", "winnow label --reward", "sigmoid"} {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
		// Whoever does not ask gets a NaN.
		if made, _ := l.New(0, nil); l.Scores && !math.IsNaN(made.Evaluate(1, terms, make([]Grad, 2))) {
			t.Errorf("%s hides a missing score", l.Name)
		}
	}
}

func TestParseLossOptions(t *testing.T) {
	got, err := ParseLossOptions([]string{"a=1e-3", "momentum=0.5"})
	if err != nil || !maps.Equal(got, map[string]float64{"a": 1e-3, "momentum": .5}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ParseLossOptions(nil); got != nil || err != nil {
		t.Errorf("%v, %v of nothing", got, err)
	}
	for _, s := range []string{"a", "a=", "a=x", "=,"} {
		if _, err := ParseLossOptions([]string{s}); err == nil || !strings.Contains(err.Error(), "--loss-option "+s) {
			t.Errorf("%q: %v", s, err)
		}
	}
}
