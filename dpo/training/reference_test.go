package training

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"winnow/dpo"
)

// stir moves the factors far from where they are.
func stir(tr *Trainer, by float64, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	for _, p := range tr.params {
		for i := range p.Value {
			p.Value[i] += float32(by * r.NormFloat64())
		}
	}
}

// Right after the policy has become the reference the loss is that of no margin, and moves away from it until the next time.
func TestReference_refresh(t *testing.T) {
	c := Config{Method: "dpo", BatchSize: 4, Steps: 9, LearningRate: 2e-3, Seed: 5, Reference: Reference{Refresh: 3}}
	tr := ready(t, c, writePairs(t, 8))
	for step := range 7 {
		m, err := tr.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if fresh := step%3 == 0; fresh != (math.Abs(m.Loss-math.Ln2) < 1e-6) {
			t.Errorf("step %d: loss %v, ln 2 is %v", step+1, m.Loss, math.Ln2)
		}
	}
	if tr.moving.at.Copies != 2 {
		t.Errorf("%d copies behind 7 steps", tr.moving.at.Copies)
	}
}

// The base model has no drift. A candidate within the bound becomes the reference; the first beyond it does not, nor any behind it.
func TestReference_drift(t *testing.T) {
	c := Config{Method: "dpo", BatchSize: 4, Steps: 20, LearningRate: 1e-6, Seed: 5, Reference: Reference{Refresh: 1, Drift: 0.5}}
	tr := ready(t, c, writePairs(t, 12))
	if d, err := tr.drift(t.Context(), tr.snapshot()); err != nil || d != 0 {
		t.Errorf("drift of the factors that change nothing: %v, %v", d, err)
	}
	step := func() {
		if _, err := tr.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	step()
	step()
	kept := tr.moving.factors
	if tr.moving.at.Copies != 1 || tr.moving.at.Frozen || math.Abs(tr.moving.at.Drift) > 0.5 {
		t.Fatalf("the first candidate: %+v", tr.moving.at)
	}
	if slices.Equal(kept[1], make([]float32, len(kept[1]))) {
		t.Error("the candidate is no copy of the policy")
	}
	want := slices.Clone(kept[1])
	stir(tr, 0.3, 1)
	for range 3 {
		step()
	}
	if at := tr.moving.at; !at.Frozen || at.Copies != 1 || at.Drift <= 0.5 || at.Step != 2 {
		t.Errorf("behind a candidate that is worse: %+v", at)
	}
	if !slices.Equal(tr.moving.factors[1], want) {
		t.Error("the reference has changed since it was frozen")
	}
}

// The accelerated reference lies beyond the policy by the momentum's share of the way since the refresh before.
func TestReference_momentum(t *testing.T) {
	c := Config{Method: "dpo", BatchSize: 2, Steps: 20, LearningRate: 1e-3, Seed: 5, Reference: Reference{Refresh: 2, Momentum: 0.3}}
	tr := ready(t, c, writePairs(t, 4))
	before := tr.snapshot()
	for range 4 {
		now := tr.snapshot()
		if _, err := tr.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if tr.moving.at.Step != tr.done-1 || tr.done == 1 {
			continue
		}
		for i, v := range tr.moving.factors {
			for k, x := range v {
				want := float64(now[i][k]) + 0.3*(float64(now[i][k])-float64(before[i][k]))
				if math.Abs(float64(x)-want) > 1e-7*max(1, math.Abs(want)) {
					t.Fatalf("step %d: factor %d, %d is %v, want %v", tr.done, i, k, x, want)
				}
			}
		}
		before = now
	}
	if tr.moving.at.Copies != 1 {
		t.Errorf("%+v", tr.moving.at)
	}
}

// A file as the reference is what the file makes of the base model: the policy with the file's own factors agrees with it. Of several the
// errors are averaged, and each has its own place in the cache.
func TestReference_files(t *testing.T) {
	m, err := dpo.FindMethod("dpo")
	if err != nil {
		t.Fatal(err)
	}
	first := aloof(t, methodConfig(m))
	dir := t.TempDir()
	files, err := first.WriteAdapters(dir, "guide")
	if err != nil {
		t.Fatal(err)
	}
	c := methodConfig(m)
	c.Reference.Files = []ReferenceFile{{Path: files[0]}}
	tr := aloof(t, c) // the same factors
	if _, got := gradientOf(t, tr, noisedBatch(t, tr, madeUp(tr, 3), true)); math.Abs(got.Margin) > 1e-6 || math.Abs(got.Loss-math.Ln2) > 1e-6 {
		t.Errorf("the policy as the file: margin %g, loss %v", got.Margin, got.Loss)
	}
	s := noisedBatch(t, tr, madeUp(tr, 3), true)
	guide, err1 := tr.reference(t.Context(), s)
	base, err2 := first.reference(t.Context(), noisedBatch(t, first, madeUp(first, 3), true))
	c.Reference.Files = []ReferenceFile{{files[0], 0.25}, {BaseReference, 0.75}}
	both := aloof(t, c)
	both.cache = tr.cache
	s = noisedBatch(t, both, madeUp(both, 3), true)
	for _, what := range []string{"computed", "cached"} {
		got, err := both.reference(t.Context(), s)
		if err != nil || err1 != nil || err2 != nil {
			t.Fatal(err, err1, err2)
		}
		for i, e := range got {
			if want := 0.25*guide[i].chosen + 0.75*base[i].chosen; e.chosen != want || guide[i] == base[i] {
				t.Errorf("%s: error %v of two references, want %v", what, e.chosen, want)
			}
		}
	}
}

// A reference that is out of place is refused by name.
func TestReference_refused(t *testing.T) {
	for want, c := range map[string]Config{
		"--reference-refresh: sft has no reference":    {Method: "sft", Reference: Reference{Refresh: 4}},
		"--reference-lora: sft has no reference":       {Method: "sft", Reference: Reference{Files: []ReferenceFile{{Path: "x"}}}},
		"--reference-momentum 0.3: needs":              {Method: "dpo", Reference: Reference{Momentum: 0.3}},
		"--reference-drift 0.1: needs":                 {Method: "dpo", Reference: Reference{Drift: 0.1}},
		"the weights add up to 0.5":                    {Method: "dpo", Reference: Reference{Files: []ReferenceFile{{"a", 0.5}}}},
		"--reference-refresh 3: the policy takes":      {Method: "dpo", Reference: Reference{Refresh: 3, Files: []ReferenceFile{{Path: "a"}}}},
		"--reference-momentum -1: want 0 to 10":        {Method: "dpo", Reference: Reference{Refresh: 3, Momentum: -1}},
		"--reference-refresh -1: want 0, for never":    {Method: "dpo", Reference: Reference{Refresh: -1}},
		"--reference-drift NaN: want a number above 0": {Method: "dpo", Reference: Reference{Refresh: 1, Drift: math.NaN()}},
	} {
		var known *SettingError
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &known) {
			t.Errorf("want %q, have %v", want, err)
		}
	}
}

