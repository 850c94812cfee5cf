package minibench

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"winnow/vlmjudge"
)

// someGroups are checker's scores as the mini world has them: steps with a little on top.
func someGroups(n int) []JudgeGroup {
	r := rand.New(rand.NewPCG(1, 2))
	groups := make([]JudgeGroup, n)
	for k := range groups {
		for range 8 {
			v := 1 - .25*float64(r.IntN(3)) + .3*(.8+.2*r.Float64())
			groups[k].Checker, groups[k].Reward = append(groups[k].Checker, v), append(groups[k].Reward, 3*v+.5*r.NormFloat64())
		}
	}
	return groups
}

func judged(t *testing.T, groups []JudgeGroup, o JudgeOptions) map[string]JudgeReport {
	t.Helper()
	o.Temperature = 1
	reports, err := RunJudges(t.Context(), groups, o)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]JudgeReport{}
	for _, r := range reports {
		out[r.key()] = r
	}
	if len(out) != 1+2*(len(vlmjudge.Schedules())+2) {
		t.Fatalf("%d reports", len(out))
	}
	return out
}

// A judge without faults finds the order, whatever it is asked about all pairs; every method spends its budget.
func TestRunJudges_withoutFaults(t *testing.T) {
	all := judged(t, someGroups(6), JudgeOptions{Judge: SimulatedJudge{Scale: .1}, Calls: []int{56}, Repeats: 1})
	for key, r := range all {
		if r.Method == ByReward {
			if r.Calls != 0 || !(r.Tau.Mean > .5 && r.Tau.Mean < 1) {
				t.Errorf("%s: %+v", key, r)
			}
			continue
		}
		if r.Calls != 56 || r.Groups != 6 || r.Regret.Mean < 0 {
			t.Errorf("%s: %v calls, regret %v", key, r.Calls, r.Regret)
		}
		want := map[string]float64{Selection: 8 * 56, Pointwise: 56}[r.Method]
		if want == 0 {
			want = 2 * 56
		}
		if r.Pictures != want {
			t.Errorf("%s: %v pictures shown, want %v", key, r.Pictures, want)
		}
		if r.Answers == Probabilities && r.Method != Selection && (r.Tau.Mean != 1 || r.Regret.Mean != 0) {
			t.Errorf("%s: tau %v, regret %v", key, r.Tau, r.Regret)
		}
		if r.Answers == VotesOnly && !(r.Tau.Mean < 1) {
			t.Errorf("%s: tau %v from single votes", key, r.Tau)
		}
	}
}

// Faults cost, differences are those of the means, and a run repeats.
func TestRunJudges(t *testing.T) {
	groups := someGroups(20)
	o := JudgeOptions{Judge: SimulatedJudge{Scale: .1, Noise: 1, Bias: .5, Lapse: .05, Seed: 3}, Calls: []int{32}, Repeats: 1}
	all := judged(t, groups, o)
	if again := judged(t, groups, o); !reflect.DeepEqual(all, again) {
		t.Error("a second run differs")
	}
	swiss, selection := all["swiss, probabilities"], all["selection, votes"]
	if d := swiss.OverTau["selection, votes"]; math.Abs(d.Mean-(swiss.Tau.Mean-selection.Tau.Mean)) > 1e-12 || !(d.Low < d.Mean && d.Mean < d.High) {
		t.Errorf("difference %v of %v and %v", d, swiss.Tau, selection.Tau)
	}
	if len(selection.OverTau) != 3 || len(swiss.OverRegret) != 4 {
		t.Errorf("compared with %d and %d", len(selection.OverTau), len(swiss.OverRegret))
	}
	if votes := all["swiss, votes"]; !(votes.Tau.Mean < swiss.Tau.Mean) {
		t.Errorf("votes %v, probabilities %v", votes.Tau, swiss.Tau)
	}
	o.Judge.Noise = 4
	if worse := judged(t, groups, o)["swiss, probabilities"]; !(worse.Tau.Mean < swiss.Tau.Mean) {
		t.Errorf("with more noise %v, with less %v", worse.Tau, swiss.Tau)
	}
}

// The noise of a pair, of a picture and of a picture in a crowd is what SimulatedJudge says.
func TestSimulatedJudge_noise(t *testing.T) {
	q := questions{SimulatedJudge: SimulatedJudge{Scale: 1, Noise: 2}, truth: []float64{1, 1}, centre: 1}
	var odds []float64
	for k := range 4000 {
		q.key = uint64(k)
		p := q.first(0, 1)
		odds = append(odds, math.Log(p/(1-p)))
	}
	sum, squares := 0.0, 0.0
	for _, v := range odds {
		sum, squares = sum+v/4000, squares+v*v/4000
	}
	if math.Abs(sum) > .13 || math.Abs(math.Sqrt(squares)-2) > .1 { // four standard errors
		t.Errorf("log-odds %v ± %v, want 0 ± 2", sum, math.Sqrt(squares))
	}
	if a, b := q.first(0, 1), q.first(0, 1); a != b {
		t.Error("the same question has two answers")
	}
	q.Lapse = 1
	if p := q.first(0, 1); p != .5 {
		t.Errorf("a judge that only lapses says %v", p)
	}
}

func TestRegretOf(t *testing.T) {
	for _, c := range []struct {
		scores []float64
		want   float64
	}{{[]float64{3, 2, 1}, 0}, {[]float64{1, 2, 3}, 2}, {[]float64{3, 3, 1}, .5}, {[]float64{0, 0, 0}, 1}} {
		if got := regretOf([]float64{3, 2, 1}, c.scores); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%v: %v, want %v", c.scores, got, c.want)
		}
	}
	if got := kendall([]float64{1, 2, 3}, []float64{5, 5, 5}); got != 0 {
		t.Errorf("all equal: %v", got)
	}
	if got := kendall([]float64{1, 1}, []float64{1, 2}); !math.IsNaN(got) {
		t.Errorf("no order to find: %v", got)
	}
	if !slices.Equal([]float64{kendall([]float64{1, 2, 3}, []float64{1, 2, 3}), kendall([]float64{1, 2, 3}, []float64{3, 2, 1})}, []float64{1, -1}) {
		t.Error("tau of an order and its reverse")
	}
}
