package sampling

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
)

// classSpec is one diffusers class: the keys of its constructor and the defaults that differ from the common ones.
type classSpec struct {
	keys     []string
	defaults func(*Config)
}

var betaKeys = []string{
	"num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas",
	"prediction_type", "timestep_spacing", "steps_offset",
}

func keysOf(more ...string) []string { return append(append([]string{}, betaKeys...), more...) }

var classes = map[string]classSpec{
	classDDIM: {
		keys: keysOf("clip_sample", "clip_sample_range", "set_alpha_to_one", "thresholding",
			"dynamic_thresholding_ratio", "sample_max_value", "rescale_betas_zero_snr"),
		defaults: func(c *Config) {
			c.TimestepSpacing, c.ClipSample, c.SetAlphaToOne = Leading, true, true
		},
	},
	classDDPM: {
		keys: keysOf("clip_sample", "clip_sample_range", "variance_type", "thresholding",
			"dynamic_thresholding_ratio", "sample_max_value", "rescale_betas_zero_snr"),
		defaults: func(c *Config) {
			c.TimestepSpacing, c.ClipSample, c.VarianceType = Leading, true, "fixed_small"
		},
	},
	classPNDM: {
		keys:     keysOf("skip_prk_steps", "set_alpha_to_one"),
		defaults: func(c *Config) { c.TimestepSpacing = Leading },
	},
	classEuler: {
		keys: keysOf("interpolation_type", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas",
			"sigma_min", "sigma_max", "timestep_type", "rescale_betas_zero_snr", "final_sigmas_type"),
		defaults: func(c *Config) {
			c.TimestepSpacing, c.FinalSigmasType = Linspace, "zero"
			c.InterpolationType, c.TimestepType = "linear", "discrete"
		},
	},
	classEulA: {
		keys:     keysOf("rescale_betas_zero_snr"),
		defaults: func(c *Config) { c.TimestepSpacing, c.FinalSigmasType = Linspace, "zero" },
	},
	classDPM: {
		// sigma_min and sigma_max are no arguments of the class, but its sigma conversions look for them among the keys
		// carried over from an Euler configuration, so they count.
		keys: keysOf("solver_order", "thresholding", "dynamic_thresholding_ratio", "sample_max_value",
			"algorithm_type", "solver_type", "lower_order_final", "euler_at_final", "use_karras_sigmas",
			"use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas", "flow_shift",
			"final_sigmas_type", "lambda_min_clipped", "variance_type", "rescale_betas_zero_snr",
			"use_dynamic_shifting", "time_shift_type", "sigma_min", "sigma_max"),
		defaults: func(c *Config) {
			c.TimestepSpacing, c.FinalSigmasType = Linspace, "zero"
			c.AlgorithmType, c.SolverType, c.SolverOrder = "dpmsolver++", "midpoint", 2
			c.LowerOrderFinal, c.LambdaMinClipped = true, math.Inf(-1)
		},
	},
	classFlow: {
		keys: []string{
			"num_train_timesteps", "shift", "use_dynamic_shifting", "invert_sigmas", "shift_terminal", "use_karras_sigmas", "use_exponential_sigmas",
			"use_beta_sigmas", "stochastic_sampling", "base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len", "time_shift_type",
		},
		defaults: func(c *Config) { c.PredictionType, c.Shift = FlowPrediction, 1 },
	},
}

func (c *Config) setCommonDefaults() {
	c.NumTrainTimesteps = 1000
	c.BetaStart, c.BetaEnd, c.BetaSchedule = 0.0001, 0.02, "linear"
	c.PredictionType = Epsilon
	c.ClipSampleRange, c.SampleMaxValue, c.DynamicThresholdingRatio = 1, 1, 0.995
}

// setter reads one key's value into a Config.
type setter func(*Config, json.RawMessage) error

