package sampling

import "math"

type ddpm struct {
	variancePreserving
	varianceType string
}

func planDDPM(s *Scheduler, steps int, _ *PlanOptions) (*Plan, error) {
	ts, err := wholeGrid(s, steps)
	if err != nil {
		return nil, err
	}
	d := &ddpm{variancePreserving{s.schedule, s.config.PredictionType, ts, 1}, s.config.VarianceType}
	return d.plan(d), nil
}

// next is the timestep that step i leads to, negative for the last.
func (d *ddpm) next(i int) int {
	if i+1 < len(d.timesteps) {
		return d.timesteps[i+1]
	}
	return -1
}

// row is equation 7 of Ho 2020 between neighbouring timesteps of the run, held against diffusers' DDPMScheduler.step.
// No noise is drawn at timestep 0.
func (d *ddpm) row(i, _ int) (Row, error) {
	t := d.timesteps[i]
	at, ap := d.alphaBar(t), d.alphaBar(d.next(i))
	data, err := d.prediction.data(at)
	if err != nil {
		return Row{}, err
	}
	x, clean, variance := posterior(at, ap)
	row := Row{DataX: data.x, DataOut: data.out, X: x, Data: clean}
	if t > 0 {
		row.Draws = true
		row.Noise = math.Sqrt(max(variance, 1e-20)) // fixed_small; fixed_small_log is the same number
		if d.varianceType == "fixed_large" {
			row.Noise = math.Sqrt(1 - at/ap)
		}
	}
	return row, nil
}

func (d *ddpm) level(i int) (signal, noise float64) {
	a := d.final
	if i < len(d.timesteps) {
		a = d.alphaBar(d.timesteps[i])
	}
	return math.Sqrt(a), math.Sqrt(1 - a)
}
