package training

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"winnow/dpo"
	"winnow/internal/ldm"
)

// Reference says what stands in for the base model where a method measures against a reference.
type Reference struct {
	// Files are adapters that take the place of the base model: one for a guiding reference (Pre-DPO, arXiv 2504.15843), several for a
	// mean of references (MRPO, arXiv 2405.16388). They change nothing but the denoiser.
	Files []ReferenceFile
	// Refresh is the number of updates after which the policy becomes the reference, again and again; 0: never, or the method's own.
	Refresh int
	// Momentum goes on from the policy by this share of what has changed since the refresh before: accelerated preference optimisation
	// (arXiv 2410.06293). 0: none.
	Momentum float64
	// Drift bounds how much worse than the base model a new reference may be at chosen pictures, summed over timesteps; beyond it the
	// reference stays what it is for good (Rethinking DPO in Diffusion Models). 0: no bound, or the method's own; −1: no bound.
	Drift float64
}

// ReferenceFile is an adapter file, or a folder with one. BaseReference in its place is the base model itself.
type ReferenceFile struct {
	Path   string
	Weight float64 // of its errors; all weights add up to 1. All 0: they are equal
}

// BaseReference names the base model among references.
const BaseReference = "base"

// anchor is one network that the policy is measured against.
type anchor struct {
	weight  float64     // of its errors
	adapter int         // of the pipeline's frozen adapters, from 1; 0: none
	factors [][]float32 // in place of the trained ones, in the order of the trainer's; nil: those are switched off
	moves   bool        // nothing of it is worth the cache
	id      []byte      // of its file, for the cache; nil: the base model
}

// keys are where the errors of the anchor are kept.
func (a *anchor) keys(known []Key) []Key {
	switch {
	case known == nil || a.moves:
		return nil
	case a.id == nil:
		return known
	}
	out := make([]Key, len(known))
	for i, k := range known {
		out[i] = keyOf(k[:], []byte("of"), a.id)
	}
	return out
}

// anchored is a sample that may have a reference of its own.
type anchored interface{ anchors() []anchor }

// keeper is a sample that keeps the outputs of its reference.
type keeper interface {
	forget()
	keep(weight float64, out []float32)
}

// anchors are what a sample is measured against.
func (t *Trainer) anchors(s sample) []anchor {
	if own, ok := s.(anchored); ok && own.anchors() != nil {
		return own.anchors()
	}
	if t.moving != nil {
		return []anchor{{weight: 1, factors: t.moving.factors, moves: true}}
	}
	return t.fixed
}

// reference measures the frozen networks on the rows of the policy.
func (t *Trainer) reference(ctx context.Context, s sample) ([]pairErrors, error) {
	sum := make([]pairErrors, len(s.labels()))
	if !t.method.Reference {
		return sum, nil
	}
	keep, _ := s.(keeper)
	if !t.method.Drift {
		keep = nil
	}
	if keep != nil {
		keep.forget()
	}
	for _, a := range t.anchors(s) {
		one, err := t.measure(ctx, s, &a, keep)
		if err != nil {
			return nil, err
		}
		for i, e := range one {
			sum[i].chosen += a.weight * e.chosen
			sum[i].rejected += a.weight * e.rejected
		}
	}
	return sum, nil
}

// measure gives the errors under one anchor, out of the cache where no outputs are wanted.
func (t *Trainer) measure(ctx context.Context, s sample, a *anchor, keep keeper) ([]pairErrors, error) {
	out := make([]pairErrors, len(s.labels()))
	keys := a.keys(s.known())
	if keep != nil {
		keys = nil
	}
	if ok, err := t.recall(ctx, keys, out); ok || err != nil {
		t.recalled += evaluationsOf(s)
		return out, err
	}
	pred, err := t.predictUnder(ctx, s.rows(), a)
	if err != nil {
		return nil, err
	}
	if err := look(ctx, s, pred, false); err != nil {
		return nil, err
	}
	s.errors(out, pred)
	if keep != nil {
		keep.keep(a.weight, pred)
	}
	return out, t.remember(ctx, keys, out)
}

// predictUnder is what an anchor makes of rows.
func (t *Trainer) predictUnder(ctx context.Context, in *rows, a *anchor) ([]float32, error) {
	pred, cond := make([]float32, len(in.x)), in.cond
	if a.factors != nil {
		defer t.exchange(a.factors)()
		cond.Scales = in.policy
		var err error
		if cond, err = t.policyText(ctx, in, cond); err != nil {
			return nil, err
		}
		return pred, t.predict(ctx, pred, in, cond)
	}
	cond.Scales = t.scales(in.n, 0)
	if a.adapter > 0 {
		file := &t.ldm.Adapters[a.adapter-1]
		file.Scale = 1
		defer func() { file.Scale = 0 }()
	}
	return pred, t.predict(ctx, pred, in, cond)
}

