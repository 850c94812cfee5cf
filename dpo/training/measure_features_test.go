package training

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/dpo"
	"winnow/internal/monitor"
)

// plainEye sees latents as they are.
type plainEye struct{ seen []*rows }

func (e *plainEye) features(_ context.Context, in *rows) ([]float32, error) {
	e.seen = append(e.seen, in)
	return in.x, nil
}

func (e *plainEye) featuresGradient(ctx context.Context, in *rows, slopes func(int, []float32) []float32) ([]float32, error) {
	x, err := e.features(ctx, in)
	var out []float32
	for row := range in.n {
		size := len(x) / in.n
		out = append(out, slopes(row, x[row*size:(row+1)*size])...)
	}
	return out, err
}

// alike opens a trainer that measures features.
func alike(t *testing.T, c Config) (*Trainer, *perceived) {
	t.Helper()
	c.Method, c.Rank, c.Targets = "ncp", 2, []string{"attn2.to_v"}
	tr := open(t, c)
	return tr, noisedBatch(t, tr, madeUp(tr, 3), false).(*perceived)
}

// By the identity in place of the network an error is κ² times that of the network's answer, and so is its derivative; steps go to the timestep
// before, with the noise that both pictures of a pair share.
func TestPerceived_identity(t *testing.T) {
	tr, p := alike(t, Config{SNRGamma: 3})
	own := &plainEye{}
	p.by = own
	p.in.t[0], p.in.t[3] = 0, 0 // whose step is none
	again, err := tr.perceive(p.denoising, p.noise)
	if err != nil {
		t.Fatal(err)
	}
	p = again.(*perceived)
	p.by = own
	out := make([]float32, len(p.in.x))
	for i := range out {
		out[i] = p.target[i] + float32(math.Sin(float64(i)))
	}
	if err := p.look(t.Context(), out, true); err != nil {
		t.Fatal(err)
	}
	schedule, errs, plain := tr.scheduler.Schedule(), make([]pairErrors, 3), make([]pairErrors, 3)
	p.errors(errs, out)
	p.denoising.errors(plain, out)
	grad := []dpo.Grad{{Chosen: 3, Rejected: -2}, {Chosen: 5, Rejected: -7}, {Chosen: 11, Rejected: 13}}
	cot, want := make([]float32, len(out)), make([]float32, len(out))
	p.cotangent(cot, out, grad)
	p.denoising.cotangent(want, out, grad)
	for i := range errs {
		kappa, at := 0.0, int(p.in.t[i])
		if at > 0 {
			a := schedule.AlphaBar(at) / schedule.AlphaBar(at-1)
			kappa = (1 - a) / (math.Sqrt(1-schedule.AlphaBar(at)) * math.Sqrt(a))
		}
		for what, v := range map[string][2]float64{"chosen": {errs[i].chosen, plain[i].chosen}, "rejected": {errs[i].rejected, plain[i].rejected}} {
			if want := kappa * kappa * v[1]; !(math.Abs(v[0]-want) <= 1e-4*want) {
				t.Errorf("timestep %d: error of %s %v, want %v", at, what, v[0], want)
			}
		}
		for _, row := range []int{i, 3 + i} {
			for k := range p.part(want, row) {
				p.part(want, row)[k] *= float32(kappa * kappa)
			}
			if d := apart(p.part(cot, row), p.part(want, row)); at > 0 && d > 1e-4 || at == 0 && slices.Max(p.part(cot, row)) != 0 {
				t.Errorf("timestep %d, row %d: derivative is off by %g", at, row, d)
			}
		}
		size := len(p.part(out, i))
		for _, in := range own.seen {
			if want := max(float64(at)-1, 0); in.t[i] != want || in.t[3+i] != want {
				t.Errorf("behind timestep %d the middle is told %v and %v", at, in.t[i], in.t[3+i])
			}
		}
		step, x := p.steps[i], own.seen[0].x[i*size]
		if want := step.X*float64(p.in.x[i*size]) + step.Output*float64(p.target[i*size]) + step.Noise*float64(p.noise[i*size]); math.Abs(float64(x)-want) > 1e-6 {
			t.Errorf("behind the target's step there is %v, want %v", x, want)
		}
		if (step.Noise == 0) != (at == 0) {
			t.Errorf("the step from %d draws %v", at, step.Noise)
		}
	}
}

