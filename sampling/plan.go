package sampling

import (
	"fmt"
	"math"
)

// Plan holds the tables of one run: which timesteps the model is asked for and what each step does with the answer.
// It is immutable and safe for concurrent use.
type Plan struct {
	// Timesteps holds the timestep of each model call, noisiest first. Euler's may lie between two training timesteps;
	// the values are float32 numbers. PNDM asks for one timestep twice.
	Timesteps []float64
	// Sigmas holds k-diffusion's noise level σ (noise over signal) before each step, and behind the last. +Inf where
	// the schedule has no signal.
	Sigmas []float64
	// InitNoiseSigma is the standard deviation of the latents that a run starts from.
	InitNoiseSigma float64

	scheduler *Scheduler
	solver    solver
}

// solver gives the coefficients of each step.
type solver interface {
	// row describes step i of a run that has done `calls` model calls since it started or was resumed.
	row(i, calls int) (Row, error)
	// level is the make-up of the latents before step i, or behind the last one for i = Len: x = signal·x₀ + noise·ε.
	level(i int) (signal, noise float64)
}

// Row is one step as a linear map. With x the latents, o the model output for the scaled input, z standard normal
// noise and hₖ the k-th newest of the values kept by earlier steps:
//
//	x₀   = DataX·x + DataOut·o                   predicted clean latents, then clipped or thresholded if so configured
//	next = X·x + Out·o + Data·x₀ + Saved·s + Σₖ Past[k]·hₖ + Noise·z
//	kept = KeepX·x + KeepOut·o + KeepData·x₀     put in front of the history unless all three are zero
//
// s is the latents saved by the last step with Save set. The step's density given x is normal with the mean that Noise
// = 0 gives and the standard deviation Noise in every coordinate.
type Row struct {
	DataX, DataOut           float64
	X, Out, Data, Noise      float64
	Saved                    float64
	Past                     []float64
	KeepX, KeepOut, KeepData float64
	Save                     bool
	Draws                    bool // noise is drawn in this step, even when Noise is zero: random streams move on

	// Euler steps are evaluated as x + (x−x₀)/sigma·delta in float32, in diffusers' order: with zero terminal SNR the
	// first sigma is 4096 and rounding alone moves the result by 5e-5 of its size. X and Data hold the same map.
	sigma, delta float32
}

// Len is the number of steps of the run, which is the number of model calls.
func (p *Plan) Len() int { return len(p.Timesteps) }

// Scheduler is the scheduler that made the plan.
func (p *Plan) Scheduler() *Scheduler { return p.scheduler }

// Row gives the coefficients of step i in a run that has done calls steps since its start (multistep samplers begin
// with lower order). In a run from the beginning calls equals i.
func (p *Plan) Row(i, calls int) (Row, error) {
	if i < 0 || i >= p.Len() || calls < 0 || calls > i {
		return Row{}, fmt.Errorf("sampling: no step %d with %d calls done in a plan of %d steps", i, calls, p.Len())
	}
	return p.solver.row(i, calls)
}

// Level tells what the latents before step i consist of: x = signal·x₀ + noise·ε. For i = Len it describes the result
// of the run. Signal is 1 for the Euler family, 1 − noise for flow-euler; otherwise signal² + noise² = 1.
func (p *Plan) Level(i int) (signal, noise float64) { return p.solver.level(i) }

// Draws reports whether step i draws noise, so that random streams move on.
func (p *Plan) Draws(i int) bool {
	row, err := p.Row(i, i)
	return err == nil && row.Draws
}

// InputScale is the factor by which the latents before step i are multiplied for the model: 1 except for the Euler
// family, whose latents have a standard deviation of √(σ²+1).
func (p *Plan) InputScale(i int) float64 {
	if signal, noise := p.solver.level(i); signal == 1 {
		return 1 / math.Sqrt(noise*noise+1)
	}
	return 1
}

// Input writes the model input for state st into dst, which must be as long as the latents (diffusers'
// scale_model_input).
func (p *Plan) Input(dst []float32, st State) {
	if p.InputScale(st.Index) == 1 {
		copy(dst, st.X)
		return
	}
	_, noise := p.solver.level(st.Index)
	sigma := float32(noise)
	std := sqrt32(sigma*sigma + 1)
	for i, v := range st.X {
		dst[i] = v / std
	}
}

// Start is the state before the first step: unit-variance noise (diffusers' latents argument), scaled to the first
// noise level. images is how many images of equal size the slice holds.
func (p *Plan) Start(noise []float32, images int) (State, error) {
	if images < 1 || len(noise) == 0 || len(noise)%images != 0 {
		return State{}, fmt.Errorf("sampling: %d numbers cannot be %d images of equal size", len(noise), images)
	}
	x := make([]float32, len(noise))
	scale := float32(p.InitNoiseSigma)
	for i, v := range noise {
		x[i] = v * scale
	}
	return State{X: x, Images: images}, nil
}

// Resume is a state before step i with given latents and no memory of earlier steps, for example latents made by
// [Plan.AddNoise]. The slice is used, not copied.
func (p *Plan) Resume(i int, x []float32, images int) (State, error) {
	if i < 0 || i >= p.Len() {
		return State{}, fmt.Errorf("sampling: cannot start at step %d of %d", i, p.Len())
	}
	if images < 1 || len(x) == 0 || len(x)%images != 0 {
		return State{}, fmt.Errorf("sampling: %d numbers cannot be %d images of equal size", len(x), images)
	}
	if _, err := p.Row(i, 0); err != nil {
		return State{}, err
	}
	return State{Index: i, X: x, Images: images}, nil
}

// AddNoise writes clean latents, brought to the noise level before step i, into dst (diffusers' add_noise). The three
// slices have equal length; dst may be clean or noise.
func (p *Plan) AddNoise(dst, clean, noise []float32, i int) {
	a, b := p.solver.level(i)
	for k := range dst {
		dst[k] = float32(a*float64(clean[k]) + b*float64(noise[k]))
	}
}

// check computes every row once, so that a run cannot fail half-way for a reason that is known at the start.
func (p *Plan) check() error {
	for i := range p.Timesteps {
		row, err := p.solver.row(i, i)
		if err != nil {
			return err
		}
		if !row.finite() {
			return fmt.Errorf("sampling: %s: step %d of %d (timestep %v) divides by zero: "+
				"the schedule has no signal there, or two equal noise levels", p.scheduler.config.Class, i+1, p.Len(), p.Timesteps[i])
		}
	}
	return nil
}

func (r *Row) finite() bool {
	sum := r.DataX + r.DataOut + r.X + r.Out + r.Data + r.Noise + r.Saved + r.KeepX + r.KeepOut + r.KeepData
	for _, v := range r.Past {
		sum += v
	}
	return !math.IsNaN(sum) && !math.IsInf(sum, 0)
}
