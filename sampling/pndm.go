package sampling

import (
	"fmt"
	"math"
	"strconv"
)

func itoa(i int) string { return strconv.Itoa(i) }

// pndm is the pseudo linear multistep method, started either by one repeated step (skip_prk_steps, as Stable Diffusion
// configurations have it) or by three pseudo Runge-Kutta groups of four calls.
type pndm struct {
	variancePreserving
	ratio int // T / steps: how far every full step goes
	prk   int // number of Runge-Kutta calls, 0 or 12
}

func planPNDM(s *Scheduler, steps int, _ *PlanOptions) (*Plan, error) {
	ts, err := grid(&s.config, steps, true)
	if err != nil {
		return nil, err
	}
	p := &pndm{ratio: s.config.NumTrainTimesteps / steps}
	var calls []float64
	if s.config.SkipPRKSteps {
		calls = plmsTimesteps(ts)
	} else {
		if len(ts) < 4 {
			return nil, fmt.Errorf("sampling: PNDM with Runge-Kutta warm-up needs at least 4 steps, got %d; set skip_prk_steps", steps)
		}
		p.prk = 12
		calls = prkTimesteps(ts, p.ratio/2)
	}
	whole, err := checkedTimesteps(s, calls)
	if err != nil {
		return nil, err
	}
	p.variancePreserving = variancePreserving{s.schedule, s.config.PredictionType, whole, 1}
	if !s.config.SetAlphaToOne {
		p.final = s.schedule.AlphaBar(0)
	}
	return p.plan(p), nil
}

// plmsTimesteps asks for the second timestep twice: the first step is tried, its end evaluated, and then redone with
// the mean of both slopes.
func plmsTimesteps(ts []float64) []float64 {
	out := append([]float64{}, ts...)
	if len(ts) > 1 {
		out = append(out[:2], ts[1:]...)
	}
	return out
}

// prkTimesteps lists the four calls of each Runge-Kutta group (start, twice the middle, end), then the rest of the grid.
// The end of a group is one timestep of the grid, and the next group starts there again.
func prkTimesteps(ts []float64, half int) []float64 {
	var out []float64
	for k := range 3 {
		middle := ts[k+1] + float64(half)
		out = append(out, ts[k], middle, middle, ts[k+1])
	}
	return append(out, ts[3:]...)
}

func (p *pndm) row(i, calls int) (Row, error) {
	data, err := p.prediction.data(p.alphaBar(p.timesteps[i]))
	if err != nil {
		return Row{}, err
	}
	var row Row
	if i < p.prk {
		row, err = p.rungeKutta(i, calls)
	} else {
		row, err = p.multistep(i, calls)
	}
	row.DataX, row.DataOut = data.x, data.out
	return row, err
}

// transfer is equation 9 of Liu 2022: from timestep t to prev along the noise ε that the weighted outputs stand for. The
// latents that go in are the current ones, or the saved ones.
func (p *pndm) transfer(t, prev int, fromSaved bool, output float64, past []float64) (Row, error) {
	if t >= p.schedule.Len() {
		return Row{}, fmt.Errorf("sampling: PNDM: timestep %d lies outside the schedule", t)
	}
	at, ap := p.alphaBar(t), p.alphaBar(prev)
	slope := -(ap - at) / (at*math.Sqrt(1-ap) + math.Sqrt(at*(1-at)*ap))
	eps, err := p.prediction.epsilon(at)
	if err != nil {
		return Row{}, err
	}
	x := math.Sqrt(ap/at) + slope*eps.x
	row := Row{Out: slope * eps.out * output, X: x}
	if fromSaved {
		row.X, row.Saved = 0, x
	}
	for _, w := range past {
		row.Past = append(row.Past, slope*eps.out*w)
	}
	return row, nil
}

// multistep is Adams-Bashforth of order 1 to 4 on the model outputs, held against diffusers' PNDMScheduler.step_plms.
// Without warm-up, calls 0 and 1 make one step together: the second is evaluated at the end of the first, starts from
// the same latents and is not remembered.
func (p *pndm) multistep(i, calls int) (Row, error) {
	t := p.timesteps[i]
	if p.prk == 0 && calls == 1 {
		return p.transfer(t+p.ratio, t, true, 0.5, []float64{0.5})
	}
	lags, known := []int{1, 2, 3}, calls // where the outputs of earlier full steps stand in the history
	switch {
	case p.prk == 0 && calls > 1:
		known = calls - 1
	case p.prk > 0:
		lags, known = warmUpLags(calls-p.prk), 3
	}
	weights := adams[min(known, 3)]
	var past []float64
	for k, w := range weights[1:] {
		for len(past) < lags[k] {
			past = append(past, 0)
		}
		past[lags[k]-1] = w
	}
	row, err := p.transfer(t, t-p.ratio, false, weights[0], past)
	row.KeepOut = 1
	row.Save = p.prk == 0 && calls == 0
	return row, err
}

// adams holds the Adams-Bashforth weights by the number of earlier values, newest first.
var adams = [4][]float64{
	{1},
	{3.0 / 2, -1.0 / 2},
	{23.0 / 12, -16.0 / 12, 5.0 / 12},
	{55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24},
}

// warmUpLags tells where the last three full-step outputs stand in the history at the n-th call after the warm-up,
// during which only the first of four calls counts.
func warmUpLags(n int) []int {
	lags := make([]int, 3)
	for k := range lags {
		if k < n {
			lags[k] = k + 1
		} else {
			lags[k] = n + 4*(k-n+1)
		}
	}
	return lags
}

// rungeKutta is one call of a group of four (Liu 2022, equation 13), held against diffusers' PNDMScheduler.step_prk: two
// half steps and a full one, each from the latents at which the group began, then the full step with weighted outputs.
func (p *pndm) rungeKutta(i, calls int) (Row, error) {
	if calls != i {
		return Row{}, fmt.Errorf("sampling: PNDM with Runge-Kutta warm-up cannot start at step %d", i+1)
	}
	stage := i % 4
	start, prev := p.timesteps[i-stage], p.timesteps[i]
	if stage%2 == 0 {
		prev -= p.ratio / 2
	}
	output, past := 1.0, []float64(nil)
	if stage == 3 {
		output, past = 1.0/6, []float64{1.0 / 3, 1.0 / 3, 1.0 / 6}
	}
	row, err := p.transfer(start, prev, stage > 0, output, past)
	row.KeepOut = 1
	row.Save = stage == 0
	return row, err
}

func (p *pndm) level(i int) (signal, noise float64) {
	a := 0.0
	if i < len(p.timesteps) {
		a = p.alphaBar(p.timesteps[i])
	} else {
		a = p.alphaBar(p.timesteps[i-1] - p.ratio)
	}
	return math.Sqrt(a), math.Sqrt(1 - a)
}
