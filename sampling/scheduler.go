package sampling

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// Scheduler is a noise schedule with a way of placing steps and a solver: what a scheduler_config.json describes.
// It is immutable and safe for concurrent use; [Scheduler.Plan] makes the tables of one run.
type Scheduler struct {
	config   Config
	schedule *NoiseSchedule
}

// ReadScheduler reads a scheduler_config.json and builds its scheduler: [ReadConfig] followed by [New].
func ReadScheduler(r io.Reader) (*Scheduler, error) {
	c, err := ReadConfig(r)
	if err != nil {
		return nil, err
	}
	return New(c)
}

// New builds a scheduler. It refuses classes that are not provided and values that would silently give another result
// than diffusers'.
func New(c Config) (*Scheduler, error) {
	if _, ok := classes[c.Class]; !ok {
		_, err := Lookup(c.Class)
		return nil, fmt.Errorf("sampling: the configuration's own scheduler cannot be used; switch to another one: %w", err)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Class == classFlow {
		schedule, err := newFlowSchedule(flowLevels(&c))
		return &Scheduler{config: c, schedule: schedule}, err
	}
	alphas, err := alphaBars(&c)
	if err != nil {
		return nil, err
	}
	if c.RescaleBetasZeroSNR && c.usesSigmas() {
		// Keeps the first sigma finite, 4096; the value is the smallest positive float16.
		alphas[len(alphas)-1] = 0x1p-24
	}
	schedule, err := newSchedule(alphas)
	if err != nil {
		return nil, err
	}
	return &Scheduler{config: c, schedule: schedule}, nil
}

// Config is the configuration that the scheduler was built from.
func (s *Scheduler) Config() Config { return s.config }

// Schedule is the training-time noise schedule.
func (s *Scheduler) Schedule() *NoiseSchedule { return s.schedule }

// PlanOptions are settings of one run. The zero value, and nil, mean what a diffusers pipeline does by default.
type PlanOptions struct {
	// Eta is the share of noise that a DDIM step adds back, from 0 (none, an ODE solver) to 1 (as much as DDPM). Other
	// samplers ignore it, as in diffusers.
	Eta float64
	// FlowNoise makes flow-euler draw noise in every step, as Flow-GRPO does: 0, Euler's method, or more; 0.7 as published. It is the
	// factor a of the step's standard deviation a·√(σ/(1−σ))·√Δσ; the velocity is corrected so that every level keeps its
	// distribution for small steps (Liu et al. 2025, arXiv 2505.05470). Other samplers ignore it.
	FlowNoise float64
	// ConsistentPrev lets a DDIM step lead to the timestep at which the next step starts. Diffusers always subtracts
	// the integer ratio T/steps, which differs for linspace spacing and for trailing spacing when steps does not divide T.
	ConsistentPrev bool
}

// Plan makes the tables of a run of the given number of steps, 1 to the number of training timesteps. The number of
// model calls, [Plan.Len], may be larger: PNDM calls the model once more. opt may be nil.
func (s *Scheduler) Plan(steps int, opt *PlanOptions) (*Plan, error) {
	if opt == nil {
		opt = &PlanOptions{}
	}
	total := s.config.NumTrainTimesteps
	if steps < 1 || steps > total {
		return nil, fmt.Errorf("sampling: %d steps; the scheduler can do 1 to %d", steps, total)
	}
	if !(opt.Eta >= 0 && opt.Eta <= 1) {
		return nil, fmt.Errorf("sampling: eta %v is outside 0 to 1", opt.Eta)
	}
	if !(opt.FlowNoise >= 0 && opt.FlowNoise <= maxFlowNoise) {
		return nil, fmt.Errorf("sampling: flow noise %v is outside 0 to %v", opt.FlowNoise, float64(maxFlowNoise))
	}
	p, err := planners[s.config.Class](s, steps, opt)
	if err != nil {
		return nil, err
	}
	if p.Len() == 0 {
		return nil, fmt.Errorf("sampling: %s: lambda_min_clipped %v leaves no timestep", s.config.Class, s.config.LambdaMinClipped)
	}
	p.scheduler = s
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

// planners builds the plan of each class.
var planners = map[string]func(*Scheduler, int, *PlanOptions) (*Plan, error){
	classDDIM: planDDIM, classDDPM: planDDPM, classPNDM: planPNDM,
	classEuler: planEuler, classEulA: planEulerAncestral, classDPM: planDPM, classFlow: planFlow,
}

func (c *Config) usesSigmas() bool {
	return c.Class == classEuler || c.Class == classEulA || c.Class == classDPM
}

// check refuses values that no solver here supports. Values that only one class reads are checked with its plan.
func (c *Config) check() error {
	if len(c.refused) > 0 {
		return fmt.Errorf("sampling: %s: %s are not supported", c.Class, strings.Join(c.refused, " and "))
	}
	switch c.PredictionType {
	case FlowPrediction:
		if c.Class != classFlow {
			return c.unsupported("prediction_type", string(c.PredictionType), "epsilon, v_prediction, sample")
		}
		if err := c.checkFlow(); err != nil {
			return err
		}
	case Epsilon, VPrediction:
	case CleanSample:
		if c.Class == classPNDM || c.Class == classEulA {
			return c.unsupported("prediction_type", string(c.PredictionType), "epsilon, v_prediction (as in diffusers)")
		}
	default:
		return c.PredictionType.unknown()
	}
	if err := c.checkRanges(); err != nil {
		return err
	}
	return c.checkChoice()
}

// checkRanges compares numbers with what they can mean.
func (c *Config) checkRanges() error {
	within := func(key string, v, low, high float64) error {
		if v >= low && v <= high {
			return nil
		}
		return fmt.Errorf("sampling: %s: %s %v is outside %v to %v", c.Class, key, v, low, high)
	}
	err := errors.Join(
		within("num_train_timesteps", float64(c.NumTrainTimesteps), 1, 1<<16),
		within("beta_start", c.BetaStart, 0, 1),
		within("beta_end", c.BetaEnd, 0, 1),
		within("steps_offset", float64(c.StepsOffset), 0, float64(max(c.NumTrainTimesteps-1, 0))),
	)
	if c.ClipSample {
		err = errors.Join(err, within("clip_sample_range", c.ClipSampleRange, 0, math.Inf(1)))
	}
	if c.Thresholding {
		err = errors.Join(err,
			within("dynamic_thresholding_ratio", c.DynamicThresholdingRatio, 0, 1),
			within("sample_max_value", c.SampleMaxValue, math.SmallestNonzeroFloat32, math.Inf(1)))
	}
	if c.TrainedBetas != nil && len(c.TrainedBetas) != c.NumTrainTimesteps {
		err = errors.Join(err, fmt.Errorf("sampling: %s: %d trained_betas for num_train_timesteps %d",
			c.Class, len(c.TrainedBetas), c.NumTrainTimesteps))
	}
	return err
}

// checkChoice compares the word-valued keys of the class with what is supported.
func (c *Config) checkChoice() error {
	choices := map[string][]struct{ key, value, allowed string }{
		classDDPM: {{"variance_type", c.VarianceType, "fixed_small fixed_small_log fixed_large"}},
		classEuler: {
			{"interpolation_type", c.InterpolationType, "linear log_linear"},
			{"timestep_type", c.TimestepType, "discrete continuous"},
			{"final_sigmas_type", c.FinalSigmasType, "zero sigma_min"},
		},
		classDPM: {
			{"algorithm_type", c.AlgorithmType, "dpmsolver++ sde-dpmsolver++ dpmsolver sde-dpmsolver deis"},
			{"solver_type", c.SolverType, "midpoint heun logrho bh1 bh2"},
			{"final_sigmas_type", c.FinalSigmasType, "zero sigma_min"},
			{"variance_type", "none" + c.VarianceType, "none"},
		},
	}
	for _, ch := range choices[c.Class] {
		found := false
		for _, ok := range strings.Fields(ch.allowed) {
			found = found || ok == ch.value
		}
		if !found {
			return c.unsupported(ch.key, strings.TrimPrefix(ch.value, "none"), strings.Join(strings.Fields(ch.allowed), ", "))
		}
	}
	return nil
}
