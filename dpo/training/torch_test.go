package training

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/dpo"
	"winnow/internal/lora"
	"winnow/internal/safetensors"
)

// recordedCase is a run of tests/oracle/training.py.
type recordedCase struct {
	Name, Method, Optimizer, Loss             string
	LR, Epsilon, Clip, Beta, Smoothing, Gamma float64
	Accumulation, Warmup, Batch, Draws        int
	Levels                                    int
	Targets, Adapters                         []string
	RSLoRA                                    bool
	Text                                      bool    // the text encoders have adapters, too
	RandomB                                   bool    `json:"random_b"`
	SNRGamma                                  float64 `json:"snr_gamma"`
	SFTWeight                                 float64 `json:"sft_weight"`
	Guidance                                  float64
	SamplerSteps                              int `json:"sampler_steps"`
	First, Paths                              int
	ClipRange                                 float64 `json:"clip_range"`
	KL                                        float64 `json:"kl_weight"`
	FlowNoise                                 float64 `json:"flow_noise"`
	Batches                                   []recordedBatch
	Results                                   []recordedStep
	recordedPictures
	Float32 map[string]float64 // how far torch in float32 is from torch in float64
}

type recordedBatch struct {
	Pairs, Level, Steps []int
	T                   [][]int
	Null                bool
	Opponent            int // 0 for the base model
	Rewards             []float64
	Old                 [][]float64
}

type recordedStep struct {
	Loss     float64
	GradNorm float64 `json:"grad_norm"`
	LR       float64
	Rewards  [][2]float64 // of pairs and draws
}

// recording is one file of the oracle.
type recording struct {
	file  *safetensors.File
	about struct {
		Prompts []string
		Labels  []float64
		Rank    int
		Alpha   float64
		// Scheduler takes the place of the folder's where it is given.
		Scheduler json.RawMessage
		Sequence  int // tokens of T5; SD3 only
		Factors   [][2]any
		Cases     []recordedCase
	}
}

