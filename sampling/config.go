package sampling

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// diffusers' scheduler classes that New can build.
const (
	classDDIM  = "DDIMScheduler"
	classDDPM  = "DDPMScheduler"
	classPNDM  = "PNDMScheduler"
	classEuler = "EulerDiscreteScheduler"
	classEulA  = "EulerAncestralDiscreteScheduler"
	classDPM   = "DPMSolverMultistepScheduler"
	classFlow  = "FlowMatchEulerDiscreteScheduler"
)

// Config is a diffusers scheduler configuration: what scheduler_config.json stores, and the class's own defaults for
// the keys that the file leaves out. Make one with [ReadConfig] or [NewConfig]; change one with [Config.As],
// [Config.With] and [Config.PatchStableDiffusion]. A Config is a value: these return changed copies.
//
// Fields that a class does not use hold zero values. Setting a field directly changes what [New] builds but is not
// remembered by As.
type Config struct {
	Class string // diffusers' class name, for example DDIMScheduler

	// Noise schedule.
	NumTrainTimesteps   int       // timesteps of training, T; 1000 in practice
	BetaStart, BetaEnd  float64   // first and last β
	BetaSchedule        string    // linear, scaled_linear, squaredcos_cap_v2; DDPM also laplace, sigmoid
	TrainedBetas        []float64 // overrides the three above when not nil
	RescaleBetasZeroSNR bool      // make the last timestep pure noise

	// Prediction and what is done to the predicted clean sample.
	PredictionType           Prediction
	ClipSample               bool // DDIM, DDPM: clamp to ±ClipSampleRange
	ClipSampleRange          float64
	Thresholding             bool // DDIM, DDPM, DPM-Solver: dynamic thresholding instead
	DynamicThresholdingRatio float64
	SampleMaxValue           float64

	// Placement of steps.
	TimestepSpacing   Spacing
	StepsOffset       int
	InterpolationType string  // Euler: linear or log_linear
	Sigmas            Sigmas  // Euler, DPM-Solver: other placement than by timestep
	SigmaMin          float64 // end of Karras, exponential and beta sigmas; NaN means: from the schedule
	SigmaMax          float64 // start of them; NaN likewise
	TimestepType      string  // Euler: discrete, or continuous (with v_prediction: the network sees ¼·log σ)
	FinalSigmasType   string  // Euler, DPM-Solver: zero or sigma_min
	SetAlphaToOne     bool    // DDIM, PNDM: the last step goes to ᾱ = 1 rather than to ᾱ₀

	// Solver.
	SkipPRKSteps     bool    // PNDM: no Runge-Kutta warm-up
	VarianceType     string  // DDPM: fixed_small, fixed_small_log or fixed_large
	AlgorithmType    string  // DPM-Solver: dpmsolver++, sde-dpmsolver++, dpmsolver or sde-dpmsolver
	SolverOrder      int     // DPM-Solver: 1 to 3
	SolverType       string  // DPM-Solver: midpoint or heun, the second-order rule
	LowerOrderFinal  bool    // DPM-Solver: lower order at the end of runs under 15 steps
	EulerAtFinal     bool    // DPM-Solver: first order at the end
	LambdaMinClipped float64 // DPM-Solver: leave out timesteps with a smaller half log-SNR

	// Straight paths.
	Shift              float64 // flow: the noise level s becomes Shift·s/(1+(Shift−1)·s); 1 in the file means none
	ShiftTerminal      float64 // flow: level of the last step, 0: as it comes
	StochasticSampling bool    // flow: new noise in every step

	stored  map[string]json.RawMessage // keys of the file, for As and Ignored
	refused []string                   // keys set to something that would change the result and is not supported
}

// Sigmas names a placement of noise levels that replaces placement by timestep.
type Sigmas string

// The placements. The empty value places by timestep.
const (
	Karras      Sigmas = "karras"
	Exponential Sigmas = "exponential"
	BetaSigmas  Sigmas = "beta"
	LuLambdas   Sigmas = "lu" // DPM-Solver only: evenly in half log-SNR
)

// ReadConfig reads a scheduler_config.json. It accepts what Python's json module writes, the bare words Infinity,
// -Infinity and NaN included. A class that is not provided here is no error yet: the configuration can still be
// switched with [Config.As], as users of diffusers do; [New] refuses it.
func ReadConfig(r io.Reader) (Config, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxConfigBytes+1))
	if err != nil {
		return Config{}, fmt.Errorf("sampling: scheduler config: %w", err)
	}
	if len(data) > maxConfigBytes {
		return Config{}, fmt.Errorf("sampling: scheduler config: larger than %d bytes; is this the right file?", maxConfigBytes)
	}
	var stored map[string]json.RawMessage
	if err := json.Unmarshal(quoteNonFinite(data), &stored); err != nil {
		return Config{}, fmt.Errorf("sampling: scheduler config: %w", err)
	}
	var class string
	raw, ok := stored["_class_name"]
	if !ok {
		return Config{}, fmt.Errorf("sampling: scheduler config: key _class_name is missing; it names the diffusers scheduler class")
	}
	if err := json.Unmarshal(raw, &class); err != nil {
		return Config{}, fmt.Errorf("sampling: scheduler config: _class_name: %w", err)
	}
	if err := dropDefaults(stored); err != nil {
		return Config{}, err
	}
	return resolve(class, stored)
}

// maxConfigBytes bounds a configuration file; 1000 trained betas take about 25 KB.
const maxConfigBytes = 4 << 20

