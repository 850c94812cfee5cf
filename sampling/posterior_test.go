package sampling_test

import (
	"math"
	"testing"

	"winnow/sampling"
)

// The step between two neighbours of a run of DDPM is that run's own row, for every prediction.
func TestPosterior_ddpm(t *testing.T) {
	for _, kind := range []sampling.Prediction{sampling.Epsilon, sampling.VPrediction, sampling.CleanSample} {
		c, err := sampling.NewConfig("ddpm")
		if err != nil {
			t.Fatal(err)
		}
		c.PredictionType = kind
		s, err := sampling.New(c)
		if err != nil {
			t.Fatal(err)
		}
		plan := planOf(t, s, 10, nil)
		for i := range len(plan.Timesteps) - 1 {
			row, err := plan.Row(i, i)
			if err != nil {
				t.Fatal(err)
			}
			at := func(k int) float64 { return s.Schedule().AlphaBar(int(plan.Timesteps[k])) }
			got, err := kind.Posterior(at(i), at(i+1))
			if err != nil {
				t.Fatal(err)
			}
			for what, v := range map[string][2]float64{
				"x": {got.X, row.X + row.Data*row.DataX}, "output": {got.Output, row.Data * row.DataOut}, "noise": {got.Noise, row.Noise},
			} {
				if !(math.Abs(v[0]-v[1]) <= 1e-12*math.Abs(v[1])) {
					t.Errorf("%s, step %d: %s %v, the run has %v", kind, i, what, v[0], v[1])
				}
			}
		}
	}
}

// The factor of predicted noise is that of NCP-DPO's closed form, and a step to the same level does nothing.
func TestPosterior_closedForm(t *testing.T) {
	for _, level := range [][2]float64{{.5, .6}, {.01, .012}, {.9991, .9995}} {
		a, p := level[0], level[1]
		got, err := sampling.Epsilon.Posterior(a, p)
		if err != nil {
			t.Fatal(err)
		}
		if want := -(1 - a/p) / (math.Sqrt(1-a) * math.Sqrt(a/p)); math.Abs(got.Output/want-1) > 1e-9 {
			t.Errorf("from %v to %v: %v, want %v", a, p, got.Output, want)
		}
		if got, err := sampling.Epsilon.Posterior(a, a); err != nil || got != (sampling.Posterior{X: 1}) {
			t.Errorf("from %v to itself: %+v, %v", a, got, err)
		}
	}
	if _, err := sampling.FlowPrediction.Posterior(.5, .6); err == nil {
		t.Error("flows have no such step")
	}
	if got, err := sampling.Epsilon.Posterior(0, .01); err != nil || !math.IsInf(got.X, 1) && got.X == got.X {
		t.Errorf("from a level without signal: %+v, %v", got, err)
	}
}
