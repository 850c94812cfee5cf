// Package sampling turns a denoising network into a sampler: noise schedules, step placement, solvers and guidance as
// pure numerics on []float32. It knows no tensor, no model and no picture; latents are a flat slice, several images
// one after another.
//
// The path from a file to a picture's latents:
//
//	cfg, err := sampling.ReadConfig(file)      // scheduler_config.json, as diffusers reads it
//	cfg, err = cfg.As("euler-a")               // optional: switch as diffusers' from_config does
//	sched, err := sampling.New(cfg)            // schedule and solver; immutable
//	plan, err := sched.Plan(25, nil)           // timesteps and sigmas of a run of 25 steps; immutable
//	noise := sampling.NewNoise(seed)           // what torch.Generator("cpu") draws
//	latents, err := sampling.Sample(ctx, plan, noise, 1, x, model, nil)
//
// # A step is a value, not a side effect
//
// [Plan.Step] maps a [State] and a model output to the next State and to the predicted clean latents. It changes
// neither, so a run can be branched (keep a State), restarted ([Plan.Resume]), pruned ([State.Select]) or watched
// ([Options.OnStep]) without asking the solver. Everything a solver remembers is in the State; everything it looks up
// is found by step index, never by timestep.
//
// Every step of every sampler here is linear in the latents, the model output, what earlier steps left behind, and the
// noise: [Plan.Row] gives the coefficients. Log-probabilities of stochastic steps and gradients through a run follow
// from the row without knowing the sampler.
//
// # Numbers
//
// Tables are float32 where diffusers' are (betas, cumulative products, sigmas), so that timesteps are equal and
// latents agree with diffusers 0.42.1 to about 1e-6 for the same model outputs; the tests hold 1e-5 over whole
// trajectories. Where diffusers does something surprising, the number is reproduced and the comment says so.
//
// # Searches
//
// RunSearch spends a budget of network evaluations on a picture that a Verifier likes:
//
//	info, err := sampling.FindSearch("zero-order")                            // SearchMethods lists them
//	found, err := sampling.RunSearch(ctx, problem, info.Method(sampling.Gradients{}), sampling.SearchOptions{Budget: 800, Seed: 7})
//
// A method is a function over a Search, through which every evaluation passes and is counted; one method a file. Journaled makes a
// search that was interrupted go on.
//
// # Inversion
//
// [InversionGrid.Invert] climbs from clean latents to the noise that a sampler would have made them from, to an exact level:
//
//	grid, err := sched.InversionGrid(10)
//	up, err := grid.Invert(ctx, network, latents, levels, sampling.InvertOptions{Method: sampling.InvertFixedPoint})
//
// # Samplers
//
//	name          diffusers class                   elsewhere          paper
//	ddim          DDIMScheduler                     ddim               Song 2021, arXiv 2010.02502
//	ddpm          DDPMScheduler                     ddpm, ancestral    Ho 2020, arXiv 2006.11239
//	pndm          PNDMScheduler                     plms               Liu 2022, arXiv 2202.09778
//	euler         EulerDiscreteScheduler            k_euler            Karras 2022, arXiv 2206.00364, algorithm 2
//	euler-a       EulerAncestralDiscreteScheduler   k_euler_a          k-diffusion sample_euler_ancestral
//	dpmpp-2m      DPMSolverMultistepScheduler       DPM++ 2M           Lu 2022, arXiv 2211.01095, algorithm 2
//	dpmpp-2m-sde  … algorithm_type sde-dpmsolver++  DPM++ 2M SDE       Lu 2022, k-diffusion
//	dpmpp-3m      … solver_order 3                  DPM++ 3M           Lu 2022
//	flow-euler    FlowMatchEulerDiscreteScheduler   flow_euler         Esser 2024, arXiv 2403.03206
//
// [Lookup] finds a sampler by any of these names, and [Samplers] lists them.
package sampling
