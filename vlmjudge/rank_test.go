package vlmjudge

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// perfect prefers the item of the larger number for certain.
var perfect = CompareFunc(func(_ context.Context, a, b int) (Comparison, error) {
	if a > b {
		return SoftComparison(1, ProtocolGreedy), nil
	}
	return SoftComparison(0, ProtocolGreedy), nil
})

// known prefers by strengths, with a fixed noise for each pair.
func known(theta []float64, noise float64, seed uint64) CompareFunc {
	return func(_ context.Context, a, b int) (Comparison, error) {
		if a > b {
			return Comparison{}, errors.New("a pair the wrong way round")
		}
		r := rand.New(rand.NewPCG(seed, uint64(1000*a+b)))
		return SoftComparison(sigmoid(theta[a]-theta[b]+noise*r.NormFloat64()), ProtocolLogprobs), nil
	}
}

// ascending says whether strengths grow with the number of the item.
func ascending(s []float64) bool {
	return slices.IsSortedFunc(s, func(a, b float64) int {
		if a < b {
			return -1
		}
		return 1
	})
}

func mustRank(t *testing.T, n int, by Comparer, o RankOptions) Tournament {
	t.Helper()
	got, err := Rank(t.Context(), n, by, o)
	if err != nil {
		t.Fatalf("%s, %d items: %v", o.Schedule, n, err)
	}
	return got
}

// Sorting schedules find the order of a judge that is always right and says nothing of by how much; Swiss, given rounds for every pair;
// the others find the best item.
func TestRank_perfectJudge(t *testing.T) {
	for n := range 18 {
		for seed := range uint64(3) {
			for _, name := range []string{AllPairs, Merge, Insertion, Swiss} {
				if got := mustRank(t, n, perfect, RankOptions{Schedule: name, Seed: seed, Rounds: n}); !ascending(got.Strengths) {
					t.Errorf("%s, %d items, seed %d: %v", name, n, seed, got.Strengths)
				}
			}
			for _, name := range []string{Knockout, Windows, Swiss, ""} {
				got := mustRank(t, n, perfect, RankOptions{Schedule: name, Seed: seed})
				if n > 0 && slices.Max(got.Strengths) != got.Strengths[n-1] {
					t.Errorf("%s, %d items, seed %d: %v", name, n, seed, got.Strengths)
				}
			}
		}
	}
	if got := mustRank(t, 40, perfect, RankOptions{Schedule: Merge}); !ascending(got.Strengths) {
		t.Errorf("40 items: %v", got.Strengths)
	}
}

// The counts of reference tables, and those that permutations of a few items really need.
func TestRank_counts(t *testing.T) {
	for _, c := range readRanking(t).Counts {
		for name, want := range map[string]int{AllPairs: c.All, Merge: c.Merge, Insertion: c.Insertion, Knockout: max(c.N-1, c.N-max(0, 4-c.N))} {
			if got, err := MaxPairs(c.N, RankOptions{Schedule: name}); err != nil || got != want {
				t.Errorf("%s of %d: %d, want %d; %v", name, c.N, got, want, err)
			}
		}
		if c.Merge < c.Least {
			t.Errorf("%d items sorted by %d comparisons", c.N, c.Merge)
		}
	}
	most := map[string]int{}
	for seed := range uint64(180) {
		for _, name := range Schedules() {
			o := RankOptions{Schedule: name, Seed: seed}
			n := 2 + int(seed)%9
			if name == Cascade {
				o.Prior = make([]float64, n)
			}
			got := mustRank(t, n, perfect, o)
			limit, err := MaxPairs(n, o)
			if err != nil || got.Pairs > limit || got.Calls != 2*got.Pairs || got.Incomplete != "" {
				t.Errorf("%s of %d: %d pairs, at most %d, %d calls, %q, %v", name, n, got.Pairs, limit, got.Calls, got.Incomplete, err)
			}
			most[fmt.Sprint(name, n)] = max(most[fmt.Sprint(name, n)], got.Pairs)
		}
	}
	for key, want := range map[string]int{"merge5": 8, "insertion5": 8, "insertion8": 17, "swiss8": 16, "swiss9": 20, "knockout8": 8, "knockout7": 7, "all10": 45} {
		if most[key] != want {
			t.Errorf("%s: %d pairs at most, want %d", key, most[key], want)
		}
	}
}

