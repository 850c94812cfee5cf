package metric

import (
	"encoding/json"
	"os"
	"testing"
)

// TestImageRewardTestSplit counts the official test split of ImageReward (ranks by tests/oracle/imagereward_ranks.py).
func TestImageRewardTestSplit(t *testing.T) {
	data, err := os.ReadFile("../../tests/golden/imagereward_ranks.json")
	if err != nil {
		t.Fatal(err)
	}
	var g struct{ Ranking [][]float64 }
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	groups, sizes, lowest, tiedTop := make([]Group, len(g.Ranking)), map[int]int{}, map[float64]int{}, 0
	var all, decided float64
	for i, rank := range g.Ranking {
		groups[i] = Group{Rank: rank, Score: make([]float64, len(rank))}
		all += float64(len(rank)*(len(rank)-1)) / 2
		pairs := PairMicro(groups[i : i+1]).Total
		decided += pairs
		if pairs == 0 {
			t.Errorf("group %d is all tied", i)
		}
		sizes[len(rank)]++
		best, top := minOf(rank), 0
		lowest[best]++
		for _, r := range rank {
			if r == best {
				top++
			}
		}
		if top > 1 {
			tiedTop++
		}
	}
	if len(groups) != 466 || all != 7230 || decided != 6399 || tiedTop != 198 {
		t.Errorf("%d groups, %v pairs, %v decided, %d with a tied top", len(groups), all, decided, tiedTop)
	}
	for n, want := range map[int]int{4: 194, 5: 2, 6: 45, 7: 159, 8: 43, 9: 23} {
		if sizes[n] != want {
			t.Errorf("%d groups of %d pictures, want %d", sizes[n], n, want)
		}
	}
	if lowest[1] != 415 || lowest[2] != 48 || lowest[3] != 3 {
		t.Errorf("lowest ranks %v", lowest)
	}
	// Scores that are all equal give every picture the same part of the first place: the chance of a random pick.
	near(t, "random pick", Top1Soft(groups), .2531, 5e-5)
	near(t, "random pick when a tie counts whole", BestOfN(groups), bestOfFirst(groups), 0)
}

// bestOfFirst is the share of groups whose first picture has the best rank: argmax takes the first of equals.
func bestOfFirst(groups []Group) float64 {
	hits := 0
	for _, g := range groups {
		if g.Rank[0] == minOf(g.Rank) {
			hits++
		}
	}
	return float64(hits) / float64(len(groups))
}

func TestReferenceFigures(t *testing.T) {
	iv := Wilson(Count{4185, 6399}, .95) // .654 of the decided pairs
	near(t, "Wilson, low", iv.Low, .6423, 5e-5)
	near(t, "Wilson, high", iv.High, .6656, 5e-5)
	micro := PairMicro(twoGroups)
	near(t, "micro", micro.Share(), .6667, 5e-5)
	inversion := []Group{{Rank: []float64{1, 2, 2, 4}, Score: []float64{3, 4, 1, 2}}}
	near(t, "inversion", Inversion(inversion), .6667, 5e-5)

	// Pooled, three of the five decided pairs are right; the inversion metric gives the tied one away.
	if c := PairMicro(inversion); c != (Count{3, 5}) {
		t.Errorf("the same ranks pooled: %v, want 3 of 5", c)
	}
	// Random probabilities at threshold t: a tie is met with probability t, and half met else; decided pairs give half.
	pairs := []Pair{{1, 0, 0}, {.5, 0, 0}, {0, 0, 0}, {0, 0, 0}}
	for _, at := range []float64{0, .3, 1} {
		near(t, "random baseline", RandomBaseline(pairs, at), ((at+(1-at)/2)*1+.5*3)/4, 1e-12)
	}
	// Always predicting a tie gives .5 + .5·(share of ties).
	near(t, "always a tie", TieThreshold(pairs, 1).Share(), .5+.5/4, 1e-12)
	near(t, "win rate with a tie", WinRate([]float64{1, 2, 3, 4}, []float64{0, 2, 5, 3}).Share(), 2.5/4, 1e-12)
}