// fields maps every key to its setter. Which keys count for a class is in classes.
var fields = map[string]setter{
	"num_train_timesteps":        value(func(c *Config) *int { return &c.NumTrainTimesteps }),
	"beta_start":                 value(func(c *Config) *float64 { return &c.BetaStart }),
	"beta_end":                   value(func(c *Config) *float64 { return &c.BetaEnd }),
	"beta_schedule":              value(func(c *Config) *string { return &c.BetaSchedule }),
	"trained_betas":              nullable(value(func(c *Config) *[]float64 { return &c.TrainedBetas })),
	"prediction_type":            value(func(c *Config) *Prediction { return &c.PredictionType }),
	"timestep_spacing":           value(func(c *Config) *Spacing { return &c.TimestepSpacing }),
	"steps_offset":               value(func(c *Config) *int { return &c.StepsOffset }),
	"clip_sample":                value(func(c *Config) *bool { return &c.ClipSample }),
	"clip_sample_range":          value(func(c *Config) *float64 { return &c.ClipSampleRange }),
	"thresholding":               value(func(c *Config) *bool { return &c.Thresholding }),
	"dynamic_thresholding_ratio": value(func(c *Config) *float64 { return &c.DynamicThresholdingRatio }),
	"sample_max_value":           value(func(c *Config) *float64 { return &c.SampleMaxValue }),
	"set_alpha_to_one":           value(func(c *Config) *bool { return &c.SetAlphaToOne }),
	"skip_prk_steps":             value(func(c *Config) *bool { return &c.SkipPRKSteps }),
	"variance_type":              nullable(value(func(c *Config) *string { return &c.VarianceType })),
	"rescale_betas_zero_snr":     value(func(c *Config) *bool { return &c.RescaleBetasZeroSNR }),
	"interpolation_type":         value(func(c *Config) *string { return &c.InterpolationType }),
	"sigma_min":                  nullable(number(func(c *Config) *float64 { return &c.SigmaMin })),
	"sigma_max":                  nullable(number(func(c *Config) *float64 { return &c.SigmaMax })),
	"timestep_type":              value(func(c *Config) *string { return &c.TimestepType }),
	"final_sigmas_type":          value(func(c *Config) *string { return &c.FinalSigmasType }),
	"solver_order":               value(func(c *Config) *int { return &c.SolverOrder }),
	"algorithm_type":             value(func(c *Config) *string { return &c.AlgorithmType }),
	"solver_type":                value(func(c *Config) *string { return &c.SolverType }),
	"lower_order_final":          value(func(c *Config) *bool { return &c.LowerOrderFinal }),
	"euler_at_final":             value(func(c *Config) *bool { return &c.EulerAtFinal }),
	"lambda_min_clipped":         number(func(c *Config) *float64 { return &c.LambdaMinClipped }),
	"use_karras_sigmas":          sigmas(Karras),
	"use_exponential_sigmas":     sigmas(Exponential),
	"use_beta_sigmas":            sigmas(BetaSigmas),
	"use_lu_lambdas":             sigmas(LuLambdas),
	"use_flow_sigmas":            refuse("flow matching schedules"),
	"use_dynamic_shifting":       refuse("shifts by the picture's size"),
	"flow_shift":                 skip,
	"shift":                      value(func(c *Config) *float64 { return &c.Shift }),
	"shift_terminal":             nullable(value(func(c *Config) *float64 { return &c.ShiftTerminal })),
	"stochastic_sampling":        value(func(c *Config) *bool { return &c.StochasticSampling }),
	"invert_sigmas":              refuse("inverted sigmas"),
	"base_shift":                 skip,
	"max_shift":                  skip,
	"base_image_seq_len":         skip,
	"max_image_seq_len":          skip,
	"time_shift_type":            skip,
}

var sigmaKeys = map[Sigmas]string{
	Karras: "use_karras_sigmas", Exponential: "use_exponential_sigmas",
	BetaSigmas: "use_beta_sigmas", LuLambdas: "use_lu_lambdas",
}

// value stores a JSON value of the field's type; null is an error.
func value[T any](at func(*Config) *T) setter {
	return func(c *Config, raw json.RawMessage) error {
		if isNull(raw) {
			return fmt.Errorf("null where a value is needed")
		}
		return json.Unmarshal(raw, at(c))
	}
}

// nullable leaves the default in place when the file says null (Python's None).
func nullable(set setter) setter {
	return func(c *Config, raw json.RawMessage) error {
		if isNull(raw) {
			return nil
		}
		return set(c, raw)
	}
}

// number accepts JSON numbers and the quoted words that quoteNonFinite makes.
func number(at func(*Config) *float64) setter {
	return func(c *Config, raw json.RawMessage) error {
		if v, ok := nonFinite[string(raw)]; ok {
			*at(c) = v
			return nil
		}
		return value(at)(c, raw)
	}
}

// sigmas switches a placement on; two at once are an error, found where the schedule is made.
func sigmas(s Sigmas) setter {
	return nullable(func(c *Config, raw json.RawMessage) error {
		var on bool
		if err := json.Unmarshal(raw, &on); err != nil || !on {
			return err
		}
		if c.Sigmas != "" {
			return fmt.Errorf("%s and %s sigmas are both asked for; switch one off", c.Sigmas, s)
		}
		c.Sigmas = s
		return nil
	})
}

// refuse notes a switch whose effect is not supported; New reports it.
func refuse(what string) setter {
	return nullable(func(c *Config, raw json.RawMessage) error {
		var on bool
		if err := json.Unmarshal(raw, &on); err != nil || !on {
			return err
		}
		c.refused = append(c.refused, what)
		return nil
	})
}

// skip accepts a key that only matters together with a refused one.
func skip(*Config, json.RawMessage) error { return nil }

func isNull(raw json.RawMessage) bool { return bytes.Equal(bytes.TrimSpace(raw), []byte("null")) }

var nonFinite = map[string]float64{
	`"Infinity"`: math.Inf(1), `"-Infinity"`: math.Inf(-1), `"NaN"`: math.NaN(),
}

// quoteNonFinite puts quotes around the bare words Infinity, -Infinity and NaN, which Python's json module writes and
// reads but JSON does not have. DPM-Solver configurations hold one by default.
func quoteNonFinite(data []byte) []byte {
	var out bytes.Buffer
	inString := false
	for i := 0; i < len(data); i++ {
		if !inString {
			if word := nonFiniteWord(data[i:]); word != "" {
				out.WriteString(`"` + word + `"`)
				i += len(word) - 1
				continue
			}
		}
		switch {
		case data[i] == '"':
			inString = !inString
		case data[i] == '\\' && inString && i+1 < len(data):
			out.WriteByte(data[i])
			i++
		}
		out.WriteByte(data[i])
	}
	return out.Bytes()
}

func nonFiniteWord(data []byte) string {
	for _, word := range []string{"-Infinity", "Infinity", "NaN"} {
		if bytes.HasPrefix(data, []byte(word)) {
			return word
		}
	}
	return ""
}
