package vlmjudge

import (
	"errors"
	"fmt"
	"math"
	"testing"
)

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol) {
		t.Errorf("%s: %.7f, want %.7f", what, got, want)
	}
}

func TestDirect(t *testing.T) {
	p, mass, err := Direct(-0.2231, -2.3026, math.Inf(-1))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "p", p, .888895, 1e-6)
	near(t, "mass", mass, .900033, 1e-6)
	p, _, _ = Direct(math.Log(.3), math.Log(.1), math.Log(.4))
	near(t, "with tie", p, .5/.8, 1e-12)
	for _, low := range [][3]float64{{-9, -9, math.Inf(-1)}, {math.NaN(), -1, -1}} {
		if _, _, err := Direct(low[0], low[1], low[2]); !errors.Is(err, ErrLowMass) {
			t.Errorf("%v: error %v, want ErrLowMass", low, err)
		}
	}
}

func TestVotes(t *testing.T) {
	near(t, "Laplace", Votes(5, 2, 0, 1), .666667, 5e-7)
	near(t, "Jeffreys", Votes(5, 2, 0, .5), .6875, 1e-12)
	near(t, "nobody", Votes(0, 0, 0, .5), .5, 0)
	for first := range 5 {
		for second := range 5 {
			near(t, "both sides", Votes(first, second, 3, .5)+Votes(second, first, 3, .5), 1, 1e-12)
		}
	}
}

func TestSwap(t *testing.T) {
	s := Swap(.81, .42)
	near(t, "mean", s.Mean, .695, 1e-12)
	near(t, "logit mean", s.LogitMean, .708145, 5e-7)
	near(t, "bias", s.Bias, .563618, 5e-7)
	near(t, "inconsistent", s.Inconsistent, .23, 1e-12)
	// A pure position bias of b log-odds on an even comparison disappears from the logit mean.
	biased := 1 / (1 + math.Exp(-1.3))
	near(t, "debiased", Swap(biased, biased).LogitMean, .5, 1e-12)
	if got := Swap(1, 0); math.IsNaN(got.LogitMean) || math.IsInf(got.Bias, 0) {
		t.Errorf("a certain judge gives %+v", got)
	}
}

// A judge that likes the first position prefers A more strongly than it seems.
func ExampleSwap() {
	s := Swap(.81, .42)
	fmt.Printf("P(A better) %.3f, position bias %.2f log-odds\n", s.LogitMean, s.Bias)
	// Output: P(A better) 0.708, position bias 0.56 log-odds
}
