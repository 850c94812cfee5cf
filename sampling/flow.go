package sampling

import (
	"fmt"
	"math"
)

// FlowPrediction is a network that predicts the velocity ε − x₀ of a straight path x = (1−σ)·x₀ + σ·ε (rectified flow; Liu, Gong, Liu 2023,
// arXiv 2209.03003; Lipman et al. 2023, arXiv 2210.02747). It is what FlowMatchEulerDiscreteScheduler stands for: no key says so.
const FlowPrediction Prediction = "flow_prediction"

// flowLevels gives σ of the training timesteps, which count from 1 to T: level i is that of timestep 1000·σ, of shift·s/(1+(shift−1)·s) with
// s = (i+1)/T (Esser et al. 2024, arXiv 2403.03206, section 5.3.2), in float32 as diffusers keeps it.
func flowLevels(c *Config) []float32 {
	out := make([]float32, c.NumTrainTimesteps)
	for i := range out {
		s := float32(i+1) / float32(len(out))
		out[i] = float32(float32(c.Shift)*s) / (1 + float32(float32(c.Shift-1)*s))
	}
	return out
}

// newFlowSchedule is the schedule of a straight path.
func newFlowSchedule(sigmas []float32) (*NoiseSchedule, error) {
	bars := make([]float32, len(sigmas))
	for i, s := range sigmas {
		signal, noise := float64(1-s), float64(s)
		bars[i] = float32(signal * signal / (signal*signal + noise*noise))
	}
	out, err := newSchedule(bars)
	if err != nil {
		return nil, err
	}
	out.flow = sigmas
	return out, nil
}

// flowEuler is Euler's method along the velocity, held against diffusers' FlowMatchEulerDiscreteScheduler.
type flowEuler struct {
	sigmas     []float64 // float32 values, one more than there are steps
	stochastic bool
	noise      float64 // see PlanOptions.FlowNoise
}

func planFlow(s *Scheduler, steps int, opt *PlanOptions) (*Plan, error) {
	c, levels := &s.config, s.schedule.flow
	total := float64(c.NumTrainTimesteps)
	// The ends are those of the shifted training range, and what lies between is shifted, as in diffusers: for a shift, the lower end twice.
	sigmas := linspace(float64(levels[len(levels)-1])*total, float64(levels[0])*total, steps)
	for i, t := range sigmas {
		v := t / total
		sigmas[i] = c.Shift * v / (1 + (c.Shift-1)*v)
	}
	if c.ShiftTerminal != 0 {
		scale := (1 - sigmas[steps-1]) / (1 - c.ShiftTerminal)
		for i, v := range sigmas {
			sigmas[i] = 1 - (1-v)/scale
		}
	}
	if c.Sigmas != "" {
		var err error
		if sigmas, err = respace(c, sigmas[0], sigmas[steps-1], steps); err != nil {
			return nil, err
		}
	}
	f := &flowEuler{stochastic: c.StochasticSampling, noise: opt.FlowNoise}
	if f.stochastic && f.noise > 0 {
		return nil, fmt.Errorf("sampling: %s: stochastic_sampling draws noise in its own way; flow noise needs it off", c.Class)
	}
	p := &Plan{InitNoiseSigma: 1, solver: f}
	for _, v := range append(sigmas, 0) {
		sigma := float32(v)
		f.sigmas = append(f.sigmas, float64(sigma))
		p.Sigmas = append(p.Sigmas, float64(sigma/(1-sigma)))
		p.Timesteps = append(p.Timesteps, float64(sigma*float32(c.NumTrainTimesteps)))
	}
	p.Timesteps = p.Timesteps[:steps]
	return p, nil
}

func (f *flowEuler) level(i int) (signal, noise float64) { return 1 - f.sigmas[i], f.sigmas[i] }

func (f *flowEuler) row(i, _ int) (Row, error) {
	from, to := f.sigmas[i], f.sigmas[i+1]
	row := Row{DataX: 1, DataOut: -from}
	if f.stochastic {
		row.Data, row.Noise, row.Draws = 1-to, to, true
		return row, nil
	}
	row.X, row.Out = 1, float64(float32(to)-float32(from))
	if f.noise > 0 {
		f.diffuse(i, &row)
	}
	return row, nil
}

// maxFlowNoise bounds PlanOptions.FlowNoise; published runs end at 1.2.
const maxFlowNoise = 100

// diffuse turns Euler's step into one of the stochastic differential equation with the same distribution at every level. The
// deviation has no value at pure noise, where that of the next level stands in, as in the published code.
func (f *flowEuler) diffuse(i int, row *Row) {
	sigma, dt := f.sigmas[i], row.Out
	below := sigma
	if sigma == 1 {
		below = f.sigmas[1]
	}
	variance := f.noise * f.noise * sigma / (1 - below)
	row.X = 1 + variance/(2*sigma)*dt
	row.Out = (1 + variance*(1-sigma)/(2*sigma)) * dt
	row.Noise, row.Draws = math.Sqrt(-variance*dt), true
}

// checkFlow refuses settings of a flow scheduler that need more than a number of steps, or are out of range.
func (c *Config) checkFlow() error {
	switch {
	case !(c.Shift > 0) || math.IsInf(c.Shift, 0):
		return fmt.Errorf("sampling: %s: shift %v is not above 0", c.Class, c.Shift)
	case !(c.ShiftTerminal >= 0 && c.ShiftTerminal < 1):
		return fmt.Errorf("sampling: %s: shift_terminal %v is outside 0 to 1", c.Class, c.ShiftTerminal)
	}
	return nil
}

// sameKind refuses to switch between schedulers of straight paths and the others: the network would be asked for what it does not predict.
func (c *Config) sameKind(class string) error {
	if c.Class == "" || (c.Class == classFlow) == (class == classFlow) {
		return nil
	}
	if _, known := classes[c.Class]; !known {
		return nil // of a class that is not provided here nothing is known
	}
	if c.Class == classFlow {
		return fmt.Errorf("sampling: the model predicts the velocity of a straight path (%s): %s, which wants noise, v or clean latents, cannot sample it; use flow-euler", classFlow, class)
	}
	return fmt.Errorf("sampling: the model's %s is for networks that predict %s: %s cannot sample it", c.Class, c.PredictionType, class)
}
