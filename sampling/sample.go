package sampling

import (
	"context"
	"fmt"
	"math"
)

// Denoiser is a network as a sampler sees it: x holds the scaled latents of all images, t is the timestep, and dst
// receives the raw model output (what PredictionType says), guidance already applied. It must not change or keep x.
type Denoiser func(ctx context.Context, dst, x []float32, t float64) error

// Options are settings of [Sample]; nil means none.
type Options struct {
	// Noise is needed by samplers that add noise (see [Plan.Draws]). Use the source that drew the initial latents to
	// get diffusers' pictures.
	Noise Noise
	// OnStep is called after every step. It may change Step.Next.X in place, and the run goes on from there; an error
	// stops the run.
	OnStep func(Step) error
}

// Step is what an observer sees of a step that was just done.
type Step struct {
	Index, Count     int     // this step, from 0, and how many there are
	Timestep         float64 // what the model was asked for
	Sigma, SigmaNext float64 // noise level before and after
	Clean            []float32
	Next             State // where the run goes on; keep it to branch from here later
}

// Sample runs a plan from unit-variance noise to clean latents, which it returns. latents holds images of equal size one
// after another and is left as it is.
func Sample(ctx context.Context, p *Plan, latents []float32, images int, model Denoiser, opt *Options) ([]float32, error) {
	st, err := p.Start(latents, images)
	if err != nil {
		return nil, err
	}
	st, err = Run(ctx, p, st, model, opt)
	return st.X, err
}

// Run goes on from a state to the end of the plan.
func Run(ctx context.Context, p *Plan, st State, model Denoiser, opt *Options) (State, error) {
	if opt == nil {
		opt = &Options{}
	}
	input, output := make([]float32, len(st.X)), make([]float32, len(st.X))
	for st.Index < p.Len() {
		if err := ctx.Err(); err != nil {
			return st, err
		}
		i := st.Index
		p.Input(input, st)
		if err := model(ctx, output, input, p.Timesteps[i]); err != nil {
			return st, fmt.Errorf("sampling: step %d of %d (timestep %g): %w", i+1, p.Len(), p.Timesteps[i], err)
		}
		next, clean, err := p.advance(st, output, opt.Noise)
		if err != nil {
			return st, err
		}
		st = next
		if opt.OnStep == nil {
			continue
		}
		err = opt.OnStep(Step{
			Index: i, Count: p.Len(), Timestep: p.Timesteps[i],
			Sigma: p.Sigmas[i], SigmaNext: p.Sigmas[i+1], Clean: clean, Next: st,
		})
		if err != nil {
			return st, err
		}
	}
	return st, nil
}

// advance draws the noise of a step, does it and checks the result.
func (p *Plan) advance(st State, output []float32, source Noise) (State, []float32, error) {
	var noise []float32
	if p.Draws(st.Index) {
		if source == nil {
			return State{}, nil, fmt.Errorf("sampling: %s adds noise in step %d; set Options.Noise", p.scheduler.config.Class, st.Index+1)
		}
		noise = make([]float32, len(st.X))
		source(noise, p.Sigmas[st.Index], p.Sigmas[st.Index+1])
	}
	next, clean, err := p.Step(st, output, noise)
	if err != nil {
		return State{}, nil, err
	}
	for k, v := range next.X {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return State{}, nil, &NonFiniteError{
				Step: st.Index, Count: p.Len(), Timestep: p.Timesteps[st.Index], Position: k, Value: v,
				Output: !finite(output),
			}
		}
	}
	return next, clean, nil
}

func finite(v []float32) bool {
	for _, x := range v {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return false
		}
	}
	return true
}

// NonFiniteError reports latents that became NaN or infinite.
type NonFiniteError struct {
	Step, Count int     // the step, from 0, and how many there are
	Timestep    float64 // what the model was asked for
	Position    int     // of the first such number
	Value       float32
	Output      bool // the model's output was not finite already
}

func (e *NonFiniteError) Error() string {
	cause := "the model output was finite; the schedule or the guidance scale is too extreme"
	if e.Output {
		cause = "the model's output was not finite; check its weights and precision"
	}
	return fmt.Sprintf("sampling: latents became %v at position %d in step %d of %d (timestep %g): %s",
		e.Value, e.Position, e.Step+1, e.Count, e.Timestep, cause)
}