// A perfect answer has no error and nothing to learn, exactly; another answer has both.
func TestPerceived_target(t *testing.T) {
	tr, p := alike(t, Config{})
	errs, grad, cot := make([]pairErrors, 3), slices.Repeat([]dpo.Grad{{Chosen: 1, Rejected: 1}}, 3), make([]float32, len(p.target))
	for _, back := range []bool{false, true} {
		if err := p.look(t.Context(), p.target, back); err != nil {
			t.Fatal(err)
		}
		p.errors(errs, p.target)
		if back {
			p.cotangent(cot, p.target, grad)
		}
		for i, e := range errs {
			// Programs with a way back may sum in another order.
			if limit := map[bool]float64{false: 0, true: 1e-10}[back]; e.chosen > limit || e.rejected > limit {
				t.Errorf("pair %d, back %t: a perfect answer has the errors %v", i, back, e)
			}
		}
	}
	perfect := dot(cot, cot)
	before := tr.ldm.Evaluations()
	if err := p.look(t.Context(), make([]float32, len(p.target)), true); err != nil {
		t.Fatal(err)
	}
	if got := tr.ldm.Evaluations() - before; got != 9 {
		t.Errorf("six rows forth and back to the middle are %d evaluations, want 9", got)
	}
	p.errors(errs, nil)
	p.cotangent(cot, nil, grad)
	if errs[0].chosen < 1e-6 || perfect > 1e-4*dot(cot, cot) {
		t.Errorf("errors %v, derivatives of a perfect answer %g, of another %g", errs, perfect, dot(cot, cot))
	}
}

// What the cache has counts as done, and its keys are not those of other errors; a run that was stopped ends where a whole one does.
func TestPerceived_runs(t *testing.T) {
	c := Config{Method: "ncp", BatchSize: 2, Steps: 4, LearningRate: 2e-3, Seed: 5, Rank: 2}
	data := writePairs(t, 4)
	steps := func(tr *Trainer, n int) (evaluations []int64) {
		for range n {
			m, err := tr.Step(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			evaluations = append(evaluations, m.Evaluations)
		}
		return evaluations
	}
	factors := func(tr *Trainer) (all []float32) {
		for _, p := range tr.params {
			all = append(all, p.Value...)
		}
		return all
	}
	one := ready(t, c, data)
	output := t.TempDir()
	fresh := steps(one, 2)
	if _, err := one.save(output, monitor.GuardState{}); err != nil {
		t.Fatal(err)
	}
	steps(one, 2)
	two := ready(t, c, data)
	if err := two.Resume(output, "latest"); err != nil {
		t.Fatal(err)
	}
	steps(two, 2)
	if !slices.Equal(factors(one), factors(two)) {
		t.Error("a resumed run ends elsewhere")
	}
	// Policy 3 and its features 3/2, the reference 1 and its features 1/2, the targets' features 1/2, of four pictures.
	three := ready(t, c, data)
	three.cache = one.cache
	if again := steps(three, 2); !slices.Equal(fresh, []int64{26, 26}) || !slices.Equal(again, fresh) {
		t.Errorf("%v evaluations at first, %v with a cache, want 26 and 26", fresh, again)
	}
	plain := c
	plain.Method = "dpo"
	a, b := one.source.(*pairs), ready(t, plain, data).source.(*pairs)
	d := drawn{pair: &a.data.Pairs[0]}
	if a.key(d, 0, 0) == b.key(d, 0, 0) {
		t.Error("errors of features and of latents have the same key")
	}
}

// Models without steps of DDPM, and those whose first step is infinite, are refused with the cure.
func TestPerceived_refused(t *testing.T) {
	for name, row := range map[string]struct{ model, scheduler, want string }{
		"flow": {"sd2", shifted, "flow"},
		"no signal": {"sd15", `{"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
			"num_train_timesteps": 1000, "prediction_type": "epsilon", "rescale_betas_zero_snr": true}`, "rescale_betas_zero_snr"},
	} {
		cache, err := OpenCache(t.Context(), filepath.Join(t.TempDir(), "cache.sqlite"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(t.Context(), withScheduler(t, row.model, []byte(row.scheduler)), cache, Config{Method: "ncp", Size: Size{32, 32}})
		var setting *SettingError
		if !errors.As(err, &setting) || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), "train dpo") {
			t.Errorf("%s: %v", name, err)
		}
		if err := cache.Close(); err != nil {
			t.Error(err)
		}
	}
}

func (s *spy) look(ctx context.Context, out []float32, back bool) error {
	return look(ctx, s.sample, out, back)
}
