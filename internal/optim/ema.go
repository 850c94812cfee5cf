package optim

import (
	"fmt"
	"math"
	"slices"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

// EMAOptions are the constants of an exponential moving average, in the names of diffusers' EMAModel.
type EMAOptions struct {
	Decay           float64 // largest decay, in [0, 1]; diffusers' default is 0.9999
	MinDecay        float64 // least decay once averaging has begun, in [0, Decay]
	UpdateAfterStep int     // updates in which the average is only a copy

	UseEMAWarmup    bool    // decay 1 − (1 + n/InvGamma)^−Power instead of (1 + n)/(10 + n)
	InvGamma, Power float64 // 0 means 1 and 2/3
}

// EMA is an exponential moving average of parameters (diffusers/training_utils.py, EMAModel): Update moves every average s towards its
// parameter p by s − (1−d)·(s − p). It begins with the values that the parameters have in NewEMA.
type EMA struct {
	state
	o       EMAOptions
	params  []*Param
	pieces  []piece
	average [][]float32
	swapped bool
}

// NewEMA copies the parameters.
func NewEMA(params []*Param, o EMAOptions) (*EMA, error) {
	if err := checkParams(params); err != nil {
		return nil, fmt.Errorf("moving average: %w", err)
	}
	if o.InvGamma == 0 {
		o.InvGamma = 1
	}
	if o.Power == 0 {
		o.Power = 2.0 / 3
	}
	if !(o.MinDecay >= 0 && o.MinDecay <= o.Decay && o.Decay <= 1) || o.UpdateAfterStep < 0 || !(o.InvGamma > 0) || !(o.Power > 0) {
		return nil, fmt.Errorf("moving average: want 0 ≤ min_decay ≤ decay ≤ 1, update_after_step ≥ 0, inv_gamma and power > 0, got %+v", o)
	}
	e := &EMA{state: newState(), o: o, params: slices.Clone(params), pieces: pieces(params)}
	for _, p := range params {
		e.average = append(e.average, e.floats(p.Name+".ema", p.Shape...))
		copy(e.average[len(e.average)-1], p.Value)
	}
	return e, nil
}

// Decay is the decay of the n'th update, counted from 1.
func (e *EMA) Decay(n int) float64 {
	step := float64(n - e.o.UpdateAfterStep - 1)
	if step <= 0 {
		return 0
	}
	d := (1 + step) / (10 + step)
	if e.o.UseEMAWarmup {
		d = 1 - math.Pow(1+step/e.o.InvGamma, -e.o.Power)
	}
	return max(min(d, e.o.Decay), e.o.MinDecay)
}

// Update moves the averages towards the parameters. Call it after each step of the optimiser.
func (e *EMA) Update() {
	e.mustNotBeSwapped("Update")
	e.steps++
	rise := float32(1 - e.Decay(int(e.steps)))
	var room [chunk]float32
	for _, at := range e.pieces {
		p, s := e.params[at.param].Value[at.from:at.to], e.average[at.param][at.from:at.to]
		t := room[:len(p)]
		kernel.Sub(t, s, p)
		kernel.MulScalar(t, t, rise)
		kernel.Sub(s, s, t)
	}
}

// Swap exchanges the parameters and their averages: once to look at the average, or save it, and once more to train on.
func (e *EMA) Swap() {
	e.swapped = !e.swapped
	for i, p := range e.params {
		for k, x := range p.Value {
			p.Value[k], e.average[i][k] = e.average[i][k], x
		}
	}
}

// State returns the averages, "NAME.ema", and the number of updates, under the same terms as Optimizer.State.
func (e *EMA) State() map[string]tensor.Tensor {
	e.mustNotBeSwapped("State")
	return e.state.State()
}

// Restore copies a state in; one of other parameters or shapes is refused, and then nothing has changed.
func (e *EMA) Restore(from map[string]tensor.Tensor) error {
	e.mustNotBeSwapped("Restore")
	return e.state.Restore(from)
}

// mustNotBeSwapped catches a caller that would average the averages or save the parameters in their place.
func (e *EMA) mustNotBeSwapped(what string) {
	if e.swapped {
		panic("optim: EMA." + what + " between two calls of Swap")
	}
}