// NewConfig is the configuration of a sampler (any name that [Lookup] knows) with its class's defaults, as diffusers'
// constructor without arguments gives it. Beware: these defaults are not what Stable Diffusion was trained with.
func NewConfig(name string) (Config, error) {
	return Config{}.As(name)
}

// As switches to another sampler as diffusers' Class.from_config(scheduler.config) does: keys that the file stores are
// carried over, keys that it leaves out take the default of the new class. A name narrower than a class (dpmpp-2m-sde)
// also sets the keys that make the difference; a class name sets none.
func (c Config) As(name string) (Config, error) {
	info, err := Lookup(name)
	if err != nil {
		return Config{}, err
	}
	if err := c.sameKind(info.Class); err != nil {
		return Config{}, err
	}
	stored := c.copyStored()
	if !strings.EqualFold(name, info.Class) {
		for key, v := range info.settings {
			stored[key] = json.RawMessage(v)
		}
	}
	return resolve(info.Class, stored)
}

// With sets one key as if the file stored it: diffusers' from_config(config, key=value). Keys and values are those of
// scheduler_config.json.
func (c Config) With(key string, value any) (Config, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return Config{}, fmt.Errorf("sampling: %s: %w", key, err)
	}
	if _, ok := fields[key]; !ok {
		return Config{}, fmt.Errorf("sampling: unknown scheduler key %q", key)
	}
	stored := c.copyStored()
	stored[key] = raw
	return resolve(c.Class, stored)
}

// WithSigmas sets the placement of noise levels, replacing any other placement that the file asks for. The empty value
// places by timestep.
func (c Config) WithSigmas(s Sigmas) (Config, error) {
	key, ok := sigmaKeys[s]
	if !ok && s != "" {
		return Config{}, fmt.Errorf("sampling: unknown sigmas %q; available: karras, exponential, beta, lu", string(s))
	}
	if s != "" && !slices.Contains(classes[c.Class].keys, key) {
		return Config{}, fmt.Errorf("sampling: %s has no %s sigmas", c.Class, s)
	}
	stored := c.copyStored()
	for _, k := range sigmaKeys {
		if _, have := stored[k]; have {
			stored[k] = json.RawMessage("false")
		}
	}
	if s != "" {
		stored[key] = json.RawMessage("true")
	}
	return resolve(c.Class, stored)
}

func (c Config) copyStored() map[string]json.RawMessage {
	out := maps.Clone(c.stored)
	if out == nil {
		out = map[string]json.RawMessage{}
	}
	return out
}

// PatchStableDiffusion makes the correction that diffusers' StableDiffusionPipeline (not the XL one) makes to the
// scheduler it is loaded with: steps_offset becomes 1 and clip_sample false, whatever the file says. As afterwards sees
// the patched values only for keys that the file stores, as in diffusers.
func (c Config) PatchStableDiffusion() Config {
	out := c
	out.stored = c.copyStored()
	for key, v := range map[string]string{"steps_offset": "1", "clip_sample": "false"} {
		if _, ok := out.stored[key]; ok {
			out.stored[key] = json.RawMessage(v)
		}
	}
	if spec, ok := classes[c.Class]; ok {
		if slices.Contains(spec.keys, "steps_offset") {
			out.StepsOffset = 1
		}
		out.ClipSample = false
	}
	return out
}

// Ignored lists the keys of the file that the class does not read, sorted: keys of other classes that diffusers also
// carries along, and misspelt or newer ones.
func (c Config) Ignored() []string {
	var out []string
	for key := range c.stored {
		if !strings.HasPrefix(key, "_") && !slices.Contains(classes[c.Class].keys, key) {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// MarshalJSON writes the stored keys and the class: reading the result gives an equal configuration.
func (c Config) MarshalJSON() ([]byte, error) {
	out := map[string]json.RawMessage{}
	maps.Copy(out, c.stored)
	name, err := json.Marshal(c.Class)
	if err != nil {
		return nil, err
	}
	out["_class_name"] = name
	return json.Marshal(out)
}

// resolve fills the typed fields from the class's defaults and the stored keys.
func resolve(class string, stored map[string]json.RawMessage) (Config, error) {
	c := Config{Class: class, stored: stored, SigmaMin: math.NaN(), SigmaMax: math.NaN()}
	spec, ok := classes[class]
	if !ok {
		return c, nil
	}
	c.setCommonDefaults()
	spec.defaults(&c)
	for _, key := range spec.keys {
		raw, ok := stored[key]
		if !ok {
			continue
		}
		if err := fields[key](&c, raw); err != nil {
			return Config{}, fmt.Errorf("sampling: scheduler config: key %q: %w", key, err)
		}
	}
	return c, nil
}

// dropDefaults removes the keys listed in _use_default_values, by which diffusers marks keys that only hold a default:
// they count as left out.
func dropDefaults(stored map[string]json.RawMessage) error {
	raw, ok := stored["_use_default_values"]
	if !ok {
		return nil
	}
	var keys []string
	if err := json.Unmarshal(raw, &keys); err != nil {
		return fmt.Errorf("sampling: scheduler config: _use_default_values: %w", err)
	}
	for _, key := range append(keys, "_use_default_values") {
		delete(stored, key)
	}
	return nil
}

func (c *Config) unsupported(key, value, supported string) error {
	return fmt.Errorf("sampling: %s: %s %q is not supported; supported: %s", c.Class, key, value, supported)
}