// exchange puts other factors in the place of the trained ones until the function that it gives is called.
func (t *Trainer) exchange(factors [][]float32) (back func()) {
	own := t.snapshot()
	for i, p := range t.params {
		copy(p.Value, factors[i])
	}
	return func() {
		for i, p := range t.params {
			copy(p.Value, own[i])
		}
	}
}

// snapshot copies the trained factors.
func (t *Trainer) snapshot() [][]float32 {
	out := make([][]float32, len(t.params))
	for i, p := range t.params {
		out[i] = slices.Clone(p.Value)
	}
	return out
}

// check refuses references that make no sense, ahead of any model.
func (r *Reference) check(m *dpo.Method) error {
	most := func(flag string) error {
		return &SettingError{Err: fmt.Errorf("--%s: %s has no reference; leave the flag out", flag, m.Name)}
	}
	switch {
	case m.Kind == dpo.KindSelf && (len(r.Files) > 0 || r.Refresh != 0):
		return &SettingError{Err: fmt.Errorf("--reference-lora and --reference-refresh: the reference of %s is its own earlier states; leave the flags out", m.Name)}
	case !m.Reference && len(r.Files) > 0:
		return most("reference-lora")
	case !m.Reference && r.Refresh != 0:
		return most("reference-refresh")
	case r.Refresh < 0 || r.Refresh > 1<<30:
		return setting("reference-refresh", r.Refresh, "want 0, for never, or more")
	case len(r.Files) > 0 && r.Refresh > 0:
		return setting("reference-refresh", r.Refresh, "the policy takes the place of the reference, and --reference-lora names another; leave one of them out")
	case !(r.Momentum >= 0 && r.Momentum <= 10):
		return setting("reference-momentum", r.Momentum, "want 0 to 10; the paper's is 0.3")
	case r.Momentum > 0 && r.Refresh == 0:
		return setting("reference-momentum", r.Momentum, "needs --reference-refresh")
	case !(r.Drift >= 0 && r.Drift <= math.MaxFloat32 || r.Drift == -1):
		return setting("reference-drift", r.Drift, "want a number above 0, or 0 for no bound")
	case r.Drift > 0 && r.Refresh == 0:
		return setting("reference-drift", r.Drift, "needs --reference-refresh")
	}
	return r.checkWeights()
}

func (r *Reference) checkWeights() error {
	sum := 0.0
	for _, f := range r.Files {
		if !(f.Weight >= 0 && f.Weight <= 1) {
			return setting("reference-lora", fmt.Sprintf("%s=%v", f.Path, f.Weight), "want a weight from 0 to 1")
		}
		sum += f.Weight
	}
	if sum != 0 && math.Abs(sum-1) > 1e-6 {
		return setting("reference-lora", "", "the weights add up to %v; want 1, or leave all of them out for equal ones", sum)
	}
	return nil
}

// weights of the references, of which a default is an equal share.
func (r *Reference) weights() []float64 {
	out, sum := make([]float64, len(r.Files)), 0.0
	for i, f := range r.Files {
		out[i] = f.Weight
		sum += f.Weight
	}
	for i := range out {
		if sum == 0 {
			out[i] = 1 / float64(len(out))
		}
	}
	return out
}

// adapters are the files among the references, switched off.
func (r *Reference) adapters() []ldm.AdapterFile {
	var out []ldm.AdapterFile
	for _, f := range r.Files {
		if f.Path != BaseReference {
			out = append(out, ldm.AdapterFile{Path: f.Path})
		}
	}
	return out
}

// fixReference finds the anchors that never move.
func (t *Trainer) fixReference() error {
	t.fixed = []anchor{{weight: 1}}
	files := t.config.Reference.Files
	if len(files) > 0 {
		t.fixed = nil
	}
	adapter := 0
	for i, w := range t.config.Reference.weights() {
		a := anchor{weight: w}
		if files[i].Path != BaseReference {
			adapter++
			a.adapter = adapter
			networks := t.ldm.Adapters[adapter-1].Networks
			if len(networks) > 1 || networks[t.ldm.Denoiser] == nil {
				return setting("reference-lora", files[i].Path, "changes text encoders; a reference reads prompts by the model's own, so name a file of the denoiser alone")
			}
			sum := networks[t.ldm.Denoiser].Sum()
			a.id = sum[:]
		}
		t.fixed = append(t.fixed, a)
	}
	return nil
}

// referenceSettings are those that results depend on.
func (t *Trainer) referenceSettings(out map[string]string) {
	r := t.config.Reference
	var all []string
	for _, a := range t.fixed {
		name := BaseReference
		if a.id != nil {
			name = fmt.Sprintf("%x", a.id[:8])
		}
		all = append(all, fmt.Sprintf("%s=%v", name, a.weight))
	}
	if len(r.Files) > 0 {
		out["reference-lora"] = strings.Join(all, ",")
	}
	if r.Refresh > 0 {
		out["reference-refresh"], out["reference-momentum"], out["reference-drift"] = fmt.Sprint(r.Refresh), fmt.Sprint(r.Momentum), fmt.Sprint(r.Drift)
	}
}
