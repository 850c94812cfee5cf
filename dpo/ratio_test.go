package dpo

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// ratioRow is a row of tests/oracle/ratios.py.
type ratioRow struct {
	Beta, Clip, KL, Value, Eps float64
	Terms, Grad                [][]float64
	Rewards, Want              []float64
}

func ratioRows(t *testing.T, list string) []ratioRow {
	t.Helper()
	data, err := os.ReadFile("testdata/ratios.json")
	if err != nil {
		t.Fatal(err)
	}
	var lists map[string]json.RawMessage
	var rows []ratioRow
	if err = json.Unmarshal(data, &lists); err == nil {
		err = json.Unmarshal(lists[list], &rows)
	}
	if err != nil || len(rows) < 3 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	return rows
}

// Losses and derivatives equal torch.autograd's, and some ratios are inside and some outside the range.
func TestRatios_golden(t *testing.T) {
	check := func(o Objective, row ratioRow, terms []Terms, part func(Grad) [2]float64) {
		t.Helper()
		grad := make([]Grad, len(terms))
		if got := o.Evaluate(terms, grad); !near(got, row.Value, 1e-12, 1) {
			t.Errorf("%+v: loss %v, torch has %v", o, got, row.Value)
		}
		none := 0
		for i, g := range grad {
			for k, got := range part(g) {
				if want := row.Grad[i][k]; !near(got, want, 1e-12, 1) {
					t.Errorf("%+v: derivative %d of term %d is %v, torch has %v", o, k, i, got, want)
				}
			}
			if part(g)[0] == 0 {
				none++
			}
		}
		if none == 0 || none == len(grad) {
			t.Errorf("%+v: %d of %d terms have no derivative", o, none, len(grad))
		}
	}
	for _, row := range ratioRows(t, "clamped") {
		var terms []Terms
		for _, v := range row.Terms {
			terms = append(terms, pairTerms(v[0], v[1], v[2], v[3], 1))
		}
		check(ClampedRatios{row.Beta, row.Clip}, row, terms, func(g Grad) [2]float64 { return [2]float64{g.Chosen, g.Rejected} })
	}
	for _, row := range ratioRows(t, "ppo") {
		var terms []Terms
		for _, v := range row.Terms {
			terms = append(terms, Terms{PolicyChosen: v[0], RefChosen: v[1], Advantage: v[2], DriftChosen: v[3]})
		}
		check(PPO{row.Clip, row.KL}, row, terms, func(g Grad) [2]float64 { return [2]float64{g.Chosen, g.DriftChosen} })
	}
}

func TestAdvantages_golden(t *testing.T) {
	for _, row := range ratioRows(t, "advantages") {
		for i, got := range Advantages(row.Rewards, row.Rewards, row.Eps) {
			if !near(got, row.Want[i], 1e-12, 1) {
				t.Errorf("%d of %d: advantage %v, numpy has %v", i, len(row.Rewards), got, row.Want[i])
			}
		}
	}
	for _, v := range Advantages([]float64{2, 2, 2}, []float64{2, 2, 2}, 1e-8) {
		if v != 0 {
			t.Errorf("equal rewards: advantage %v", v)
		}
	}
}

// Published bounds of the clamped loss, ln 2 where policy and reference agree, and no derivative where both ratios are out.
func TestClampedRatios_bounds(t *testing.T) {
	o := ClampedRatios{Beta: 10, Clip: 0.1}
	grad := make([]Grad, 1)
	for _, row := range []struct{ policy, want float64 }{{-3, 0.126131}, {3, 2.132838}, {0, math.Ln2}} {
		got := o.Evaluate([]Terms{pairTerms(row.policy, -row.policy, 0, 0, 1)}, grad)
		if math.Abs(got-row.want) > 5e-7 {
			t.Errorf("policy error %v: loss %v, want %v", row.policy, got, row.want)
		}
		if out := row.policy != 0; out != (grad[0] == Grad{}) {
			t.Errorf("policy error %v: derivative %+v", row.policy, grad[0])
		}
	}
	d3po := ClampedRatios{Beta: 0.1, Clip: 0.1}
	for policy, want := range map[float64]float64{-3: 0.68316, 3: 0.70323} {
		if got := d3po.Evaluate([]Terms{pairTerms(policy, -policy, 0, 0, 1)}, grad); math.Abs(got-want) > 5e-6 {
			t.Errorf("D3PO: loss %v, want %v", got, want)
		}
	}
}

// A fresh batch of paths has ratios of 1: the loss is minus the mean advantage, the derivative of each term its advantage, and flipped
// rewards flip it.
func TestPPO_fresh(t *testing.T) {
	o := PPO{Clip: 1e-4}
	terms := []Terms{{PolicyChosen: .4, RefChosen: .4, Advantage: 2}, {PolicyChosen: .6, RefChosen: .6, Advantage: -1.5}}
	grad, flipped := make([]Grad, 2), make([]Grad, 2)
	if loss := o.Evaluate(terms, grad); loss != -0.25 || grad[0].Chosen != 1 || grad[1].Chosen != -0.75 {
		t.Errorf("loss %v, derivatives %+v", loss, grad)
	}
	for i := range terms {
		terms[i].Advantage = -terms[i].Advantage
	}
	o.Evaluate(terms, flipped)
	for i := range grad {
		if flipped[i].Chosen != -grad[i].Chosen {
			t.Errorf("flipped rewards: %+v and %+v", grad[i], flipped[i])
		}
	}
	// Beyond the range only what pulls back is learnt.
	for _, row := range []struct {
		log, advantage float64
		learns         bool
	}{{.1, 1, false}, {.1, -1, true}, {-.1, 1, true}, {-.1, -1, false}} {
		o.Evaluate([]Terms{{PolicyChosen: -row.log, Advantage: row.advantage}}, grad[:1])
		if (grad[0].Chosen != 0) != row.learns {
			t.Errorf("log ratio %v, advantage %v: derivative %v", row.log, row.advantage, grad[0].Chosen)
		}
	}
}
