package sampling

import (
	"fmt"
	"math"
)

// variancePreserving is the part that DDIM, DDPM and PNDM share: whole timesteps and a table of ᾱ.
type variancePreserving struct {
	schedule   *NoiseSchedule
	prediction Prediction
	timesteps  []int
	final      float64 // ᾱ behind the last step
}

// alphaBar is ᾱ at timestep t; negative timesteps lie behind the last step.
func (v *variancePreserving) alphaBar(t int) float64 {
	if t < 0 {
		return v.final
	}
	return v.schedule.AlphaBar(t)
}

// wholeGrid is the timestep grid as integers, each checked against the schedule.
func wholeGrid(s *Scheduler, steps int) ([]int, error) {
	ts, err := grid(&s.config, steps, true)
	if err != nil {
		return nil, err
	}
	return checkedTimesteps(s, ts)
}

func checkedTimesteps(s *Scheduler, ts []float64) ([]int, error) {
	out := make([]int, len(ts))
	for i, t := range ts {
		out[i] = int(t)
		if out[i] < 0 || out[i] >= s.schedule.Len() {
			return nil, fmt.Errorf("sampling: %s: timestep %d lies outside the schedule's 0 to %d; "+
				"use fewer steps or a smaller steps_offset (%d)", s.config.Class, out[i], s.schedule.Len()-1, s.config.StepsOffset)
		}
	}
	return out, nil
}

// plan fills the public tables; level gives ᾱ before each step and behind the last.
func (v *variancePreserving) plan(sv solver) *Plan {
	p := &Plan{InitNoiseSigma: 1, solver: sv}
	for _, t := range v.timesteps {
		p.Timesteps = append(p.Timesteps, float64(t))
	}
	for i := range len(v.timesteps) + 1 {
		signal, noise := sv.level(i)
		p.Sigmas = append(p.Sigmas, noise/signal)
	}
	return p
}

type ddim struct {
	variancePreserving
	prev []int // timestep that each step leads to
	eta  float64
}

func planDDIM(s *Scheduler, steps int, opt *PlanOptions) (*Plan, error) {
	ts, err := wholeGrid(s, steps)
	if err != nil {
		return nil, err
	}
	d := &ddim{variancePreserving{s.schedule, s.config.PredictionType, ts, 1}, make([]int, len(ts)), opt.Eta}
	if !s.config.SetAlphaToOne {
		d.final = s.schedule.AlphaBar(0)
	}
	for i, t := range ts {
		switch {
		case !opt.ConsistentPrev:
			d.prev[i] = t - s.config.NumTrainTimesteps/steps
		case i+1 < len(ts):
			d.prev[i] = ts[i+1]
		default:
			d.prev[i] = -1
		}
	}
	return d.plan(d), nil
}

// row is equations 12 and 16 of Song 2021, held against diffusers' DDIMScheduler.step. ε is that of the model even when
// x₀ is clipped.
func (d *ddim) row(i, _ int) (Row, error) {
	at, ap := d.alphaBar(d.timesteps[i]), d.alphaBar(d.prev[i])
	data, err := d.prediction.data(at)
	if err != nil {
		return Row{}, err
	}
	eps, err := d.prediction.epsilon(at)
	if err != nil {
		return Row{}, err
	}
	variance := d.eta * d.eta * (1 - ap) / (1 - at) * (1 - at/ap)
	direction := math.Sqrt(max(1-ap-variance, 0))
	return Row{
		DataX: data.x, DataOut: data.out,
		X: direction * eps.x, Out: direction * eps.out, Data: math.Sqrt(ap),
		Noise: math.Sqrt(max(variance, 0)), Draws: d.eta > 0,
	}, nil
}

func (d *ddim) level(i int) (signal, noise float64) {
	a := 0.0
	if i < len(d.timesteps) {
		a = d.alphaBar(d.timesteps[i])
	} else {
		a = d.alphaBar(d.prev[len(d.prev)-1])
	}
	return math.Sqrt(a), math.Sqrt(1 - a)
}
