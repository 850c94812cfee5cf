package vlmjudge

import (
	"encoding/json"
	"os"
	"testing"
)

// aggregationGolden is tests/golden/aggregation.json, written by tests/oracle/aggregation.py.
type aggregationGolden struct {
	BradleyTerry []struct {
		Wins         [][]float64
		Theta, Prior []float64
		Sigma        float64
		Covariance   [][]float64
	} `json:"bradley_terry"`
	PlackettLuce []struct {
		Items    int
		Rankings [][]int
		Theta    []float64
	} `json:"plackett_luce"`
	Simulated []struct {
		Votes, Orders int
		Tau           float64
	}
}

func readAggregation(t *testing.T) aggregationGolden {
	t.Helper()
	data, err := os.ReadFile("../tests/golden/aggregation.json")
	if err != nil {
		t.Fatal(err)
	}
	var g aggregationGolden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.BradleyTerry) != 3 || len(g.PlackettLuce) != 3 || len(g.Simulated) != 4 {
		t.Fatal("the golden file is incomplete")
	}
	return g
}

func TestAgainstScipy(t *testing.T) {
	g := readAggregation(t)
	for _, c := range g.BradleyTerry {
		theta, err := BradleyTerry(c.Wins, 0)
		if err != nil {
			t.Fatal(err)
		}
		nearAll(t, "Bradley–Terry", theta, c.Theta, 1e-6)
		s, err := BradleyTerryPrior(c.Wins, c.Sigma)
		if err != nil {
			t.Fatal(err)
		}
		nearAll(t, "with a prior", s.Theta, c.Prior, 1e-6)
		for i, row := range c.Covariance {
			nearAll(t, "covariance", s.Covariance[i], row, 1e-5) // of a numerical Hessian
		}
	}
	for _, c := range g.PlackettLuce {
		theta, err := PlackettLuce(c.Items, c.Rankings, 0)
		if err != nil {
			t.Fatal(err)
		}
		nearAll(t, "Plackett–Luce", theta, c.Theta, 1e-6)
	}
}
