package vlmjudge

import (
	"errors"
	"math"
	"testing"
)

func TestExpectedScore(t *testing.T) {
	logs := func(p ...float64) []float64 {
		for i := range p {
			p[i] = math.Log(p[i])
		}
		return p
	}
	for _, c := range []struct {
		name                    string
		logprobs, values        []float64
		score, mass, tol        float64
		wantLow, wantOtherError bool
	}{
		{"Q-Align", logs(.5, .3, .15, .04, .01), QAlignValues, .81, 1, 1e-12, false, false},
		{"half the mass", logs(.25, .15, .075, .02, .005), QAlignValues, .81, .5, 1e-12, false, false},
		{"marks of 1 to 5", logs(.1, .2, .4, .2, .1), []float64{1, 2, 3, 4, 5}, 3, 1, 1e-12, false, false},
		{"one label", logs(0, 1, 0), []float64{-1, 7, 9}, 7, 1, 0, false, false},
		{"too little mass", logs(.01, .01), []float64{0, 1}, 0, 0, 0, true, false},
		{"not a number", []float64{math.NaN(), 0}, []float64{0, 1}, 0, 0, 0, true, false},
		{"a label too few", logs(1), []float64{0, 1}, 0, 0, 0, false, true},
		{"no label", nil, nil, 0, 0, 0, false, true},
	} {
		score, mass, err := ExpectedScore(c.logprobs, c.values)
		if c.wantLow || c.wantOtherError {
			if err == nil || errors.Is(err, ErrLowMass) != c.wantLow {
				t.Errorf("%s: score %v, error %v", c.name, score, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		near(t, c.name, score, c.score, c.tol)
		near(t, c.name+": mass", mass, c.mass, 1e-12)
	}
}

func TestVQAScore(t *testing.T) {
	for _, c := range []struct {
		logprobs []float64
		want     float64
	}{
		{[]float64{-.105, -.001}, .948380},
		{[]float64{math.Log(.25), math.Log(.36)}, .3},
		{[]float64{0}, 1},
		{[]float64{math.Inf(-1), 0}, 0},
	} {
		got, err := VQAScore(c.logprobs)
		if err != nil {
			t.Errorf("%v: %v", c.logprobs, err)
		}
		near(t, "VQAScore", got, c.want, 5e-7)
	}
	for _, bad := range [][]float64{nil, {.1}, {math.NaN()}} {
		if got, err := VQAScore(bad); err == nil {
			t.Errorf("%v scores %v", bad, got)
		}
	}
}