// How items are numbered changes nothing but the numbers, where a cheaper reward says in which order they come.
func TestRank_equivariant(t *testing.T) {
	const n = 9
	r := rand.New(rand.NewPCG(1, 2))
	theta, prior, noise := make([]float64, n), make([]float64, n), square[float64](n)
	for i := range theta {
		theta[i], prior[i] = r.NormFloat64(), r.NormFloat64()
		for j := range i {
			noise[i][j] = r.NormFloat64()
			noise[j][i] = -noise[i][j]
		}
	}
	for _, name := range append(Schedules(), "") {
		var want []float64
		for range 4 {
			at := r.Perm(n) // item i has number at[i]
			item := make([]int, n)
			mine := make([]float64, n)
			for i, k := range at {
				item[k], mine[k] = i, prior[i]
			}
			by := CompareFunc(func(_ context.Context, a, b int) (Comparison, error) {
				i, j := item[a], item[b]
				return SoftComparison(sigmoid(theta[i]-theta[j]+noise[i][j]), ProtocolLogprobs), nil
			})
			got := mustRank(t, n, by, RankOptions{Schedule: name, Prior: mine, Seed: r.Uint64()})
			s := make([]float64, n)
			for i, k := range at {
				s[i] = got.Strengths[k]
			}
			if want == nil {
				want = s
			}
			nearAll(t, name, s, want, 1e-6)
		}
	}
}

func TestRank_deterministic(t *testing.T) {
	theta := []float64{0, .3, -1, 2, .5, .1, -.2, 1, .9}
	for _, name := range Schedules() {
		o := RankOptions{Schedule: name, Seed: 5, Calls: 20}
		if name == Cascade {
			o.Prior = make([]float64, len(theta))
		}
		want := mustRank(t, len(theta), known(theta, 1, 7), o)
		o.Concurrency = 4
		got := mustRank(t, len(theta), known(theta, 1, 7), o)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: four at once give\n%v, one by one\n%v", name, got, want)
		}
	}
}

// Comparisons that fail, or have no result, cost what they cost and lose nothing else.
func TestRank_failures(t *testing.T) {
	theta := []float64{-2, -1.5, -1, -.5, .5, 1, 1.5, 2}
	for _, name := range Schedules() {
		o := RankOptions{Schedule: name, Prior: make([]float64, len(theta))}
		count := 0
		got := mustRank(t, len(theta), CompareFunc(func(ctx context.Context, a, b int) (Comparison, error) {
			switch count++; count % 5 {
			case 1:
				return Comparison{}, errors.New("reset")
			case 3:
				return SoftComparison(math.NaN(), ProtocolLogprobs), nil
			}
			return known(theta, 0, 0)(ctx, a, b)
		}), o)
		if got.Failed == 0 || got.Calls != 2*(got.Pairs+got.Failed) || got.Incomplete != "" || len(got.Strengths) != len(theta) {
			t.Errorf("%s: %+v", name, got)
		}
		if name != Knockout && tau(got.Strengths, theta) < .7 {
			t.Errorf("%s: %v", name, got.Strengths)
		}
		cause := errors.New("no route")
		count = 0
		_, err := Rank(t.Context(), len(theta), CompareFunc(func(context.Context, int, int) (Comparison, error) { count++; return Comparison{}, cause }), o)
		if !errors.Is(err, cause) || count > GoneAfter {
			t.Errorf("%s, all failing: %v after %d questions", name, err, count)
		}
	}
}

// A judge that goes away leaves what it said.
func TestRank_gone(t *testing.T) {
	count := 0
	got := mustRank(t, 8, CompareFunc(func(ctx context.Context, a, b int) (Comparison, error) {
		if count++; count > 10 {
			return Comparison{}, errors.New("connection refused")
		}
		return perfect(ctx, a, b)
	}), RankOptions{Schedule: AllPairs})
	if got.Pairs != 10 || got.Failed != GoneAfter || !strings.Contains(got.Incomplete, "8 times in a row: connection refused") || count != 18 {
		t.Errorf("%+v after %d questions", got, count)
	}
}

