package sampling_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"winnow/sampling"
)

// flowRun is a run of tests/oracle/flow_sde.py.
type flowRun struct {
	Config json.RawMessage
	Steps  int
	A      float64
	Rows   []struct{ X, V, Noise float64 }
	Path   []float64
}

func flowRuns(t *testing.T) []flowRun {
	t.Helper()
	data, err := os.ReadFile("../tests/golden/flow_sde.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Runs []flowRun }
	if err := json.Unmarshal(data, &golden); err != nil || len(golden.Runs) < 15 {
		t.Fatalf("%d runs, %v", len(golden.Runs), err)
	}
	return golden.Runs
}

// Steps with noise are those of the paper's equation in float64, and paths of a toy network follow. Sigmas are float32 numbers, two
// roundings apart, and a deviation near pure noise has 1/(1−σ) under its root.
func TestFlow_noise(t *testing.T) {
	for _, c := range flowRuns(t) {
		s, err := sampling.ReadScheduler(strings.NewReader(string(c.Config)))
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Plan(c.Steps, &sampling.PlanOptions{FlowNoise: c.A})
		if err != nil {
			t.Fatal(err)
		}
		st, err := p.Start([]float32{1}, 1)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range c.Rows {
			row, err := p.Row(i, i)
			if err != nil {
				t.Fatal(err)
			}
			if row.Draws != (c.A > 0) {
				t.Errorf("%s, a %v: step %d draws: %t", c.Config, c.A, i, row.Draws)
			}
			near := func(what string, got, want float64) {
				t.Helper()
				if math.Abs(got-want) > 3e-6*max(1, math.Abs(want)) {
					t.Errorf("%s, %d steps, a %v: %s of step %d is %v, want %v", c.Config, c.Steps, c.A, what, i, got, want)
				}
			}
			near("x", row.X+row.Data*row.DataX, want.X)
			near("v", row.Out+row.Data*row.DataOut, want.V)
			near("noise", row.Noise, want.Noise)
			out := 0.5*float64(st.X[0]) + 0.1*math.Sin(p.Timesteps[i]/100)
			if st, _, err = p.Step(st, []float32{float32(out)}, []float32{0.25}); err != nil {
				t.Fatal(err)
			}
			near("the path", float64(st.X[0]), c.Path[i])
		}
	}
}

// Without noise the steps are Euler's to the bit.
func TestFlow_noNoise(t *testing.T) {
	s, err := sampling.ReadScheduler(strings.NewReader(`{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}`))
	if err != nil {
		t.Fatal(err)
	}
	final := func(o *sampling.PlanOptions) []float32 {
		p, err := s.Plan(7, o)
		if err != nil {
			t.Fatal(err)
		}
		st, err := p.Start([]float32{0.3, -1.7}, 1)
		for err == nil && st.Index < p.Len() {
			st, _, err = p.Step(st, []float32{0.4 * st.X[0], st.X[1] - 0.2}, []float32{1, 1})
		}
		if err != nil {
			t.Fatal(err)
		}
		return st.X
	}
	if a, b := final(nil), final(&sampling.PlanOptions{FlowNoise: 0}); !slices.Equal(a, b) {
		t.Errorf("%v and %v", a, b)
	}
	// With little noise a step differs by little.
	if a, b := final(nil), final(&sampling.PlanOptions{FlowNoise: 1e-4}); math.Abs(float64(a[0]-b[0])) > 1e-3 || a[0] == b[0] {
		t.Errorf("little noise: %v and %v", a, b)
	}
	for _, noise := range []float64{-1, math.NaN(), math.Inf(1)} {
		if _, err := s.Plan(7, &sampling.PlanOptions{FlowNoise: noise}); err == nil || !strings.Contains(err.Error(), "flow noise") {
			t.Errorf("noise %v: %v", noise, err)
		}
	}
	own, err := sampling.ReadScheduler(strings.NewReader(`{"_class_name": "FlowMatchEulerDiscreteScheduler", "stochastic_sampling": true}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := own.Plan(7, &sampling.PlanOptions{FlowNoise: 0.7}); err == nil || !strings.Contains(err.Error(), "stochastic_sampling") {
		t.Errorf("two kinds of noise: %v", err)
	}
}

// The drift's correction keeps the distribution: for data of variance v around 0 the right velocity is linear in x, and paths from pure
// noise end with the variance of the data, with noise as without it. The moments are followed exactly, no path is drawn.
func TestFlow_noiseKeepsVariance(t *testing.T) {
	s, err := sampling.ReadScheduler(strings.NewReader(`{"_class_name": "FlowMatchEulerDiscreteScheduler"}`))
	if err != nil {
		t.Fatal(err)
	}
	const data = 0.3
	for _, a := range []float64{0, 0.7, 1.2} {
		p, err := s.Plan(1000, &sampling.PlanOptions{FlowNoise: a})
		if err != nil {
			t.Fatal(err)
		}
		variance := 1.0
		for i := range p.Len() {
			row, err := p.Row(i, i)
			if err != nil {
				t.Fatal(err)
			}
			signal, noise := p.Level(i)
			slope := (noise - signal*data) / (noise*noise + signal*signal*data) // E[ε − x₀ | x] = slope·x
			by := row.X + row.Data*row.DataX + (row.Out+row.Data*row.DataOut)*slope
			variance = by*by*variance + row.Noise*row.Noise
		}
		if math.Abs(variance-data) > 0.01*data {
			t.Errorf("a %v: paths end with variance %v, want %v", a, variance, data)
		}
	}
}
