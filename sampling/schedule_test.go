package sampling_test

import (
	"math"
	"testing"

	"winnow/sampling"
)

func TestSigmaAndTimestepAreInverse(t *testing.T) {
	s := stable(t, "ddim", nil).Schedule()
	for step := 0; step < s.Len(); step++ {
		if got := s.Timestep(s.Sigma(float64(step))); math.Abs(got-float64(step)) > 1e-3 {
			t.Fatalf("Timestep(Sigma(%d)) = %v", step, got)
		}
	}
	// Between two timesteps σ is linear in t and t linear in log σ, so the inverse holds only approximately.
	for _, at := range []float64{0.5, 249.75, 998.3} {
		if got := s.Timestep(s.Sigma(at)); math.Abs(got-at) > 0.05 {
			t.Errorf("Timestep(Sigma(%v)) = %v", at, got)
		}
	}
	for _, c := range [][2]float64{{-5, 0}, {5000, 999}} {
		if s.Sigma(c[0]) != s.Sigma(c[1]) {
			t.Errorf("Sigma(%v) is not clamped", c[0])
		}
	}
	for _, c := range [][2]float64{{0, 0}, {1e-30, 0}, {1e9, 999}} {
		if got := s.Timestep(c[0]); got != c[1] {
			t.Errorf("Timestep(%v) = %v, want %v", c[0], got, c[1])
		}
	}
}

// Published values for Stable Diffusion's schedule, printed by diffusers 0.42.1.
func TestStableDiffusionSchedule(t *testing.T) {
	s := stable(t, "ddim", nil).Schedule()
	for step, want := range map[int][2]float64{
		0: {0.999149978, 0.0291675}, 20: {0.981314301, 0.1379909}, 500: {0.276332468, 1.6182797},
		981: {0.005775496, 13.1204156}, 999: {0.004660095, 14.6146466},
	} {
		if got := s.AlphaBar(step); math.Abs(got-want[0]) > 2e-6*want[0] {
			t.Errorf("ᾱ at %d = %v, want %v", step, got, want[0])
		}
		if got := s.Sigma(float64(step)); math.Abs(got-want[1]) > 2e-6*want[1] {
			t.Errorf("σ at %d = %v, want %v", step, got, want[1])
		}
	}
}

func TestZeroTerminalSNR(t *testing.T) {
	keys := map[string]any{"rescale_betas_zero_snr": true, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
	ddim := stable(t, "ddim", keys)
	if a := ddim.Schedule().AlphaBar(999); a != 0 {
		t.Errorf("ᾱ at the last timestep is %v, want 0", a)
	}
	if p := planOf(t, ddim, 4, nil); !math.IsInf(p.Sigmas[0], 1) {
		t.Errorf("first sigma is %v, want +Inf", p.Sigmas[0])
	}
	p := planOf(t, stable(t, "euler", keys), 4, nil)
	for i, want := range []float64{4096, 5.3987408, 1.7680811, 0.7270561, 0} {
		if math.Abs(p.Sigmas[i]-want) > 1e-6*want {
			t.Errorf("sigma %d is %v, want %v", i, p.Sigmas[i], want)
		}
	}
}

func TestNewNoiseScheduleRefuses(t *testing.T) {
	for name, alphas := range map[string][]float64{
		"empty": nil, "rising": {0.5, 0.6}, "above one": {1.1}, "negative": {0.5, -0.1}, "not a number": {math.NaN()},
	} {
		if _, err := sampling.NewNoiseSchedule(alphas); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	s, err := sampling.NewNoiseSchedule([]float64{0.8})
	if err != nil || math.Abs(s.Sigma(0)-0.5) > 1e-6 || s.Timestep(3) != 0 {
		t.Errorf("one timestep: σ %v, %v", s.Sigma(0), err)
	}
}

func TestConsistentPrevMeetsTheNextTimestep(t *testing.T) {
	s := stable(t, "ddim", map[string]any{"timestep_spacing": "trailing"})
	own, theirs := planOf(t, s, 30, &sampling.PlanOptions{ConsistentPrev: true}), planOf(t, s, 30, nil)
	differ := 0
	for i := range own.Len() {
		_, noise := own.Level(i + 1)
		row := rowOf(t, own, i, i)
		// With ε = 1 and x₀ = 0 the step must end on the next noise level.
		_, here := own.Level(i)
		x, out := total(row)
		if got := x*here + out; math.Abs(got-noise) > 1e-7 {
			t.Fatalf("step %d ends at noise %v, the next begins at %v", i, got, noise)
		}
		if rowOf(t, theirs, i, i).Data != row.Data {
			differ++
		}
	}
	if differ == 0 {
		t.Error("the option changes nothing, though 30 does not divide 1000")
	}
}