// runsAlike compares a run of so many steps with one that is cut short and goes on.
func runsAlike(t *testing.T, c Config, pairs string, cut ...int) {
	t.Helper()
	run := func(output string, stop int) {
		tr := ready(t, c, pairs)
		if err := tr.Resume(output, "latest"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := tr.Run(ctx, RunOptions{Output: output, Name: "a", NoGuard: true, OnStep: func(m Metrics, _ []string) error {
			if m.Step == stop {
				cancel()
			}
			return nil
		}})
		if stop < c.Steps != (err != nil) {
			t.Fatalf("stop at %d: %v", stop, err)
		}
	}
	whole, parts := t.TempDir(), t.TempDir()
	run(whole, c.Steps)
	for _, stop := range append(cut, c.Steps) {
		run(parts, stop)
	}
	for _, name := range []string{"a.safetensors", filepath.Join("checkpoint-"+strconv.Itoa(c.Steps), stateFile), filepath.Join("checkpoint-"+strconv.Itoa(c.Steps), trainerFile)} {
		a, errA := os.ReadFile(filepath.Join(whole, name))
		b, errB := os.ReadFile(filepath.Join(parts, name))
		if errA != nil || errB != nil || !slices.Equal(a, b) {
			t.Errorf("%s: the run that went on has other bytes: %v, %v", name, errA, errB)
		}
	}
}

// So does one whose loss keeps something between batches.
func TestLoss_resume(t *testing.T) {
	c := Config{Method: "dpo", Settings: dpo.Settings{Loss: "beta-dpo"}, BatchSize: 4, Steps: 6, LearningRate: 3e-3, Seed: 5, Rank: 2}
	runsAlike(t, c, writePairs(t, 8), 1, 3, 4)
	tr := ready(t, c, writePairs(t, 8))
	before := dpo.State(tr.objective)
	if _, err := tr.Step(t.Context()); err != nil || slices.Equal(before, dpo.State(tr.objective)) {
		t.Errorf("a step leaves the loss's state %v as it is, %v", before, err)
	}
}

// A run with a reference that moves goes on with the same bytes, wherever it was cut.
func TestReference_resume(t *testing.T) {
	pairs := writePairs(t, 6)
	for name, r := range map[string]Reference{"momentum": {Refresh: 2, Momentum: 0.3}, "drift": {Refresh: 2, Drift: 0.05}} {
		t.Run(name, func(t *testing.T) {
			runsAlike(t, Config{Method: "dpo", BatchSize: 2, Steps: 7, LearningRate: 3e-3, Seed: 5, Rank: 2, Reference: r}, pairs, 1, 2, 3, 5)
		})
	}
}
