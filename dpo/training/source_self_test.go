package training

import (
	"math"
	"slices"
	"testing"
)

// A run of spin keeps the policy every so many updates, and learns against the latest state: right behind a new one the loss is that of no margin.
func TestSelf_spin(t *testing.T) {
	c := Config{Method: "spin", BatchSize: 2, Steps: 20, LearningRate: 3e-3, Seed: 5, Rank: 2, Self: Self{Steps: 3, Snapshots: 2}}
	tr := ready(t, c, writePairs(t, 4))
	for step := range 5 {
		now := tr.snapshot()
		m, err := tr.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if fresh := step%2 == 0; fresh != (math.Abs(m.Loss-math.Ln2) < 1e-6) {
			t.Errorf("step %d: loss %v", step+1, m.Loss)
		}
		if want := step / 2; len(tr.snapshots) != want {
			t.Errorf("step %d: %d states are kept, want %d", step+1, len(tr.snapshots), want)
		}
		if n := len(tr.snapshots); step > 0 && step%2 == 0 && !slices.Equal(tr.snapshots[n-1][1], now[1]) {
			t.Errorf("step %d: the state that is kept is not the policy's", step+1)
		}
	}
	last := tr.source.(*selfPlay).opponent(9)
	if !slices.Equal(last.factors[0], tr.snapshots[1][0]) {
		t.Error("the opponent is not the latest state")
	}
}

// SePPO meets each state about as often as any other, the base model among them, and each state's picture of a pair is made once.
func TestSelf_opponents(t *testing.T) {
	c := Config{Method: "seppo", BatchSize: 2, Steps: 20, Seed: 5, Rank: 2, Self: Self{Steps: 2, Snapshots: 1}}
	tr := ready(t, c, writePairs(t, 2))
	for k := range uint64(2) {
		stir(tr, 0.3, k)
		tr.snapshots = append(tr.snapshots, tr.snapshot())
	}
	s := tr.source.(*selfPlay)
	met := map[int]int{}
	for i := range 600 {
		a := s.opponent(i)
		k := slices.IndexFunc(tr.snapshots, func(f [][]float32) bool { return a.factors != nil && &f[0] == &a.factors[0] })
		met[k]++
	}
	for k := -1; k < 2; k++ {
		if met[k] < 150 || met[k] > 250 {
			t.Errorf("states are met %v times of 600", met)
		}
	}
	made := map[int][]float32{}
	for k := -1; k < 2; k++ {
		a := anchor{weight: 1}
		if k >= 0 {
			a.factors = tr.snapshots[k]
		}
		for turn := range 2 {
			all := []drawn{{pair: &tr.source.(*selfPlay).data.Pairs[0]}}
			before := tr.cache.size
			if err := s.oppose(t.Context(), all, &a, tr.size); err != nil {
				t.Fatal(err)
			}
			if made[k] == nil {
				made[k] = all[0].rejected
			} else if !slices.Equal(made[k], all[0].rejected) || tr.cache.size != before {
				t.Errorf("state %d, turn %d: another picture, or made again", k, turn)
			}
		}
	}
	if apart(made[0], made[-1]) < 1e-3 || apart(made[1], made[0]) < 1e-3 {
		t.Error("states make the same picture")
	}
}

// Runs against earlier states go on with the same bytes, wherever they were cut.
func TestSelf_resume(t *testing.T) {
	pairs := writePairs(t, 4)
	for name, c := range map[string]Config{
		"seppo":      {Method: "seppo", Self: Self{Steps: 2, Snapshots: 2}},
		"rethinking": {Method: "rethinking", Reference: Reference{Refresh: 2, Drift: 0.5}},
	} {
		t.Run(name, func(t *testing.T) {
			c.BatchSize, c.Steps, c.LearningRate, c.Seed, c.Rank = 2, 7, 3e-3, 5, 2
			runsAlike(t, c, pairs, 1, 2, 4, 5)
		})
	}
}

// Nothing is asked of the rejected pictures of the data.
func TestSelf_data(t *testing.T) {
	tr := open(t, Config{Method: "seppo"})
	d, err := tr.Load(t.Context(), []string{writePairs(t, 3)}, nil)
	if err != nil || d.Encoded != 3 || d.Pairs[0].Rejected != (Key{}) {
		t.Errorf("%d pictures encoded of 3 pairs, %v", d.Encoded, err)
	}
}
