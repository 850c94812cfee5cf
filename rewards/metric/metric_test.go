package metric

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol) {
		t.Errorf("%s = %.10g, want %.10g", what, got, want)
	}
}

// The worked example of the two ImageReward accuracies: 4 of 6 pooled, (3/5 + 1)/2 per prompt.
var twoGroups = []Group{
	{Rank: []float64{1, 2, 2, 4}, Score: []float64{.9, 1.2, .1, .1}},
	{Rank: []float64{1, 2}, Score: []float64{.3, .1}},
}

func TestPairMicroAndMacro(t *testing.T) {
	if c := PairMicro(twoGroups); c != (Count{4, 6}) {
		t.Errorf("micro %v, want 4 of 6", c)
	}
	near(t, "macro", PairMacro(twoGroups), 0.8, 1e-12)
	near(t, "macro with an undecided group", PairMacro(append([]Group{{Rank: []float64{2, 2}, Score: []float64{1, 3}}}, twoGroups...)), 0.8, 1e-12)
	if c := PairMicro([]Group{{Rank: []float64{1, 2}, Score: []float64{5, 5}}}); c != (Count{0, 1}) {
		t.Errorf("equal scores: %v, want wrong", c)
	}
}

func TestInversion(t *testing.T) {
	// Predicted positions 2, 1, 4, 3 (from 1) against labels 1, 2, 2, 4: the pairs (0,1) and (2,3) are inverted.
	g := Group{Rank: []float64{1, 2, 2, 4}, Score: []float64{3, 4, 1, 2}}
	near(t, "inversion", Inversion([]Group{g}), 4.0/6, 1e-12)
	near(t, "tied labels", Inversion([]Group{{Rank: []float64{1, 1}, Score: []float64{0, 1}}}), 1, 0)
}

func TestSingleHuman(t *testing.T) {
	nan := math.NaN()
	g := Group{Rank: []float64{1, 2, 3}, Score: []float64{0, 0, 0}, Votes: [][]float64{{1, 2, 3}, {1, 3, 2}, {2, 1, nan}}}
	// First against second: 2 of 3 pairs, and as many the other way. Either against the third: its one pair is turned; the
	// third against either: the pair that it has, turned; two pairs that it lacks are not its mistakes.
	if c := SingleHuman([]Group{g}); c != (Count{4, 10}) {
		t.Errorf("%v, want 4 of 10", c)
	}
	if c := SingleHuman([]Group{{Rank: g.Rank, Score: g.Score, Votes: g.Votes[:1]}}); c.Total != 0 {
		t.Errorf("one annotator alone: %v", c)
	}
}

func TestRawVotes(t *testing.T) {
	g := Group{Rank: []float64{1, 2}, Score: []float64{.2, .1}, Votes: [][]float64{{1, 2}, {2, 1}, {1, 1}}}
	if c := RawVotes([]Group{g}); c != (Count{1, 2}) {
		t.Errorf("raw votes %v, want 1 of 2", c)
	}
	// An annotator who left pictures out says nothing of them, wherever they stand.
	g = Group{Rank: []float64{1, 2, 3}, Score: []float64{.3, .2, .1}, Votes: [][]float64{{1, math.NaN(), 2}, {math.NaN(), math.NaN(), 1}, {2, 1, math.NaN()}}}
	if c := RawVotes([]Group{g}); c != (Count{1, 2}) {
		t.Errorf("raw votes with gaps %v, want 1 of 2", c)
	}
}

// logit gives a pair whose first picture has probability p.
func logit(label, p float64) Pair { return Pair{label, math.Log(p / (1 - p)), 0} }

func TestTieThreshold(t *testing.T) {
	pairs := []Pair{logit(1, .7), logit(0, .4), logit(.5, .52), logit(1, .45), logit(.5, .9)}
	for i, want := range []float64{.6, .7, .7, .7, .6, .6, .6, .6, .7, .7, .7} {
		at := float64(i) / 10
		if i == 4 || i == 8 { // the gaps of .7 and .9 lie on these thresholds; stay clear of rounding
			at += 1e-9
		}
		near(t, "tie threshold", TieThreshold(pairs, at).Share(), want, 1e-12)
	}
	near(t, "chosen threshold", ChooseTieThreshold(pairs), 0.1, 0)
	if c := NoTies(pairs); c != (Count{2, 3}) {
		t.Errorf("no ties: %v, want 2 of 3", c)
	}
	// The expectation of the baseline, by trying probabilities on a fine grid.
	for _, at := range []float64{0, .3, 1} {
		sum, n := 0.0, 20000
		for i := range n {
			p := (float64(i) + 0.5) / float64(n)
			sum += TieThreshold([]Pair{logit(1, p), logit(.5, p), logit(0, p)}, at).Share()
		}
		near(t, "random baseline", RandomBaseline([]Pair{{1, 0, 0}, {.5, 0, 0}, {0, 0, 0}}, at), sum/float64(n), 2e-3)
	}
}

