package sampling_test

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"winnow/sampling"
)

func read(t testing.TB, text string) sampling.Config {
	t.Helper()
	cfg, err := sampling.ReadConfig(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

const sd15 = `{
  "_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0",
  "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "num_train_timesteps": 1000,
  "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null, "clip_sample": false
}`

func TestReadConfig(t *testing.T) {
	c := read(t, sd15)
	if c.Class != "PNDMScheduler" || c.BetaEnd != 0.012 || c.BetaSchedule != "scaled_linear" || !c.SkipPRKSteps ||
		c.StepsOffset != 1 || c.TimestepSpacing != sampling.Leading || c.TrainedBetas != nil || c.PredictionType != sampling.Epsilon {
		t.Errorf("read %+v", c)
	}
	if got := c.Ignored(); !slices.Equal(got, []string{"clip_sample"}) {
		t.Errorf("ignored keys %v", got)
	}
	c = read(t, `{"_class_name": "DDIMScheduler", "clip_smaple": false, "brand_new": {"a": [1]}}`)
	if got := c.Ignored(); !slices.Equal(got, []string{"brand_new", "clip_smaple"}) {
		t.Errorf("ignored keys %v", got)
	}
}

func TestReadConfigTakesPythonsInfinity(t *testing.T) {
	c := read(t, `{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity, "x\"Infinity": "NaN Infinity"}`)
	if !math.IsInf(c.LambdaMinClipped, -1) {
		t.Errorf("lambda_min_clipped %v", c.LambdaMinClipped)
	}
	if got := c.Ignored(); !slices.Equal(got, []string{`x"Infinity`}) {
		t.Errorf("ignored keys %v", got)
	}
	if _, err := sampling.New(c); err != nil {
		t.Error(err)
	}
}

func TestReadConfigRefuses(t *testing.T) {
	for text, want := range map[string]string{
		``:                            "unexpected end",
		`[]`:                          "cannot unmarshal array",
		`{"beta_start": 0.1}`:         "_class_name is missing",
		`{"_class_name": ["a", "b"]}`: "_class_name",
		`{"_class_name": "DDIMScheduler", "beta_start": "0.1"}`:                                         `key "beta_start"`,
		`{"_class_name": "DDIMScheduler", "beta_start": null}`:                                          "null",
		`{"_class_name": "DDIMScheduler", "num_train_timesteps": 10.5}`:                                 "num_train_timesteps",
		`{"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": true, "use_beta_sigmas": true}`: "both",
		`{"_class_name": "EulerDiscreteScheduler", "_use_default_values": 3}`:                           "_use_default_values",
		`{"_class_name": "DDIMScheduler", "x": "` + strings.Repeat("x", 5<<20) + `"}`:                   "larger than",
	} {
		_, err := sampling.ReadConfig(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: error %v, want %q in it", text, err, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`"DDIMScheduler", "beta_schedule": "exp"`:                                                                               "beta_schedule",
		`"DDIMScheduler", "beta_schedule": "sigmoid"`:                                                                           "beta_schedule",
		`"DDIMScheduler", "timestep_spacing": "middle"`:                                                                         "timestep_spacing",
		`"EulerDiscreteScheduler", "timestep_spacing": "middle"`:                                                                "timestep_spacing",
		`"DPMSolverMultistepScheduler", "timestep_spacing": "middle"`:                                                           "timestep_spacing",
		`"DDIMScheduler", "prediction_type": "flow_prediction"`:                                                                 "prediction_type",
		`"PNDMScheduler", "prediction_type": "sample"`:                                                                          "prediction_type",
		`"DDPMScheduler", "variance_type": "learned_range"`:                                                                     "variance_type",
		`"DPMSolverMultistepScheduler", "variance_type": "learned"`:                                                             "variance_type",
		`"DPMSolverMultistepScheduler", "use_flow_sigmas": true`:                                                                "flow matching",
		`"DPMSolverMultistepScheduler", "algorithm_type": "x"`:                                                                  "algorithm_type",
		`"DPMSolverMultistepScheduler", "solver_type": "x"`:                                                                     "solver_type",
		`"DPMSolverMultistepScheduler", "solver_order": 4`:                                                                      "solver_order",
		`"DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver"`:                                                          "final_sigmas_type",
		`"DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min", "solver_order": 3`: "solver_order",
		`"DPMSolverMultistepScheduler", "lambda_min_clipped": 100, "timestep_spacing": "trailing"`:                              "lambda_min_clipped",
		`"EulerDiscreteScheduler", "final_sigmas_type": "x"`:                                                                    "final_sigmas_type",
		`"EulerDiscreteScheduler", "interpolation_type": "cubic"`:                                                               "interpolation_type",
		`"EulerDiscreteScheduler", "timestep_type": "x"`:                                                                        "timestep_type",
		`"EulerDiscreteScheduler", "use_karras_sigmas": true, "sigma_min": -1`:                                                  "divides by zero",
		`"DDIMScheduler", "num_train_timesteps": 0`:                                                                             "num_train_timesteps",
		`"DDIMScheduler", "num_train_timesteps": 1000000000`:                                                                    "num_train_timesteps",
		`"DDIMScheduler", "beta_start": -0.1`:                                                                                   "beta_start",
		`"DDIMScheduler", "beta_end": 1.5`:                                                                                      "beta_end",
		`"DDIMScheduler", "steps_offset": -1`:                                                                                   "steps_offset",
		`"DDIMScheduler", "clip_sample_range": -1`:                                                                              "clip_sample_range",
		`"DDIMScheduler", "thresholding": true, "dynamic_thresholding_ratio": 1.5`:                                              "dynamic_thresholding_ratio",
		`"DDIMScheduler", "thresholding": true, "sample_max_value": 0`:                                                          "sample_max_value",
		`"DDIMScheduler", "trained_betas": [0.1, 0.2]`:                                                                          "trained_betas",
		`"DDIMScheduler", "trained_betas": [0.1, 2], "num_train_timesteps": 2`:                                                  "alphas_cumprod[1]",
		`"DDIMScheduler", "steps_offset": 200`:                                                                                  "outside the schedule",
		`"LMSDiscreteScheduler"`:                                                                                                "ddim, ddpm",
	} {
		s, err := sampling.New(read(t, `{"_class_name": `+text+`}`))
		if err == nil {
			_, err = s.Plan(5, nil)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", text, err, want)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	s := stable(t, "ddim", nil)
	for _, steps := range []int{-1, 0, 1001} {
		if _, err := s.Plan(steps, nil); err == nil || !strings.Contains(err.Error(), "1 to 1000") {
			t.Errorf("%d steps: error %v", steps, err)
		}
	}
	for _, eta := range []float64{-0.1, 1.1, math.NaN()} {
		if _, err := s.Plan(5, &sampling.PlanOptions{Eta: eta}); err == nil {
			t.Errorf("eta %v gives no error", eta)
		}
	}
	p := planOf(t, s, 5, nil)
	for _, c := range [][2]int{{-1, 0}, {5, 0}, {2, 3}, {2, -1}} {
		if _, err := p.Row(c[0], c[1]); err == nil {
			t.Errorf("Row(%d, %d) gives no error", c[0], c[1])
		}
	}
}

func TestLookup(t *testing.T) {
	for name, want := range map[string]string{
		"ddim": "DDIMScheduler", "DDIMScheduler": "DDIMScheduler", "euler_a": "EulerAncestralDiscreteScheduler",
		"k_euler": "EulerDiscreteScheduler", "PLMS": "PNDMScheduler", "dpmpp_2m": "DPMSolverMultistepScheduler",
		"DPM++ 2M": "DPMSolverMultistepScheduler", "dpmpp-2m-sde": "DPMSolverMultistepScheduler",
	} {
		if info, err := sampling.Lookup(name); err != nil || info.Class != want {
			t.Errorf("%s: %v, %v", name, info.Class, err)
		}
	}
	for _, name := range []string{"", "heun", "unipc", "flow-heun"} {
		_, err := sampling.Lookup(name)
		unknown, ok := errors.AsType[*sampling.UnknownSamplerError](err)
		if !ok || unknown.Name != name || !slices.Contains(unknown.Available, "dpmpp-2m") {
			t.Errorf("%q: error %v", name, err)
		}
	}
}

func TestLookupNamesAreUnique(t *testing.T) {
	seen := map[string]string{}
	for _, info := range sampling.Samplers() {
		if info.Paper == "" {
			t.Errorf("%s has no paper", info.Name)
		}
		for _, name := range append([]string{info.Name}, info.Aliases...) {
			if other, ok := seen[name]; ok {
				t.Errorf("%q names %s and %s", name, other, info.Name)
			}
			seen[name] = info.Name
			if got, err := sampling.Lookup(name); err != nil || got.Name != info.Name {
				t.Errorf("Lookup(%q) = %s, %v", name, got.Name, err)
			}
		}
	}
}

func TestAsSetsWhatTheNameMeans(t *testing.T) {
	base := read(t, `{"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++", "solver_order": 3}`)
	for name, want := range map[string]struct {
		algorithm string
		order     int
	}{
		"dpmpp-2m":                    {"dpmsolver++", 2},
		"dpmpp-2m-sde":                {"sde-dpmsolver++", 2},
		"dpmpp-3m":                    {"dpmsolver++", 3},
		"DPMSolverMultistepScheduler": {"sde-dpmsolver++", 3},
	} {
		c, err := base.As(name)
		if err != nil || c.AlgorithmType != want.algorithm || c.SolverOrder != want.order {
			t.Errorf("%s: %s order %d, %v", name, c.AlgorithmType, c.SolverOrder, err)
		}
	}
	// A class that is not provided can still be switched away from.
	lms, err := read(t, `{"_class_name": "LMSDiscreteScheduler", "beta_end": 0.5, "timestep_spacing": "trailing"}`).As("ddim")
	if err != nil || lms.BetaEnd != 0.5 || lms.TimestepSpacing != sampling.Trailing {
		t.Errorf("%+v, %v", lms, err)
	}
}

func TestWith(t *testing.T) {
	base := read(t, `{"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": true}`)
	c, err := base.With("steps_offset", 1)
	if err != nil || c.StepsOffset != 1 || base.StepsOffset != 0 {
		t.Errorf("%d in the copy, %d in the original, %v", c.StepsOffset, base.StepsOffset, err)
	}
	if _, err := base.With("steps_ofset", 1); err == nil {
		t.Error("a misspelt key gives no error")
	}
	if _, err := base.With("steps_offset", "one"); err == nil {
		t.Error("a value of the wrong type gives no error")
	}
	for _, s := range []sampling.Sigmas{"", sampling.Karras, sampling.Exponential, sampling.BetaSigmas} {
		if c, err := base.WithSigmas(s); err != nil || c.Sigmas != s {
			t.Errorf("WithSigmas(%q) gives %q, %v", s, c.Sigmas, err)
		}
	}
	for _, s := range []sampling.Sigmas{"cosine", sampling.LuLambdas} {
		if _, err := base.WithSigmas(s); err == nil {
			t.Errorf("WithSigmas(%q) gives no error", s)
		}
	}
}

func TestPatchStableDiffusion(t *testing.T) {
	c := read(t, `{"_class_name": "DDIMScheduler", "clip_sample": true}`).PatchStableDiffusion()
	if c.StepsOffset != 1 || c.ClipSample {
		t.Errorf("offset %d, clip %v", c.StepsOffset, c.ClipSample)
	}
	// Only what the file stores travels to another class.
	ddpm, err := c.As("ddpm")
	if err != nil || ddpm.StepsOffset != 0 || ddpm.ClipSample {
		t.Errorf("after switching: offset %d, clip %v, %v", ddpm.StepsOffset, ddpm.ClipSample, err)
	}
}

func TestConfigSurvivesJSON(t *testing.T) {
	c, err := read(t, `{"_class_name": "PNDMScheduler", "beta_end": 0.012, "lambda_min_clipped": -Infinity, "new": 1}`).As("dpmpp-2m-sde")
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	back := read(t, string(data))
	if back.Class != c.Class || back.AlgorithmType != c.AlgorithmType || back.BetaEnd != c.BetaEnd ||
		back.LambdaMinClipped != c.LambdaMinClipped || !slices.Equal(back.Ignored(), c.Ignored()) {
		t.Errorf("%s gives %+v", data, back)
	}
}

func FuzzReadScheduler(f *testing.F) {
	f.Add([]byte(sd15), 5)
	f.Add([]byte(`{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity, "use_karras_sigmas": true}`), 3)
	f.Add([]byte(`{"_class_name": "EulerDiscreteScheduler", "trained_betas": [0.1, 1], "num_train_timesteps": 2}`), 2)
	f.Add([]byte(`{"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": true, "num_train_timesteps": 1}`), 1)
	f.Fuzz(func(t *testing.T, data []byte, steps int) {
		s, err := sampling.ReadScheduler(strings.NewReader(string(data)))
		if err != nil {
			return
		}
		if p, err := s.Plan(steps%64, &sampling.PlanOptions{Eta: 1}); err == nil {
			x := toyStart()
			_, err := sampling.Sample(t.Context(), p, x, 2, toyNetwork, &sampling.Options{Noise: sampling.NewNoise(1)})
			if _, bad := errors.AsType[*sampling.NonFiniteError](err); err != nil && !bad {
				t.Errorf("a plan that was made cannot be run: %v", err)
			}
		}
	})
}