func TestRank_budgets(t *testing.T) {
	theta := []float64{0, .3, -1, 2, .5, .1, -.2, 1}
	for _, name := range Schedules() {
		for _, calls := range []int{2, 7, 16, 1000} {
			o := RankOptions{Schedule: name, Calls: calls, Prior: theta}
			got := mustRank(t, 8, known(theta, .5, 3), o)
			if got.Calls > calls || calls == 1000 && got.Incomplete != "" || calls == 2 && (got.Pairs != 1 || !strings.Contains(got.Incomplete, "2 questions") && name != Active) {
				t.Errorf("%s, %d calls: %d, %q", name, calls, got.Calls, got.Incomplete)
			}
			o.Spend = true
			if got := mustRank(t, 8, known(theta, .5, 3), o); got.Calls != min(calls/2*2, 56) {
				t.Errorf("%s spends %d of %d calls", name, got.Calls, calls)
			}
		}
	}
	var pairs atomic.Int32
	got := mustRank(t, 8, CompareFunc(func(ctx context.Context, a, b int) (Comparison, error) {
		c, err := known(theta, 0, 0)(ctx, a, b)
		c.AFirst.Tokens, c.BFirst.Tokens = Tokens{1, 100, 1}, Tokens{1, 100, 1}
		return c, err
	}), RankOptions{Schedule: AllPairs, Concurrency: 2, OnPair: func() { pairs.Add(1) }, Stop: func(s Spent) string {
		if s.Tokens.Prompt >= 1000 {
			return fmt.Sprintf("%d tokens", s.Tokens.Prompt)
		}
		return ""
	}})
	if got.Incomplete != "1200 tokens" || got.Pairs != 6 || pairs.Load() != 6 || got.Tokens != (Tokens{12, 1200, 12}) || got.Unmet() > 2 {
		t.Errorf("%+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Rank(ctx, 8, CompareFunc(func(context.Context, int, int) (Comparison, error) { cancel(); return Comparison{}, ctx.Err() }), RankOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestRank_refuses(t *testing.T) {
	for name, c := range map[string]struct {
		n int
		o RankOptions
	}{
		"one question": {4, RankOptions{Calls: 1}}, "negative": {4, RankOptions{Calls: -2}}, "name": {4, RankOptions{Schedule: "bubble"}},
		"items": {-1, RankOptions{}}, "prior": {4, RankOptions{Prior: []float64{1}}}, "not finite": {1, RankOptions{Prior: []float64{math.NaN()}}},
		"cascade": {4, RankOptions{Schedule: Cascade}}, "band": {4, RankOptions{TieBand: .5}}, "window": {4, RankOptions{Window: 1}},
		"certain": {4, RankOptions{Certain: -1}},
	} {
		if _, err := Rank(t.Context(), c.n, perfect, c.o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestDefaultSchedule(t *testing.T) {
	for _, c := range []struct {
		n, calls int
		want     string
	}{{6, 0, AllPairs}, {7, 0, Swiss}, {6, 29, Active}, {6, 30, AllPairs}, {10, 90, AllPairs}, {10, 89, Active}, {2, 2, AllPairs}} {
		if got := DefaultSchedule(c.n, c.calls); got != c.want {
			t.Errorf("%d items, %d calls: %s, want %s", c.n, c.calls, got, c.want)
		}
	}
}

// A judge without an order: every triple of a round table goes round, and nobody is stronger.
func TestRank_cycles(t *testing.T) {
	by := CompareFunc(func(_ context.Context, a, b int) (Comparison, error) {
		return SoftComparison(map[bool]float64{true: .9, false: .1}[(b-a+3)%3 == 1], ProtocolLogprobs), nil
	})
	got := mustRank(t, 3, by, RankOptions{})
	nearAll(t, "strengths", got.Strengths, []float64{0, 0, 0}, 1e-9)
	if got.Cyclic != 1 || got.Triples != 1 {
		t.Errorf("%+v", got)
	}
}

// A judge that sees only places prefers nothing: the log-odds of both orders cancel.
func TestRank_positionOnly(t *testing.T) {
	by := CompareFunc(func(context.Context, int, int) (Comparison, error) { return comparison(0, 3), nil })
	got := mustRank(t, 5, by, RankOptions{})
	nearAll(t, "strengths", got.Strengths, make([]float64, 5), 1e-9)
	if got.Turned != got.Pairs || math.Abs(got.Bias-3) > 1e-9 {
		t.Errorf("%+v", got)
	}
}

func TestRank_ties(t *testing.T) {
	theta := []float64{0, 0, 1, 1, 1.1, 3}
	got := mustRank(t, 6, known(theta, 0, 0), RankOptions{TieBand: .05})
	if !(got.Ties > 0) || math.Abs(got.Strengths[0]-got.Strengths[1]) > 1e-6 || math.Abs(got.Strengths[2]-got.Strengths[3]) > 1e-6 || slices.Max(got.Strengths) != got.Strengths[5] {
		t.Errorf("ν %v, %v", got.Ties, got.Strengths)
	}
	if gap, spread := got.Difference(5, 0); !(gap > 0) || !(spread > 0) {
		t.Errorf("%v ± %v", gap, spread)
	}
}

// Comparisons of a wide field: what is left to chance shows in the standard errors.
func TestRank_standardErrors(t *testing.T) {
	theta := []float64{0, .3, -1, 2, .5, .1, -.2, 1}
	few, many := mustRank(t, 8, known(theta, 0, 0), RankOptions{Schedule: Knockout}), mustRank(t, 8, known(theta, 0, 0), RankOptions{Schedule: AllPairs})
	for i := range theta {
		if !(few.StandardErrors[i] > many.StandardErrors[i]) {
			t.Errorf("item %d: ±%v by a knockout, ±%v by all pairs", i, few.StandardErrors[i], many.StandardErrors[i])
		}
	}
	nearAll(t, "the judge's own differences", many.Strengths, centred(theta), .01) // the prior is wide
}

func centred(x []float64) []float64 {
	y := slices.Clone(x)
	centre(y)
	return y
}

// lister orders lists rightly, but for those that break gives something else for.
type lister struct {
	CompareFunc
	asked   [][]int
	instead func(k int) ([]int, error)
}

func (l *lister) List(_ context.Context, items []int) ([]int, error) {
	l.asked = append(l.asked, slices.Clone(items))
	if l.instead != nil {
		if out, err := l.instead(len(l.asked)); out != nil || err != nil {
			return out, err
		}
	}
	out := slices.Sorted(slices.Values(items))
	slices.Reverse(out)
	return out, nil
}

func TestRank_lists(t *testing.T) {
	l := &lister{CompareFunc: perfect}
	got := mustRank(t, 10, l, RankOptions{Schedule: Windows})
	if len(l.asked) != 8 || got.Calls != 8 || got.Lists != 8 || got.Pairs != 0 || slices.Max(got.Strengths) != got.Strengths[9] {
		t.Errorf("%d questions: %+v", len(l.asked), got)
	}
	l = &lister{CompareFunc: perfect, instead: func(k int) ([]int, error) {
		switch k {
		case 2:
			return []int{1, 1, 2, 3}, nil
		case 3:
			return nil, errors.New("reset")
		}
		return nil, nil
	}}
	got = mustRank(t, 10, l, RankOptions{Schedule: Windows, Calls: 7})
	if got.Failed != 2 || got.Lists != 5 || got.Calls != 7 || !strings.Contains(got.Incomplete, "7 questions") {
		t.Errorf("%+v", got)
	}
}

// The cascade asks about what is open, and takes the rest from the cheaper reward.
func TestRank_cascade(t *testing.T) {
	prior := []float64{0, 1, 4, 4.5, 9}
	got := mustRank(t, 5, perfect, RankOptions{Schedule: Cascade, Prior: prior})
	if got.Pairs != 2 || got.Borrowed != 8 || !ascending(got.Strengths) {
		t.Errorf("%+v", got)
	}
	got = mustRank(t, 5, perfect, RankOptions{Schedule: Cascade, Prior: prior, Calls: 2})
	if m := got.Matches; len(m) != 1 || m[0].A != 2 || m[0].B != 3 || got.Borrowed != 9 || got.Incomplete == "" {
		t.Errorf("the most open pair first: %+v", got)
	}
	// Calls that are left go to the pairs that were borrowed: the judge's answer takes the place of the reward's.
	wrong := []float64{9, 6, 3, 0}
	got = mustRank(t, 4, perfect, RankOptions{Schedule: Cascade, Prior: wrong, Calls: 12, Spend: true})
	if got.Pairs != 6 || got.Borrowed != 0 || !ascending(got.Strengths) {
		t.Errorf("%+v", got)
	}
}

func TestInformation_againstScipy(t *testing.T) {
	for _, c := range readRanking(t).Information {
		near(t, fmt.Sprintf("gap %v, variance %v", c.Gap, c.Variance), information(c.Gap, c.Variance), c.Information, 2e-4) // 32 nodes
	}
}