func TestBestOfN(t *testing.T) {
	groups := []Group{
		{Rank: []float64{2, 2, 3}, Score: []float64{1, 5, 4}}, // the lowest rank is 2, twice
		{Rank: []float64{1, 2, 3}, Score: []float64{7, 7, 7}},
	}
	near(t, "best of n", BestOfN(groups), 1, 0)
	near(t, "top-1 soft", Top1Soft(groups), (1+1.0/3)/2, 1e-12)
}

func TestPairwiseTieOptimal(t *testing.T) {
	g := []Group{{Rank: []float64{1, 1, 2}, Score: []float64{.50, .52, .10}}}
	if r := PairwiseTieOptimal(g); r.Accuracy != 1 || math.Abs(r.Epsilon-.02) > 1e-12 || r.Pairs != 3 {
		t.Errorf("%+v, want accuracy 1 at 0.02", r)
	}
	// Exact ties count at threshold 0 already, and nothing better is to be had.
	g = []Group{{Rank: []float64{1, 1, 2}, Score: []float64{.5, .5, .1}}}
	if r := PairwiseTieOptimal(g); r.Accuracy != 1 || r.Epsilon != 0 {
		t.Errorf("%+v, want accuracy 1 at 0", r)
	}
	// Brute force over all thresholds.
	g = []Group{{Rank: []float64{3, 1, 2, 2, 1}, Score: []float64{.1, .15, .3, -.2, .9}}, {Rank: []float64{1, 2, 1}, Score: []float64{0, .05, .3}}}
	best := 0.0
	for e := 0.0; e < 1.5; e += 0.01 {
		right, n := 0.0, 0.0
		for _, h := range g {
			for i := range h.Rank {
				for j := i + 1; j < len(h.Rank); j++ {
					n++
					d := h.Score[i] - h.Score[j]
					if math.Abs(d) <= e+1e-12 {
						d = 0
					}
					if sign(d) == sign(h.Rank[j]-h.Rank[i]) {
						right++
					}
				}
			}
		}
		best = max(best, right/n)
	}
	near(t, "tie-optimal accuracy", PairwiseTieOptimal(g).Accuracy, best, 1e-12)
}

