package vlmjudge

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// rankingGolden is tests/golden/ranking.json, written by tests/oracle/ranking.py.
type rankingGolden struct {
	Davidson []struct {
		Wins, Ties, Covariance [][]float64
		Sigma, Nu              float64
		Theta                  []float64
	}
	Information []struct{ Gap, Variance, Information float64 }
	Counts      []struct{ N, All, Merge, Insertion, Least int }
}

func readRanking(t *testing.T) rankingGolden {
	t.Helper()
	data, err := os.ReadFile("../tests/golden/ranking.json")
	if err != nil {
		t.Fatal(err)
	}
	var g rankingGolden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Davidson) != 3 || len(g.Information) != 5 || len(g.Counts) != 12 {
		t.Fatal("the golden file is incomplete")
	}
	return g
}

func TestDavidson_againstTorch(t *testing.T) {
	for _, c := range readRanking(t).Davidson {
		s, err := Davidson(c.Wins, c.Ties, c.Sigma)
		if err != nil {
			t.Fatal(err)
		}
		nearAll(t, "strengths", s.Theta, c.Theta, 1e-9)
		near(t, "ν", s.Ties, c.Nu, 1e-9)
		for i, row := range c.Covariance {
			nearAll(t, "covariance", s.Covariance[i], row, 1e-6)
		}
	}
}

func TestDavidson(t *testing.T) {
	wins := [][]float64{{0, 3, 4}, {1, 0, 2.5}, {.5, 1.5, 0}}
	none := square[float64](3)
	got, err := Davidson(wins, none, 2)
	want, _ := BradleyTerryPrior(wins, 2)
	if err != nil || got.Ties != 0 {
		t.Fatal(got.Ties, err)
	}
	nearAll(t, "without ties", got.Theta, want.Theta, 0)
	// Equal items tie with probability ν/(2+ν): half of the comparisons, so ν is 2.
	even, err := Davidson([][]float64{{0, 500}, {500, 0}}, [][]float64{{0, 1000}, {1000, 0}}, 1e3)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "ν", even.Ties, 2, 1e-5)
	near(t, "even", even.Theta[0], 0, 1e-9)
	// Ties pull items together, and do not turn them.
	tied, err := Davidson(wins, [][]float64{{0, 5, 5}, {5, 0, 5}, {5, 5, 0}}, 2)
	if err != nil || !(tied.Theta[0] > tied.Theta[1] && tied.Theta[1] > tied.Theta[2] && tied.Theta[0] < want.Theta[0]) {
		t.Errorf("%v beside %v without ties, %v", tied.Theta, want.Theta, err)
	}
	for name, c := range map[string]struct {
		ties  [][]float64
		sigma float64
	}{
		"one side":  {[][]float64{{0, 1, 0}, {0, 0, 0}, {0, 0, 0}}, 1},
		"size":      {square[float64](2), 1},
		"itself":    {[][]float64{{1, 0, 0}, {0, 0, 0}, {0, 0, 0}}, 1},
		"no prior":  {none, math.Inf(1)},
		"no spread": {none, 0},
	} {
		if _, err := Davidson(wins, c.ties, c.sigma); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
