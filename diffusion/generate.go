package diffusion

import (
	"context"
	"errors"
	"fmt"
	"math"

	"winnow/internal/ldm"
	"winnow/sampling"
)

// Generate makes Count pictures for each prompt, in order of prompts, then pictures. Picture i of every prompt starts
// from Seed+i, or from Seeds. When the context ends, or a batch fails, the pictures of the batches that were finished are returned
// together with the error.
func (p *Pipeline) Generate(ctx context.Context, req Request) ([]Image, error) {
	run, err := p.newRun(ctx, p.withDefaults(req))
	if err != nil {
		return nil, err
	}
	req = run.req
	var images []Image
	total := len(req.Prompts) * req.Count
	for first := 0; first < total; first += req.BatchSize {
		batch, err := run.batch(ctx, first, min(req.BatchSize, total-first))
		images = append(images, batch...)
		if err != nil {
			return images, err
		}
	}
	return images, nil
}

// newRun checks a request, defaults filled in, and prepares its schedule and text embeddings.
func (p *Pipeline) newRun(ctx context.Context, req Request) (*run, error) {
	if err := p.check(req); err != nil {
		return nil, err
	}
	sched, err := p.scheduler(req)
	if err != nil {
		return nil, err
	}
	plan, err := planOf(req, sched)
	if err != nil {
		return nil, err
	}
	cond, uncond, err := p.embed(ctx, req)
	if err != nil {
		return nil, public(err)
	}
	steps, err := stepsOf(req, plan)
	if err != nil {
		return nil, err
	}
	return &run{p: p, req: req, plan: plan, cond: cond, uncond: uncond, steps: steps}, nil
}

// planOf makes the sampler's tables for a request.
func planOf(req Request, sched *sampling.Scheduler) (*sampling.Plan, error) {
	config := sched.Config()
	if req.FlowNoise > 0 && config.PredictionType != sampling.FlowPrediction {
		return nil, badValue("flow-noise", req.FlowNoise, fmt.Sprintf("is for flow-euler, and this is %s; it has --eta, or noise of its own", config.Class))
	}
	plan, err := sched.Plan(req.Steps, &sampling.PlanOptions{Eta: req.Eta, FlowNoise: req.FlowNoise})
	if err != nil && req.FlowNoise > 0 {
		return nil, badValue("flow-noise", req.FlowNoise, err.Error())
	}
	if err != nil {
		return nil, badValue("steps", req.Steps, err.Error())
	}
	return plan, nil
}

// NFE is the number of evaluations of the network that one plain picture of a request costs.
func (p *Pipeline) NFE(req Request) (int, error) {
	req = p.withDefaults(req)
	if err := p.check(req); err != nil {
		return 0, err
	}
	sched, err := p.scheduler(req)
	if err != nil {
		return 0, err
	}
	plan, err := planOf(req, sched)
	if err != nil {
		return 0, err
	}
	steps, err := stepsOf(req, plan)
	if err != nil {
		return 0, err
	}
	return steps.nfe[plan.Len()-1], nil
}

// Check reports what is wrong with a request without running it, prompts that are too long included.
func (p *Pipeline) Check(ctx context.Context, req Request) error {
	req = p.withDefaults(req)
	if err := p.check(req); err != nil {
		return err
	}
	if _, err := p.scheduler(req); err != nil {
		return err
	}
	if req.Truncate || req.Embeds != nil {
		return nil
	}
	return public(p.ldm.CheckPrompts(append([]string{req.NegativePrompt}, req.texts()...)))
}

// scheduler is the model's scheduler, switched as the request says.
func (p *Pipeline) scheduler(req Request) (*sampling.Scheduler, error) {
	cfg := p.ldm.Scheduler
	var err error
	if req.Scheduler != "" {
		if cfg, err = cfg.As(req.Scheduler); err != nil {
			return nil, badValue("scheduler", req.Scheduler, err.Error())
		}
	}
	if req.Sigmas != "" {
		if cfg, err = cfg.WithSigmas(sampling.Sigmas(req.Sigmas)); err != nil {
			return nil, badValue("sigmas", req.Sigmas, err.Error())
		}
	}
	sched, err := sampling.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.ldm.Folder.Path("scheduler/scheduler_config.json"), err)
	}
	return sched, nil
}

// run is one Generate call.
type run struct {
	p            *Pipeline
	req          Request
	plan         *sampling.Plan
	cond, uncond ldm.Embeds
	steps        guidedSteps
}

// batch makes pictures first … first+n−1.
func (r *run) batch(ctx context.Context, first, n int) ([]Image, error) {
	size := r.p.latentSize(r.req)
	noise := sampling.NewNoise(r.seeds(first, n)...)
	x := make([]float32, n*size)
	if r.req.Latents != nil {
		copy(x, r.req.Latents[first*size:])
	} else {
		noise(x, math.Inf(1), math.Inf(1))
	}
	model, err := r.denoiser(first, n)
	if err != nil {
		return nil, err
	}
	latents, err := sampling.Sample(ctx, r.plan, x, n, model, &sampling.Options{Noise: noise, OnStep: r.onStep(first, n)})
	if err != nil {
		return nil, r.explain(err)
	}
	h, w := r.latentSides()
	pixels, err := r.p.ldm.Decode(ctx, latents, n, h, w)
	if err != nil {
		return nil, r.explain(err)
	}
	return r.images(first, n, latents, pixels)
}

// explain adds the cause of non-finite numbers, which is worth searching for only now.
func (r *run) explain(err error) error {
	var nan *sampling.NonFiniteError
	if errors.As(err, &nan) && nan.Output {
		return errors.Join(err, r.p.ldm.CheckFinite())
	}
	return err
}

// seeds are the picture seeds of a batch.
func (r *run) seeds(first, n int) []uint64 {
	seeds := make([]uint64, n)
	for i := range seeds {
		seeds[i] = r.req.seed(first + i)
	}
	return seeds
}

func (r *run) latentSides() (h, w int) {
	return r.req.Height / r.p.ldm.Factor, r.req.Width / r.p.ldm.Factor
}

// onStep turns sampler steps into the request's steps.
func (r *run) onStep(first, n int) func(sampling.Step) error {
	if r.req.OnStep == nil {
		return nil
	}
	total := len(r.req.Prompts) * r.req.Count
	return func(s sampling.Step) error {
		return r.req.OnStep(Step{
			Batch: first / r.req.BatchSize, Batches: (total + r.req.BatchSize - 1) / r.req.BatchSize,
			First: first, Pictures: n, Index: s.Index + 1, Count: s.Count, Timestep: s.Timestep,
			NFE: r.steps.nfe[s.Index], X: s.Next.X, Denoised: s.Clean,
		})
	}
}

// nfePerStep is the number of network evaluations of a guided step, if there are any, else of any step.
func (r *run) nfePerStep() int { return r.req.predictions() }
