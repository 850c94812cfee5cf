package training

import (
	"context"
	"fmt"
	"math"
	"slices"

	"winnow/dpo"
)

// Selection says which pairs are learnt from, and when. All is decided before the first step.
type Selection struct {
	// Curriculum is the number of stages that the pairs are learnt in, those with the widest gap between their scores first (Curry-DPO). 0: one.
	Curriculum int
	// Clear keeps this share of the pairs, those that the reference agrees with most. 0: all.
	Clear float64
	// Unsure keeps this share of the pairs, those that the policy which the run begins with is least sure about. 0: all.
	Unsure float64
}

// selectionDraws is the number of timesteps and noises that a pair is measured at.
const selectionDraws = 4

func (c *Config) checkSelection(m *dpo.Method) error {
	s := &c.Selection
	own := m.Rejected && (m.Kind == dpo.KindPairs || m.Kind == dpo.KindInversion)
	for _, v := range []struct {
		flag  string
		value float64
		ok    bool
		want  string
	}{
		{"curriculum", float64(s.Curriculum), s.Curriculum >= 0 && s.Curriculum <= 1000, "0, for one stage, to 1000"},
		{"keep-clear", s.Clear, s.Clear >= 0 && s.Clear <= 1, "a share above 0, at most 1"},
		{"keep-unsure", s.Unsure, s.Unsure >= 0 && s.Unsure <= 1, "a share above 0, at most 1"},
	} {
		switch {
		case !v.ok:
			return setting(v.flag, v.value, "want %s", v.want)
		case v.value != 0 && !own:
			return setting(v.flag, v.value, "chooses among the pairs of data, and %s does not learn from both pictures of these; leave it out", m.Name)
		}
	}
	switch {
	case s.Clear > 0 && s.Unsure > 0:
		return setting("keep-unsure", s.Unsure, "keeps what --keep-clear throws away; give one of them")
	case s.Unsure > 0 && c.InitFrom == "":
		return setting("keep-unsure", s.Unsure, "a policy that is still its reference is equally unsure about all pairs; begin with one by --init-lora")
	}
	return nil
}

// choose drops the pairs that are not learnt from.
func (t *Trainer) choose(ctx context.Context, d *Data) error {
	s := t.config.Selection
	if s.Curriculum > 1 {
		for i, p := range d.Pairs {
			if math.IsNaN(p.Scores[0]) || math.IsNaN(p.Scores[1]) {
				return setting("curriculum", s.Curriculum, "pair %d (%q) has no scores to be ordered by; label the pictures by a reward (winnow label)", i+1, p.Prompt)
			}
		}
	}
	if s.Clear == 0 && s.Unsure == 0 {
		return nil
	}
	if d.Singles > 0 {
		flag, value := "keep-clear", s.Clear
		if s.Unsure > 0 {
			flag, value = "keep-unsure", s.Unsure
		}
		return setting(flag, value, "chooses among comparisons, and %d pictures were labelled by themselves; leave it out", d.Singles)
	}
	chosen, rejected, err := t.selectionErrors(ctx, d, &anchor{weight: 1})
	if err != nil {
		return err
	}
	var kept []int
	if s.Clear > 0 {
		kept = dpo.ClearPreferences(chosen, rejected, s.Clear)
	} else {
		c, r, err := t.selectionErrors(ctx, d, &anchor{weight: 1, factors: t.snapshot(), moves: true})
		if err != nil {
			return err
		}
		margins := make([]float64, len(c))
		for i := range margins {
			margins[i] = (chosen[i] - c[i]) - (rejected[i] - r[i])
		}
		kept = dpo.WorthAnnotating(margins, s.Unsure)
	}
	d.Unchosen = len(d.Pairs) - len(kept)
	for k, i := range kept {
		d.Pairs[k] = d.Pairs[i]
	}
	d.Pairs = d.Pairs[:len(kept)]
	return nil
}

// selectionErrors measures all pairs under one network, a few of one size at a time.
func (t *Trainer) selectionErrors(ctx context.Context, d *Data, a *anchor) (chosen, rejected []float64, err error) {
	chosen, rejected = make([]float64, len(d.Pairs)), make([]float64, len(d.Pairs))
	bySize := make([][]int, len(d.Sizes))
	for i, p := range d.Pairs {
		bySize[p.Size] = append(bySize[p.Size], i)
	}
	for size, all := range bySize {
		for some := range slices.Chunk(all, 4) {
			b, err := t.selectionBatch(ctx, d, some, d.Sizes[size])
			if err != nil {
				return nil, nil, err
			}
			errs, err := t.measure(ctx, b, a, nil)
			if err != nil {
				return nil, nil, err
			}
			for k, e := range errs {
				i := some[k/selectionDraws]
				chosen[i] += e.chosen / selectionDraws
				rejected[i] += e.rejected / selectionDraws
			}
		}
	}
	return chosen, rejected, nil
}

// selectionBatch is a batch of pairs, each at a few timesteps.
func (t *Trainer) selectionBatch(ctx context.Context, d *Data, places []int, size Size) (sample, error) {
	b, total := roomFor(t, size, len(places)*selectionDraws, true), t.scheduler.Schedule().Len()
	var prompts []string
	for _, i := range places {
		p := &d.Pairs[i]
		r := stream(t.config.Seed, "selection", p.ID[:])
		one := drawn{pair: p, prompt: p.Prompt, rng: r}
		var err error
		for _, v := range []struct {
			to  *[]float32
			key Key
		}{{&one.chosen, p.Chosen}, {&one.rejected, p.Rejected}} {
			if *v.to, err = t.pickLatents(ctx, v.key, t.latents(size), func(dst []float32) { normal(dst, r) }); err != nil {
				return nil, err
			}
		}
		steps := make([]int, selectionDraws)
		dpo.StratifiedTimesteps(steps, total, r.Float64)
		for k, at := range steps {
			if err := b.add(t, one, at); err != nil {
				return nil, err
			}
			prompts = append(prompts, p.Prompt)
			b.keys = append(b.keys, keyOf(t.origin, []byte("selection"), p.ID[:], fmt.Appendf(nil, "%d %d %v", t.config.Seed, k, t.config.Mode)))
		}
	}
	b.weight = nil // plain errors
	return b.finish(ctx, t, size, prompts, false)
}

// stages are the orders of a curriculum, one after another over the run, or the one order of all units.
func (s *pairs) stages(at []int) []*order {
	c, n := s.t.config, s.t.config.Selection.Curriculum
	if n < 2 {
		return []*order{newOrder(c.Seed, c.BatchSize, at)}
	}
	gaps := make([]float64, len(s.units))
	for i, u := range s.units {
		for _, k := range u {
			p := s.data.Pairs[k]
			gaps[i] = max(gaps[i], math.Abs(p.Scores[0]-p.Scores[1]))
		}
	}
	var out []*order
	for _, units := range dpo.CurriculumStages(dpo.CurriculumOrder(gaps), min(n, len(gaps))) {
		out = append(out, newOrderOf(c.Seed, c.BatchSize, at, units))
	}
	return out
}

// stage is the order that the i'th batch of the run follows, and the batch's number in it.
func (s *pairs) stage(i int) (*order, int) {
	n := len(s.orders)
	total := max(s.t.config.Steps*s.t.config.Accumulation, 1)
	k := min(i*n/total, n-1)
	first := (k*total + n - 1) / n // the least batch of the stage
	return s.orders[k], i - first
}
