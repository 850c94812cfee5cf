package online

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// scores are n numbers around a mean, the same noise for equal seeds: rounds share their prompts.
func scores(seed uint64, mean float64) []float64 {
	r := rand.New(rand.NewPCG(seed, 7))
	v := make([]float64, 200)
	for i := range v {
		v[i] = mean + 0.3*r.NormFloat64()
	}
	return v
}

func TestJudge(t *testing.T) {
	type means struct{ trained, heldOut float64 }
	for _, c := range []struct {
		name          string
		rounds        []means
		best          int
		hacked, worse bool
	}{
		{"the base alone", []means{{0, 0}}, 0, false, false},
		{"both rise", []means{{0, 0}, {.2, .2}, {.4, .3}}, 2, false, false},
		{"hacked at once", []means{{0, 0}, {.5, -.3}}, 0, true, false},
		{"hacked later", []means{{0, 0}, {.2, .3}, {.6, .0}}, 1, true, false},
		{"a slow decline adds up", []means{{0, 0}, {.2, .4}, {.4, .38}, {.6, .36}, {.8, .2}}, 1, true, false},
		{"both fall", []means{{0, 0}, {.2, .3}, {-.4, -.2}}, 1, false, true},
		{"nothing happens", []means{{0, 0}, {0, 0}}, 0, false, false},
	} {
		var rounds []Round
		for i, m := range c.rounds {
			rounds = append(rounds, Round{i, scores(uint64(2*i), m.trained), scores(uint64(2*i+1), m.heldOut)})
		}
		if c.name == "nothing happens" {
			rounds[1] = Round{1, rounds[0].Trained, rounds[0].HeldOut}
		}
		v := Judge(rounds)
		if v.Best != c.best || v.Hacked != c.hacked || v.Worse != c.worse {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
}

// A fall of the held-out reward that is within its noise stops nothing.
func TestJudge_noise(t *testing.T) {
	stopped := 0
	for seed := range uint64(60) {
		a, b := scores(4*seed, 0), scores(4*seed+1, 0)
		v := Judge([]Round{{0, scores(4*seed+2, 0), a}, {1, scores(4*seed+3, .5), b}})
		if v.Hacked {
			stopped++
		}
	}
	if stopped > 6 { // 2.5 % of 60 are 1.5
		t.Errorf("%d of 60 rounds without any change are taken for hacked", stopped)
	}
}

func TestCompare(t *testing.T) {
	nan := math.NaN()
	c := Compare([]float64{1, 2, nan, 4}, []float64{0, nan, 1, 3})
	if c.Mean != 1 || c.Low != 1 || c.High != 1 || c.Prompts != 2 {
		t.Errorf("%+v", c)
	}
	if c := Compare([]float64{nan}, []float64{1}); !math.IsNaN(c.Mean) || c.rises() || c.falls() {
		t.Errorf("nothing in common: %+v", c)
	}
	a, b := scores(1, 1), scores(2, .8)
	x, y := Compare(a, b), Compare(b, a)
	if math.Abs(x.Mean+y.Mean) > 1e-12 || math.Abs(x.Low+y.High) > 0.02 || !x.rises() || !y.falls() {
		t.Errorf("%v and %v", x, y)
	}
	v := slices.Clone(a)
	v[3] = nan
	if m := Mean(v); math.IsNaN(m) {
		t.Error("a missing score makes the mean missing")
	}
	if !math.IsNaN(Mean(nil)) {
		t.Error("the mean of nothing")
	}
}
