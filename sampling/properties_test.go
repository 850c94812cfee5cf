package sampling_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"winnow/sampling"
)

// stable is the configuration of a sampler with Stable Diffusion's noise schedule and the given keys.
func stable(t testing.TB, name string, keys map[string]any) *sampling.Scheduler {
	t.Helper()
	cfg, err := sampling.NewConfig(name)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": false}
	for k, v := range keys {
		all[k] = v
	}
	for k, v := range all {
		if cfg, err = cfg.With(k, v); err != nil {
			t.Fatal(err)
		}
	}
	s, err := sampling.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func planOf(t testing.TB, s *sampling.Scheduler, steps int, opt *sampling.PlanOptions) *sampling.Plan {
	t.Helper()
	p, err := s.Plan(steps, opt)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// network gives the output that a perfect network of the scheduler's prediction type has for known x₀ and ε.
func network(p *sampling.Plan, i int, x, clean, eps float64) float64 {
	switch p.Scheduler().Config().PredictionType {
	case sampling.VPrediction:
		signal, noise := p.Level(i)
		norm := math.Hypot(signal, noise)
		return (signal*eps - noise*clean) / norm
	case sampling.CleanSample:
		return clean
	}
	return eps
}

// Every sampler must be exact when the data is a single point: from x = signal·x₀ + noise·ε a step leads to the next
// level with the same x₀, and what it keeps of ε makes up the next noise level together with the fresh noise. (Not so
// for algorithm_type sde-dpmsolver, whose noise is right only to first order in the step.)
func TestStepIsExactForPointData(t *testing.T) {
	type variant struct {
		name string
		keys map[string]any
		eta  float64
	}
	variants := []variant{
		{"ddim", nil, 0},
		{"ddim", map[string]any{"prediction_type": "v_prediction", "set_alpha_to_one": false, "steps_offset": 1}, 0.7},
		{"ddim", map[string]any{"prediction_type": "sample", "timestep_spacing": "trailing"}, 1},
		{"ddpm", nil, 0},
		{"ddpm", map[string]any{"prediction_type": "v_prediction", "timestep_spacing": "trailing"}, 0},
		{"pndm", map[string]any{"skip_prk_steps": true, "steps_offset": 1}, 0},
		{"pndm", nil, 0},
		{"euler", nil, 0},
		{"euler", map[string]any{"use_karras_sigmas": true, "prediction_type": "v_prediction"}, 0},
		{"euler-a", nil, 0},
		{"euler-a", map[string]any{"prediction_type": "v_prediction", "timestep_spacing": "trailing"}, 0},
		{"dpmpp-2m", nil, 0},
		{"dpmpp-2m", map[string]any{"solver_type": "heun", "prediction_type": "v_prediction"}, 0},
		{"dpmpp-3m", map[string]any{"final_sigmas_type": "sigma_min"}, 0},
		{"dpmpp-2m-sde", nil, 0},
		{"dpmpp-2m-sde", map[string]any{"solver_order": 3}, 0},
		{"dpmpp-2m", map[string]any{"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}, 0},
	}
	for _, v := range variants {
		t.Run(fmt.Sprint(v.name, v.keys), func(t *testing.T) {
			p := planOf(t, stable(t, v.name, v.keys), 20, &sampling.PlanOptions{Eta: v.eta})
			pointData(t, p)
		})
	}
}

func pointData(t *testing.T, p *sampling.Plan) {
	// Two numbers per image: one is pure signal (x₀ = 1, ε = 0), the other pure noise.
	signal, noise := p.Level(0)
	st, err := p.Resume(0, []float32{float32(signal), float32(noise)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	middle := p.Scheduler().Config().Class == "PNDMScheduler" // its inner calls do not lie on the levels of the grid
	for i := range p.Len() {
		row, err := p.Row(i, i)
		if err != nil {
			t.Fatal(err)
		}
		out := []float32{float32(network(p, i, float64(st.X[0]), 1, 0)), float32(network(p, i, float64(st.X[1]), 0, 1))}
		next, clean, err := p.Step(st, out, []float32{0, 0})
		if err != nil {
			t.Fatal(err)
		}
		signal, noise := p.Level(i + 1)
		kept := math.Sqrt(max(noise*noise-row.Noise*row.Noise, 0))
		scale := math.Hypot(signal, noise)
		wrong := math.Abs(float64(next.X[0])-signal) > 2e-5*scale || math.Abs(math.Abs(float64(next.X[1]))-kept) > 2e-4*scale
		if wrong && (!middle || i+1 == p.Len()) {
			t.Fatalf("step %d: (%v, %v) from pure signal and noise, want (%v, %v) with fresh noise %v", i, next.X[0], next.X[1], signal, kept, row.Noise)
		}
		if math.Abs(float64(clean[0])-1) > 1e-4 || math.Abs(float64(clean[1])) > 2e-4*math.Max(1, p.Sigmas[i]) {
			t.Fatalf("step %d: predicted clean latents %v, want (1, 0)", i, clean)
		}
		if row.Noise != 0 {
			next.X[0], next.X[1] = float32(signal), float32(noise)
		}
		st = next
	}
}

// total is the whole step as a map of latents and model output, for steps without history.
func total(r sampling.Row) (x, out float64) {
	return r.X + r.Data*r.DataX, r.Out + r.Data*r.DataOut
}

func sameMap(t *testing.T, what string, a, b sampling.Row, tolerance float64) {
	t.Helper()
	ax, ao := total(a)
	bx, bo := total(b)
	if math.Abs(ax-bx) > tolerance*math.Abs(bx) || math.Abs(ao-bo) > tolerance*math.Abs(bx) || math.Abs(a.Noise-b.Noise) > tolerance {
		t.Fatalf("%s: (%v, %v, %v) against (%v, %v, %v)", what, ax, ao, a.Noise, bx, bo, b.Noise)
	}
}

func rowOf(t *testing.T, p *sampling.Plan, i, calls int) sampling.Row {
	t.Helper()
	r, err := p.Row(i, calls)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// With eta 1 a DDIM step has DDPM's mean and variance, whatever the network predicts.
func TestDDIMWithFullNoiseIsDDPM(t *testing.T) {
	for _, pred := range []string{"epsilon", "v_prediction", "sample"} {
		for _, spacing := range []string{"leading", "trailing", "linspace"} {
			keys := map[string]any{"prediction_type": pred, "timestep_spacing": spacing, "steps_offset": 1}
			a := planOf(t, stable(t, "ddim", keys), 30, &sampling.PlanOptions{Eta: 1, ConsistentPrev: true})
			b := planOf(t, stable(t, "ddpm", keys), 30, nil)
			for i := range a.Len() {
				sameMap(t, fmt.Sprint(pred, " ", spacing, " step ", i), rowOf(t, a, i, i), rowOf(t, b, i, i), 1e-8)
			}
		}
	}
}

// The first call of PNDM, and DPM-Solver++ and DPM-Solver of first order, are DDIM without noise.
func TestFirstOrderStepsAreDDIM(t *testing.T) {
	for _, pred := range []string{"epsilon", "v_prediction"} {
		keys := map[string]any{"prediction_type": pred, "timestep_spacing": "trailing", "set_alpha_to_one": true}
		ddim := planOf(t, stable(t, "ddim", keys), 20, nil)
		keys["skip_prk_steps"] = true
		pndm := planOf(t, stable(t, "pndm", keys), 20, nil)
		sameMap(t, "PNDM", rowOf(t, pndm, 0, 0), rowOf(t, ddim, 0, 0), 1e-9)
		keys["solver_order"] = 1
		first := planOf(t, stable(t, "DPMSolverMultistepScheduler", keys), 20, nil)
		keys["algorithm_type"], keys["final_sigmas_type"] = "dpmsolver", "sigma_min"
		noise := planOf(t, stable(t, "DPMSolverMultistepScheduler", keys), 20, nil)
		for i := range ddim.Len() {
			sameMap(t, fmt.Sprint("DPM-Solver++ ", pred, i), rowOf(t, first, i, i), rowOf(t, ddim, i, i), 1e-5)
			if i+1 < ddim.Len() {
				sameMap(t, fmt.Sprint("DPM-Solver ", pred, i), rowOf(t, noise, i, i), rowOf(t, ddim, i, i), 1e-5)
			}
		}
	}
}

// DDIM and Euler are the same solver in two scalings of the latents: x_euler = x_ddim·√(σ²+1).
func TestEulerIsDDIMRescaled(t *testing.T) {
	keys := map[string]any{"timestep_spacing": "trailing", "set_alpha_to_one": true}
	ddim := planOf(t, stable(t, "ddim", keys), 20, nil)
	euler := planOf(t, stable(t, "euler", keys), 20, nil)
	x := toyStart()
	e, err := euler.Start(x, 1)
	if err != nil {
		t.Fatal(err)
	}
	scaled := make([]float32, len(x))
	euler.Input(scaled, e)
	d, err := ddim.Resume(0, scaled, 1)
	if err != nil {
		t.Fatal(err)
	}
	in, out := make([]float32, len(x)), make([]float32, len(x))
	for i := range ddim.Len() {
		var cleanE, cleanD []float32
		for _, run := range []struct {
			p     *sampling.Plan
			st    *sampling.State
			clean *[]float32
		}{{euler, &e, &cleanE}, {ddim, &d, &cleanD}} {
			run.p.Input(in, *run.st)
			if err := toyNetwork(t.Context(), out, in, run.p.Timesteps[i]); err != nil {
				t.Fatal(err)
			}
			if *run.st, *run.clean, err = run.p.Step(*run.st, out, nil); err != nil {
				t.Fatal(err)
			}
		}
		if dev := relativeError(cleanE, cleanD); dev > 1e-4 {
			t.Fatalf("step %d: clean latents differ by %.2g", i, dev)
		}
	}
	if dev := relativeError(e.X, d.X); dev > 1e-4 {
		t.Fatalf("results differ by %.2g", dev)
	}
}

// gaussianError integrates the probability-flow ODE of N(0, 0.5²) data, whose solution is known, and returns the
// relative error at the end. The first two steps are taken from the solution: multistep solvers begin them with lower
// order, which would hide the order of the rest.
func gaussianError(t *testing.T, s *sampling.Scheduler, steps int) float64 {
	const std = 0.5
	p := planOf(t, s, steps, nil)
	x := make([]float64, p.Len()+1) // float64 latents: the rows are applied by hand to see the method's error alone
	signal, noise := p.Level(0)
	x[0] = math.Hypot(std*signal, noise)
	var kept []float64
	for i := range p.Len() {
		signal, noise := p.Level(i)
		eps := x[i] * noise / (std*std*signal*signal + noise*noise)
		row := rowOf(t, p, i, i)
		clean := row.DataX*x[i] + row.DataOut*eps
		x[i+1] = row.X*x[i] + row.Out*eps + row.Data*clean
		for k, c := range row.Past {
			x[i+1] += c * kept[len(kept)-1-k]
		}
		if i < 2 {
			signal, noise := p.Level(i + 1)
			x[i+1] = math.Hypot(std*signal, noise)
		}
		kept = append(kept, row.KeepX*x[i]+row.KeepOut*eps+row.KeepData*clean)
	}
	signal, noise = p.Level(p.Len())
	return math.Abs(x[p.Len()]/math.Hypot(std*signal, noise) - 1)
}

// Solvers of order k have an error that falls with the k-th power of the step size.
func TestOrderOfConvergence(t *testing.T) {
	base := map[string]any{"use_lu_lambdas": true, "final_sigmas_type": "sigma_min", "lower_order_final": false, "timestep_spacing": "trailing"}
	for _, c := range []struct {
		name  string
		keys  map[string]any
		order float64
	}{
		{"first", map[string]any{"solver_order": 1}, 1},
		{"midpoint", map[string]any{"solver_order": 2}, 2},
		{"heun", map[string]any{"solver_order": 2, "solver_type": "heun"}, 2},
		{"noise form", map[string]any{"solver_order": 2, "algorithm_type": "dpmsolver"}, 2},
		{"noise form heun", map[string]any{"solver_order": 2, "algorithm_type": "dpmsolver", "solver_type": "heun"}, 2},
		// The published third-order rule counts the second difference half, see dpmWeights.
		{"third", map[string]any{"solver_order": 3}, 2},
		{"noise form third", map[string]any{"solver_order": 3, "algorithm_type": "dpmsolver"}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			keys := map[string]any{}
			for k, v := range base {
				keys[k] = v
			}
			for k, v := range c.keys {
				keys[k] = v
			}
			s := stable(t, "DPMSolverMultistepScheduler", keys)
			coarse, fine := gaussianError(t, s, 100), gaussianError(t, s, 200)
			if got := math.Log2(coarse / fine); got < c.order-0.25 || got > c.order+0.6 {
				t.Errorf("errors %.3g and %.3g: order %.2f, want %v", coarse, fine, got, c.order)
			}
		})
	}
}

// Stochastic samplers must end with the variance of the data when the network is exact, up to an error that falls with
// the number of steps. For N(0, 0.5²) data the variance of the latents follows from the rows alone.
func TestStochasticSamplersKeepTheMarginal(t *testing.T) {
	for _, c := range []struct {
		name string
		keys map[string]any
		eta  float64
	}{
		{"ddpm", nil, 0},
		{"ddim", nil, 1},
		{"ddim", nil, 0.5},
		{"euler-a", nil, 0},
		{"DPMSolverMultistepScheduler", map[string]any{"algorithm_type": "sde-dpmsolver++", "solver_order": 1}, 0},
	} {
		s := stable(t, c.name, c.keys)
		opt := &sampling.PlanOptions{Eta: c.eta}
		coarse, fine := marginalError(t, planOf(t, s, 250, opt)), marginalError(t, planOf(t, s, 500, opt))
		if math.Abs(fine) > 0.05 || math.Abs(fine/coarse-0.5) > 0.1 {
			t.Errorf("%s eta %v: variance is off by %.3g with 250 steps and %.3g with 500", c.name, c.eta, coarse, fine)
		}
	}
}

func marginalError(t *testing.T, p *sampling.Plan) float64 {
	const std = 0.5
	signal, noise := p.Level(0)
	variance := std*std*signal*signal + noise*noise
	for i := range p.Len() {
		signal, noise := p.Level(i)
		row := rowOf(t, p, i, i)
		x, out := total(row)
		gain := x + out*noise/(std*std*signal*signal+noise*noise)
		variance = gain*gain*variance + row.Noise*row.Noise
	}
	signal, noise = p.Level(p.Len())
	return variance/(std*std*signal*signal+noise*noise) - 1
}

func TestSigmasFallAndTimestepsFall(t *testing.T) {
	for _, info := range sampling.Samplers() {
		for _, spacing := range []string{"leading", "trailing", "linspace"} {
			for _, steps := range []int{2, 9, 50} {
				s := stable(t, info.Class, map[string]any{"timestep_spacing": spacing, "skip_prk_steps": true})
				p := planOf(t, s, steps, nil)
				falling := func(a, b float64) int {
					if a == b && info.Name != "pndm" {
						return 1
					}
					return int(math.Copysign(1, b-a))
				}
				if !slices.IsSortedFunc(p.Timesteps, falling) || len(p.Sigmas) != p.Len()+1 {
					t.Errorf("%s %s %d: timesteps %v", info.Name, spacing, steps, p.Timesteps)
				}
				if info.Name != "pndm" && info.Name != "ddim" && !slices.IsSortedFunc(p.Sigmas, falling) {
					t.Errorf("%s %s %d: sigmas %v", info.Name, spacing, steps, p.Sigmas)
				}
			}
		}
	}
}
