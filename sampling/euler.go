package sampling

import (
	"math"
	"slices"
)

// sigmaSpace is the part that the Euler family shares: latents are x₀ + σ·ε and a table of sigmas drives the solver.
type sigmaSpace struct {
	prediction Prediction
	sigmas     []float64 // float32 values, one more than there are steps
}

func (e *sigmaSpace) level(i int) (signal, noise float64) { return 1, e.sigmas[i] }

// plan fills the public tables. With leading spacing the first sigma is not the largest of the training range, and
// diffusers then starts from √(σ²+1).
func (e *sigmaSpace) plan(c *Config, timesteps []float64, sv solver) *Plan {
	largest := slices.Max(e.sigmas)
	if c.TimestepSpacing == Leading {
		largest = math.Sqrt(largest*largest + 1)
	}
	return &Plan{
		Timesteps: timesteps, Sigmas: e.sigmas[:len(timesteps)+1], solver: sv,
		InitNoiseSigma: float64(float32(largest)),
	}
}

// slope is the row of one Euler step from σ to a lower one: x₀ by the prediction, then along (x−x₀)/σ.
func (e *sigmaSpace) slope(i int, to float32) (Row, error) {
	sigma := float32(e.sigmas[i])
	data, err := e.prediction.dataSigma(float64(sigma))
	if err != nil {
		return Row{}, err
	}
	ratio := float64(to) / float64(sigma)
	return Row{
		DataX: data.x, DataOut: data.out, X: ratio, Data: 1 - ratio,
		sigma: sigma, delta: to - sigma,
	}, nil
}

type euler struct{ sigmaSpace }

func planEuler(s *Scheduler, steps int, _ *PlanOptions) (*Plan, error) {
	c := &s.config
	timesteps, err := grid(c, steps, false)
	if err != nil {
		return nil, err
	}
	sigmas := make([]float64, len(timesteps))
	for i, t := range timesteps {
		sigmas[i] = s.schedule.Sigma(t)
	}
	if c.InterpolationType == "log_linear" {
		sigmas = logLinear(s.schedule, steps)
	}
	if c.Sigmas != "" {
		if sigmas, err = respace(c, slices.Max(sigmas), slices.Min(sigmas), steps); err != nil {
			return nil, err
		}
		timesteps = make([]float64, len(sigmas))
		for i, sigma := range sigmas {
			timesteps[i] = float64(float32(s.schedule.Timestep(sigma)))
		}
	}
	e := &euler{sigmaSpace{c.PredictionType, withFinal(s, sigmas)}}
	if c.TimestepType == "continuous" && c.PredictionType == VPrediction {
		for i := range timesteps {
			timesteps[i] = float64(0.25 * float32(math.Log(e.sigmas[i])))
		}
	}
	return e.plan(c, timesteps, e), nil
}

// logLinear places steps+1 sigmas evenly in log σ over the training range (Euler's interpolation_type log_linear). That
// is one more than there are steps, so the run ends at the smallest of them, as it does in diffusers.
func logLinear(s *NoiseSchedule, steps int) []float64 {
	logs := linspace32(s.logs[len(s.logs)-1], s.logs[0], steps+1)
	out := make([]float64, len(logs))
	for i, v := range logs {
		out[i] = float64(float32(math.Exp(float64(v))))
	}
	return out
}

// respace places the sigmas of a run by the configured rule between two levels, which sigma_max and sigma_min of the
// configuration replace.
func respace(c *Config, sigmaMax, sigmaMin float64, steps int) ([]float64, error) {
	if !math.IsNaN(c.SigmaMin) {
		sigmaMin = c.SigmaMin
	}
	if !math.IsNaN(c.SigmaMax) {
		sigmaMax = c.SigmaMax
	}
	switch c.Sigmas {
	case Karras:
		return karras(sigmaMin, sigmaMax, steps), nil
	case Exponential:
		return exponential(sigmaMin, sigmaMax, steps), nil
	case BetaSigmas:
		return betaSpaced(sigmaMin, sigmaMax, steps), nil
	}
	return nil, c.unsupported("sigmas", string(c.Sigmas), "karras, exponential, beta")
}

// withFinal appends the level at which a run ends and rounds all to float32.
func withFinal(s *Scheduler, sigmas []float64) []float64 {
	final := 0.0
	if s.config.FinalSigmasType == "sigma_min" {
		final = s.schedule.levels[0]
	}
	out := make([]float64, 0, len(sigmas)+1)
	for _, v := range append(slices.Clip(sigmas), final) {
		out = append(out, float64(float32(v)))
	}
	return out
}

// row is algorithm 2 of Karras 2022 without churn and second-order correction, held against diffusers'
// EulerDiscreteScheduler.step.
func (e *euler) row(i, _ int) (Row, error) {
	return e.slope(i, float32(e.sigmas[i+1]))
}

type eulerAncestral struct{ sigmaSpace }

func planEulerAncestral(s *Scheduler, steps int, _ *PlanOptions) (*Plan, error) {
	timesteps, err := grid(&s.config, steps, false)
	if err != nil {
		return nil, err
	}
	sigmas := make([]float64, len(timesteps))
	for i, t := range timesteps {
		sigmas[i] = s.schedule.Sigma(t)
	}
	e := &eulerAncestral{sigmaSpace{s.config.PredictionType, withFinal(s, sigmas)}}
	return e.plan(&s.config, timesteps, e), nil
}

// row steps down to σ_down and adds noise of σ_up so that both together give the next level: σ_up² = σ'²(σ²−σ'²)/σ².
// Held against diffusers' EulerAncestralDiscreteScheduler.step, whose float32 arithmetic shows for large σ. Noise is
// drawn in the last step too, though nothing of it is used.
func (e *eulerAncestral) row(i, _ int) (Row, error) {
	from, to := float32(e.sigmas[i]), float32(e.sigmas[i+1])
	from2, to2 := from*from, to*to
	up := sqrt32(to2 * (from2 - to2) / from2)
	down := sqrt32(max(to2-up*up, 0))
	row, err := e.slope(i, down)
	row.Noise, row.Draws = float64(up), true
	return row, err
}
