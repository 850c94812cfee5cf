package training

import (
	"math"
	"slices"
	"testing"
)

// scored loads pairs and gives them scores.
func scored(t *testing.T, c Config, n int) *Trainer {
	t.Helper()
	tr := open(t, c)
	tr.config.Selection.Curriculum = 0 // the set has no scores
	d, err := tr.Load(t.Context(), []string{writePairs(t, n)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.Pairs {
		d.Pairs[i].Scores = [2]float64{float64(i * i), 0}
	}
	tr.config.Selection = c.Selection
	if err := tr.Begin(d); err != nil {
		t.Fatal(err)
	}
	return tr
}

// A curriculum goes through the pairs by the gap of their scores, the widest first, in stages of equal length, and each stage sees its pairs only.
func TestSelection_curriculum(t *testing.T) {
	c := Config{Method: "dpo", BatchSize: 2, Steps: 9, Accumulation: 2, Seed: 5, Selection: Selection{Curriculum: 3}}
	s := scored(t, c, 12).source.(*pairs)
	for i := range 18 {
		places, _, _ := s.pick(i)
		for _, k := range places {
			if stage, want := (11-k)/4, i/6; stage != want {
				t.Errorf("batch %d has pair %d of stage %d, want stage %d", i, k, stage, want)
			}
		}
	}
	seen := map[int]int{}
	for i := range 6 {
		places, _, _ := s.pick(i)
		for _, k := range places {
			seen[k]++
		}
	}
	if len(seen) != 4 || seen[11] != 3 {
		t.Errorf("the first stage sees %v", seen)
	}
}

// Pairs are kept by what networks say of them, and stay in the order of the data.
func TestSelection_shares(t *testing.T) {
	c := Config{Method: "dpo", BatchSize: 2, Seed: 5}
	tr := scored(t, c, 6)
	d := tr.source.(*pairs).data
	chosen, rejected, err := tr.selectionErrors(t.Context(), d, &anchor{weight: 1})
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Clone(d.Pairs)
	tr.config.Selection = Selection{Clear: 0.5}
	if err := tr.choose(t.Context(), d); err != nil || len(d.Pairs) != 3 || d.Unchosen != 3 {
		t.Fatalf("%d pairs kept, %d not, %v", len(d.Pairs), d.Unchosen, err)
	}
	least := math.Inf(1)
	at := -1
	for _, p := range d.Pairs {
		i := slices.IndexFunc(all, func(q Pair) bool { return q.ID == p.ID })
		if i <= at {
			t.Error("the order of the data is lost")
		}
		at = i
		least = min(least, rejected[i]-chosen[i])
	}
	for i, p := range all {
		kept := slices.ContainsFunc(d.Pairs, func(q Pair) bool { return q.ID == p.ID })
		if !kept && rejected[i]-chosen[i] > least {
			t.Errorf("pair %d is clearer than one that was kept", i)
		}
	}
	stir(tr, 0.2, 3)
	tr.config.Selection = Selection{Unsure: 0.3}
	if err := tr.choose(t.Context(), d); err != nil || len(d.Pairs) != 1 {
		t.Errorf("%d pairs kept of 3, %v", len(d.Pairs), err)
	}
}