func openRecording(t *testing.T, kind string) *recording {
	t.Helper()
	f, err := safetensors.Read(filepath.Join("testdata", kind+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	r := &recording{file: f}
	if err := json.Unmarshal([]byte(f.Metadata["about"]), &r.about); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *recording) floats(t *testing.T, name string) []float32 {
	t.Helper()
	v, ok := r.file.Tensor(name)
	if !ok {
		t.Fatalf("tensor %s is missing", name)
	}
	return v.F32()
}

// each calls f with the name of every factor of an adapter of the trainer, in the oracle's order, and its part of the vector v.
func (r *recording) each(t *testing.T, tr *Trainer, adapter string, v []float32, all bool, f func(name string, want []float32)) {
	t.Helper()
	at, found := 0, 0
	for _, entry := range r.about.Factors {
		size := 1
		for _, d := range entry[1].([]any) {
			size *= int(d.(float64))
		}
		network, module, ok := strings.Cut(entry[0].(string), ":")
		if !ok {
			network, module = "unet", network
		}
		name := tr.factorName(adapter, network, module)
		p := tr.byName[name]
		if p == nil && !all && (network == lora.UNet || !tr.config.TrainText) { // text encoders are stored whole
			continue
		}
		if p != nil {
			found++
			if len(p.Value) != size {
				t.Fatalf("%s has %d numbers, PEFT's %d", name, len(p.Value), size)
			}
			f(name, v[at:at+size])
		}
		at += size
	}
	if at != len(v) || found*len(tr.method.Adapters) != len(tr.params) {
		t.Fatalf("adapter %s: %d of %d numbers, %d of %d factors", adapter, at, len(v), found, len(tr.params)/len(tr.method.Adapters))
	}
}

// withScheduler copies a folder of tests/tiny and gives it another scheduler.
func withScheduler(t *testing.T, model string, config []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(tiny(model))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "scheduler/scheduler_config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// factorName is what the trainer calls a factor that PEFT has under a name; exports of text encoders may have a level more.
func (t *Trainer) factorName(adapter, network, name string) string {
	if network == lora.UNet {
		return "lora." + adapter + "." + name
	}
	for own := range t.byName {
		if t.network[own] == network && strings.HasPrefix(own, "lora."+adapter+"_"+network+".") && strings.HasSuffix(own, "."+name) {
			return own
		}
	}
	return ""
}

// spy keeps the implicit rewards of a batch.
type spy struct {
	sample
	to        *[]pairErrors
	reference bool
	calls     int
}

func (s *spy) describe(terms []dpo.Terms, out []float32) {
	if d, ok := s.sample.(describer); ok {
		d.describe(terms, out)
	}
}

func (s *spy) anchors() []anchor {
	if d, ok := s.sample.(anchored); ok {
		return d.anchors()
	}
	return nil
}

func (s *spy) forget() {
	if k, ok := s.sample.(keeper); ok {
		k.forget()
	}
}

func (s *spy) keep(weight float64, out []float32) {
	if k, ok := s.sample.(keeper); ok {
		k.keep(weight, out)
	}
}

func (s *spy) errors(dst []pairErrors, out []float32) {
	s.sample.errors(dst, out)
	sign := 1.0
	if s.calls > 0 || !s.reference {
		sign = -1
	}
	if s.calls == 0 {
		*s.to = append(*s.to, make([]pairErrors, len(dst))...)
	}
	s.calls++
	last := (*s.to)[len(*s.to)-len(dst):]
	for i, e := range dst {
		last[i].chosen += sign * e.chosen
		last[i].rejected += sign * e.rejected
	}
}

func (c *recordedCase) config(r *recording) Config {
	return Config{
		Method: c.Method, Settings: dpo.Settings{Beta: c.Beta, Gamma: c.Gamma, Loss: c.Loss, LabelSmoothing: c.Smoothing, SFTWeight: c.SFTWeight, Draws: c.Draws, Clip: c.ClipRange, KL: c.KL, SDPO: c.Mu},
		Rank: r.about.Rank, Alpha: r.about.Alpha, Targets: c.Targets, RSLoRA: c.RSLoRA, TrainText: c.Text,
		Optimizer: c.Optimizer, LearningRate: c.LR, Epsilon: c.Epsilon, Warmup: c.Warmup, MaxGradNorm: c.Clip, SNRGamma: c.SNRGamma,
		BatchSize: c.Batch, Accumulation: c.Accumulation, Steps: len(c.Results), Mode: true,
		Inversion: Inversion{Steps: c.Levels, Noise: c.Eta},
		Reference: c.reference(), Self: Self{Steps: c.SelfSteps, Guidance: c.Guidance, Snapshots: c.Snapshots},
		Siblings: Siblings{Prompts: []string{"as recorded"}, Reward: byRedness(), Steps: c.SamplerSteps, First: c.First, Paths: c.Paths, Guidance: c.Guidance, FlowNoise: c.FlowNoise, Inner: len(c.Results)},
	}
}

// start opens a trainer with the recorded factors.
func (c *recordedCase) start(t *testing.T, r *recording, dir string) *Trainer {
	t.Helper()
	cache, err := OpenCache(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	tr, err := Open(t.Context(), dir, cache, c.config(r))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	for _, a := range c.Adapters {
		r.each(t, tr, a, r.floats(t, "init."+a), true, func(name string, want []float32) {
			if c.RandomB || strings.HasSuffix(name, "lora_A.weight") {
				copy(tr.byName[name].Value, want)
			}
		})
	}
	s := &replay{t: t, tr: tr, r: r, c: c}
	if _, ok := r.file.Tensor(c.Name + ".noise"); ok {
		s.noise = r.floats(t, c.Name+".noise")
	}
	if tr.method.Kind == dpo.KindPaths {
		s.own = c.round(t, r, tr)
	}
	if _, ok := r.file.Tensor(c.Name + ".inversion"); ok {
		s.steps = r.floats(t, c.Name+".inversion")
	}
	if _, ok := r.file.Tensor(c.Name + ".step"); ok {
		s.steps = r.floats(t, c.Name+".step")
	}
	tr.source = s
	return tr
}

// worst are the largest differences from the oracle, each over what it may be.
type worst struct{ loss, norm, reward, factor, update float64 }

// Three steps of every method equal torch, PEFT and diffusers. A factor may be off by 1e-4 of its norm, and no number of it by more than
// 1e-3 of the largest that the run has moved the factor by, or of the learning rate.
func TestStep_torch(t *testing.T) {
	for _, kind := range []string{
		"sd15-pictures", "sd2-flow-pictures",
		"sd15", "sd2", "sdxl", "sd15-text", "sdxl-text", "sd2-flow",
		"sd15-paths", "sd2-paths", "sd2-flow-paths",
		"sd15-ncp", "sd2-ncp", "sdxl-ncp",
		"sd3", "sd3-text", "sd3-paths",
	} {
		r := openRecording(t, kind)
		model, _, _ := strings.Cut(kind, "-")
		dir := tiny(model)
		if r.about.Scheduler != nil {
			dir = withScheduler(t, model, r.about.Scheduler)
		}
		if r.about.Sequence > 0 {
			own := fmt.Appendf(nil, `{"max_sequence_length": %d}`, r.about.Sequence)
			if err := os.WriteFile(filepath.Join(dir, "winnow.json"), own, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for i := range r.about.Cases {
			c := &r.about.Cases[i]
			t.Run(kind+"/"+c.Name, func(t *testing.T) {
				tr := c.start(t, r, dir)
				sameText(t, tr, r)
				begin := map[string][]float32{}
				for _, p := range tr.params {
					begin[p.Name] = slices.Clone(p.Value)
				}
				var w worst
				for k, want := range c.Results {
					tr.source.(*replay).seen = nil
					got, err := tr.Step(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					w.step(t, k, tr, got, want)
					for _, a := range c.Adapters {
						after := r.floats(t, c.Name+".factors."+a)
						n := len(after) / len(c.Results)
						r.each(t, tr, a, after[k*n:(k+1)*n], false, func(name string, v []float32) {
							w.factors(t, k, name, tr.byName[name].Value, v, begin[name], c.LR)
						})
					}
				}
				t.Logf("loss %.1e, norm %.1e, reward %.1e, factor %.1e, of update %.1e; torch in float32: %v", w.loss, w.norm, w.reward, w.factor, w.update, c.Float32)
			})
		}
	}
}

func sameText(t *testing.T, tr *Trainer, r *recording) {
	t.Helper()
	e, err := tr.embed(t.Context(), r.about.Prompts)
	if err != nil {
		t.Fatal(err)
	}
	if d := apart(e.Hidden.F32(), r.floats(t, "text.hidden")); d > 1e-5 {
		t.Errorf("text embeddings differ by %.1e", d)
	}
	if tr.pooled != nil {
		if d := apart(e.Pooled.F32(), r.floats(t, "text.pooled")); d > 1e-5 {
			t.Errorf("pooled embeddings differ by %.1e", d)
		}
	}
}

// apart is the norm of a − b over that of b.
func apart(a, b []float32) float64 {
	d, n := 0.0, 0.0
	for i, v := range b {
		d += (float64(a[i]) - float64(v)) * (float64(a[i]) - float64(v))
		n += float64(v) * float64(v)
	}
	return math.Sqrt(d / max(n, math.SmallestNonzeroFloat64))
}

func (w *worst) step(t *testing.T, k int, tr *Trainer, got Metrics, want recordedStep) {
	t.Helper()
	check := func(what string, got, want, scale, tolerance float64, keep *float64) {
		off := math.Abs(got-want) / scale
		*keep = max(*keep, off)
		if !(off <= tolerance) {
			t.Errorf("step %d: %s %v, torch has %v", k+1, what, got, want)
		}
	}
	var nothing float64
	check("learning rate", got.LearningRate, want.LR, 1, 1e-15, &nothing)
	unit := want.Loss
	if tr.method.Kind == dpo.KindPaths && !tr.method.Rejected { // a mean of advantages, of which each is about 1
		unit = 1
	}
	check("loss", got.Loss, want.Loss, unit, 1e-5, &w.loss)
	check("gradient norm", got.GradNorm, want.GradNorm, want.GradNorm, 1e-4, &w.norm)
	if !tr.method.Reference || tr.method.Kind == dpo.KindPaths { // whose log-densities are recorded and used
		return
	}
	scale := 5e-3 // of the rewards, which are differences of errors around 1: less than 5e-7 is rounding
	for _, v := range want.Rewards {
		scale = max(scale, math.Abs(v[0]), math.Abs(v[1]))
	}
	for i, v := range want.Rewards {
		seen := tr.source.(*replay).seen[i]
		check(fmt.Sprint("reward of chosen ", i), seen.chosen, v[0], scale, 1e-4, &w.reward)
		check(fmt.Sprint("reward of rejected ", i), seen.rejected, v[1], scale, 1e-4, &w.reward)
	}
}

func (w *worst) factors(t *testing.T, k int, name string, got, want, begin []float32, rate float64) {
	t.Helper()
	off := apart(got, want)
	w.factor = max(w.factor, off)
	if !(off <= 1e-4) {
		t.Errorf("step %d: %s is off by %.2e of its norm", k+1, name, off)
	}
	moved, most := 0.0, 0.0
	for i, v := range want {
		moved = max(moved, math.Abs(float64(v)-float64(begin[i])))
		most = max(most, math.Abs(float64(v)-float64(got[i])))
	}
	moved = max(moved, rate)
	w.update = max(w.update, most/moved)
	if !(most <= 1e-3*moved) {
		t.Errorf("step %d: a number of %s is off by %.2e of its largest update", k+1, name, most/moved)
	}
}
