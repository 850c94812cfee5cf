package training

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"winnow/dpo"
	"winnow/internal/tensor"
)

// moving is a reference that follows the policy.
type moving struct {
	factors [][]float32 // nil: still the base model
	last    [][]float32 // the policy at the last refresh, or at first; nil without momentum
	at      referenceState
}

// referenceState is what checkpoints say about a reference that moves, besides its factors.
type referenceState struct {
	Step   int     `json:"step,omitempty"` // of the last candidate
	Copies int     `json:"copies,omitempty"`
	Frozen bool    `json:"frozen,omitempty"` // a candidate was out of bounds, and no other is asked for
	Drift  float64 `json:"drift,omitempty"`  // of the last candidate, where there is a bound
}

// driftPictures is the number of chosen pictures that a candidate is measured on.
const driftPictures = 8

// newMoving is nil where the reference stays.
func (t *Trainer) newMoving() *moving {
	r := t.config.Reference
	switch {
	case r.Refresh == 0:
		return nil
	case r.Momentum > 0:
		return &moving{last: t.snapshot()}
	}
	return &moving{}
}

// follow lets the reference follow the policy, ahead of an update. A run that ends in the middle of the update finds in its checkpoint
// that this has been done.
func (t *Trainer) follow(ctx context.Context) error {
	m, r := t.moving, t.config.Reference
	if m == nil || m.at.Frozen || t.done%r.Refresh != 0 || t.done == m.at.Step {
		return nil
	}
	now := t.snapshot()
	candidate := now
	if r.Momentum > 0 {
		candidate = beyond(now, m.last, r.Momentum)
	}
	at := m.at
	at.Step = t.done
	if r.Drift > 0 {
		before := t.evaluations()
		drift, err := t.drift(ctx, candidate)
		t.recalled -= t.evaluations() - before // a run that goes on from here does not do this again
		if err != nil {
			return err
		}
		if at.Drift = drift; !(drift <= r.Drift) {
			at.Frozen = true
			m.at = at
			t.logger().Info("the reference stays what it is from here on", "step", t.done, "drift", drift, "bound", r.Drift)
			return nil
		}
	}
	at.Copies++
	m.factors, m.at = candidate, at
	if r.Momentum > 0 {
		m.last = now
	}
	return nil
}

// beyond goes on from now by a share of the way from before. It is that of the factors: their product, which is what the network
// sees, goes on by the same share up to the product of both factors' changes.
func beyond(now, before [][]float32, share float64) [][]float32 {
	out := make([][]float32, len(now))
	for i, v := range now {
		out[i] = make([]float32, len(v))
		for k, x := range v {
			out[i][k] = float32(float64(x) + share*(float64(x)-float64(before[i][k])))
		}
	}
	return out
}

// drift is how much worse than the base model a candidate is at chosen pictures: the difference of the errors at timesteps drawn evenly, times
// the number of timesteps, which is that of two divergences from the noising process up to their weights.
func (t *Trainer) drift(ctx context.Context, candidate [][]float32) (float64, error) {
	from, ok := t.source.(interface {
		winners(ctx context.Context, n, visit int) (sample, error)
	})
	if !ok {
		return 0, fmt.Errorf("--reference-drift: %s has no chosen pictures to measure on; leave the flag out", t.method.Name)
	}
	s, err := from.winners(ctx, driftPictures, t.done)
	if err != nil {
		return 0, err
	}
	mean := func(a anchor) (float64, error) {
		errs, err := t.measure(ctx, s, &a, nil)
		sum := 0.0
		for _, e := range errs {
			sum += e.chosen / float64(len(errs))
		}
		return sum, err
	}
	now, err := mean(anchor{factors: candidate, moves: true})
	if err != nil {
		return 0, err
	}
	base, err := mean(anchor{moves: true})
	return float64(t.scheduler.Schedule().Len()) * (now - base), err
}

// winners are chosen pictures, noised to timesteps drawn evenly.
func (s *pairs) winners(ctx context.Context, n, visit int) (sample, error) {
	t, r := s.t, stream(s.t.config.Seed, "drift", nil, visit)
	places := r.Perm(len(s.data.Pairs))
	of := s.data.Pairs[places[0]].Size
	places = slices.DeleteFunc(places, func(i int) bool { return s.data.Pairs[i].Size != of })
	places = places[:min(n, len(places))]
	size := s.data.Sizes[of]
	b := roomFor(t, size, len(places), false)
	var prompts []string
	for _, i := range places {
		p := &s.data.Pairs[i]
		clean, err := t.pickLatents(ctx, p.Chosen, t.latents(size), func(dst []float32) { normal(dst, r) })
		if err != nil {
			return nil, err
		}
		if err := b.add(t, drawn{pair: p, chosen: clean, rng: r}, r.IntN(t.scheduler.Schedule().Len())); err != nil {
			return nil, err
		}
		prompts = append(prompts, p.Prompt)
	}
	b.weight = nil // the drift is one of plain errors
	return b.finish(ctx, t, size, prompts, false)
}

// saveReference adds the factors of a moving reference to the state.
func (t *Trainer) saveReference(out map[string]tensor.Tensor) {
	if t.moving == nil {
		return
	}
	for part, factors := range map[string][][]float32{"reference": t.moving.factors, "before": t.moving.last} {
		for i, v := range factors {
			out[part+"."+t.params[i].Name] = tensor.FromF32(v, t.params[i].Shape...)
		}
	}
}

// readReference finds the factors of a moving reference in a state; what is missing is the base model.
func (t *Trainer) readReference(parts map[string]map[string]tensor.Tensor, at referenceState) (*moving, error) {
	if t.moving == nil {
		return nil, nil
	}
	m := &moving{at: at}
	var err error
	if t.config.Reference.Momentum > 0 {
		if m.last, err = t.factorsIn("before", parts); err != nil {
			return nil, err
		}
	}
	if at.Copies > 0 {
		m.factors, err = t.factorsIn("reference", parts)
	}
	return m, err
}

// factorsIn reads one part of a state, a set of all factors.
func (t *Trainer) factorsIn(part string, parts map[string]map[string]tensor.Tensor) ([][]float32, error) {
	var out [][]float32
	for _, p := range t.params {
		name := part + "." + p.Name
		v, ok := parts[part][p.Name]
		switch {
		case !ok:
			return nil, fmt.Errorf("tensor %q is missing", name)
		case !slices.Equal(v.Shape, p.Shape) || v.DType != tensor.F32:
			return nil, fmt.Errorf("tensor %q is %v%v, want %v%v", name, v.DType, v.Shape, tensor.F32, p.Shape)
		}
		for i, x := range v.F32() {
			if x-x != 0 {
				return nil, fmt.Errorf("tensor %q: element %d is %v", name, i, x)
			}
		}
		out = append(out, slices.Clone(v.F32()))
	}
	return out, nil
}

// moves settles whether the reference follows the policy, by the settings or by the method.
func (c *Config) moves(m *dpo.Method) {
	r := &c.Reference
	if r.Refresh == 0 && len(r.Files) == 0 {
		r.Refresh = m.Refresh
	}
	if r.Refresh > 0 && r.Drift == 0 {
		r.Drift = m.DriftBound
	}
}

func (t *Trainer) logger() *slog.Logger {
	if t.config.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return t.config.Logger
}