func sign(x float64) int {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

func TestJudge(t *testing.T) {
	nan := math.NaN()
	r := Judge([]Verdict{{1, .9, .8}, {1, .9, .3}, {0, .2, .1}, {0, .6, nan}, {1, .5, .7}})
	if r.Consistent != (Count{2, 4}) || r.Mean != (Count{6, 9}) || r.Abstained != (Count{1, 10}) {
		t.Errorf("%+v", r)
	}
	near(t, "soft", r.Soft, (.85+.6+.85+.6)/4, 1e-12)
	near(t, "position bias", r.PositionBias, ((.9+.2)/2+(.9+.7)/2+(.2+.9)/2+(.5+.3)/2)/4-.5, 1e-12)
}

// golden is tests/golden/metrics.json, written by tests/oracle/metrics.py.
type golden struct {
	Correlations []struct {
		Rank, Score       []float64
		Kendall, Spearman float64
	}
	McNemar []struct {
		A, B int
		P    float64
	}
	Wilson      []struct{ Right, Total, Low, High float64 }
	Isotonic    struct{ X, Y, At, Fit []float64 }
	Temperature struct {
		Margin, Label []float64
		Tau           float64
	}
}

// TestWilsonStaysInside looks at shares of 0 and 1, whose outer end is known without rounding.
func TestWilsonStaysInside(t *testing.T) {
	for n := 1.0; n < 500; n++ {
		if none, all := Wilson(Count{0, n}, 0.95), Wilson(Count{n, n}, 0.95); none.Low != 0 || all.High != 1 {
			t.Errorf("0 of %g from %g on, %g of %g up to %g", n, none.Low, n, n, all.High)
		}
	}
	if w := Wilson(Count{}, 0.95); !math.IsNaN(w.Low) || !math.IsNaN(w.High) {
		t.Errorf("of nothing: %+v", w)
	}
}

func TestAgainstScipy(t *testing.T) {
	data, err := os.ReadFile("../../tests/golden/metrics.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Correlations) < 4 || len(g.McNemar) < 5 || len(g.Wilson) < 3 || len(g.Isotonic.At) < 20 {
		t.Fatal("the golden file is incomplete")
	}
	for _, c := range g.Correlations {
		one := []Group{{Rank: c.Rank, Score: c.Score}}
		near(t, "Kendall's tau-b", KendallTauB(one), c.Kendall, 1e-12)
		near(t, "Spearman", Spearman(one), c.Spearman, 1e-12)
	}
	for _, c := range g.McNemar {
		near(t, "McNemar", McNemar(c.A, c.B), c.P, 1e-9)
	}
	for _, c := range g.Wilson {
		iv := Wilson(Count{c.Right, c.Total}, 0.95)
		near(t, "Wilson low", iv.Low, c.Low, 1e-9)
		near(t, "Wilson high", iv.High, c.High, 1e-9)
	}
	f := FitIsotonic(g.Isotonic.X, g.Isotonic.Y)
	for i, x := range g.Isotonic.At {
		near(t, "isotonic", f.At(x), g.Isotonic.Fit[i], 1e-12)
	}
	near(t, "below all", f.At(-100), g.Isotonic.Fit[0], 1e-12)
	near(t, "temperature", FitTemperature(g.Temperature.Margin, g.Temperature.Label), g.Temperature.Tau, 1e-5)
	near(t, "temperature of certainty", FitTemperature([]float64{2, -1}, []float64{1, 0}), 2e-3, 1e-9)
}

// TestBootstrap checks the interval of a mean against the normal approximation, and that clusters stay together.
func TestBootstrap(t *testing.T) {
	n := 400
	values, counts := make([]float64, n), make([]Count, n)
	for i := range values {
		values[i] = float64(i%2) * 2
		counts[i] = Count{5 * float64(i%2), 5} // five pairs of one prompt are all right or all wrong
	}
	iv := Bootstrap(n, 4000, 1, 0.95, MeanOf(values))
	near(t, "mean", iv.Value, 1, 0)
	near(t, "low", iv.Low, 1-1.96/20, 0.01)
	near(t, "high", iv.High, 1+1.96/20, 0.01)
	pooled := Bootstrap(n, 4000, 1, 0.95, SharesOf(counts))
	naive := Wilson(Count{5 * 200, 5 * 400}, 0.95)
	if pooled.High-pooled.Low < 1.9*(naive.High-naive.Low) {
		t.Errorf("cluster interval %v is not √5 times as wide as Wilson's %v", pooled, naive)
	}
	if again := Bootstrap(n, 4000, 1, 0.95, SharesOf(counts)); again != pooled {
		t.Errorf("the same seed gives %v and %v", pooled, again)
	}
}

func TestBootstrap_oneCluster(t *testing.T) {
	iv := Bootstrap(1, 100, 1, 0.95, func([]int) float64 { return 0.7 })
	if iv.Value != 0.7 || !math.IsNaN(iv.Low) || !math.IsNaN(iv.High) {
		t.Errorf("%+v", iv)
	}
}

func TestPairedBootstrap(t *testing.T) {
	n := 300
	a, b, same := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range a {
		a[i] = float64(i % 3)
		b[i] = a[i] - 0.05*float64(i%5) // never better, and the difficulty of the prompt cancels out
		same[i] = a[i] + 0.5 - float64(i%2)
	}
	d := PairedBootstrap(n, 2000, 1, 0.95, MeanOf(a), MeanOf(b))
	near(t, "difference", d.Value, 0.1, 1e-12)
	if d.Low <= 0 || d.P > 0.01 {
		t.Errorf("%+v: a clear difference is not seen", d)
	}
	if d := PairedBootstrap(n, 2000, 1, 0.95, MeanOf(a), MeanOf(same)); d.P < 0.5 {
		t.Errorf("%+v: no difference is taken for one", d)
	}
}

func TestECEMass(t *testing.T) {
	p, y := []float64{.9, .6, .8, .7, .55}, []float64{1, 0, 1, 1, 1}
	// Sorted: .55→1, .6→0 | .7→1, .8→1 | .9→1: bins of 2, 2, 1.
	near(t, "ECE", ECEMass(p, y, 3), (math.Abs(1.15-1)+math.Abs(1.5-2)+math.Abs(.9-1))/5, 1e-12)
	near(t, "one bin", ECEMass(p, y, 1), math.Abs(3.55-4)/5, 1e-12)
	near(t, "more bins than values", ECEMass(p, y, 9), (.1+.6+.2+.3+.45)/5, 1e-12)
	near(t, "Brier", Brier(p, y), (.01+.36+.04+.09+.2025)/5, 1e-12)
}

func TestECE(t *testing.T) {
	p, y := []float64{.05, .15, .15, .95, 1}, []float64{0, 0, 1, 1, 1}
	near(t, "ECE", ECE(p, y, 10), (.05+2*math.Abs(.15-.5)+2*math.Abs(.975-1))/5, 1e-12)
}

func TestCheck(t *testing.T) {
	for _, g := range []Group{
		{Rank: []float64{1}, Score: []float64{1, 2}},
		{Rank: []float64{1, math.NaN()}, Score: []float64{1, 2}},
		{Rank: []float64{1, 2}, Score: []float64{1, 2}, Votes: [][]float64{{1}}},
	} {
		if g.Check() == nil {
			t.Errorf("%+v passes", g)
		}
	}
}
