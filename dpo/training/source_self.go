package training

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"

	"winnow/dpo"
	"winnow/internal/tensor"
	"winnow/sampling"
)

// Self are the settings of methods that learn against pictures of the policy's earlier states.
type Self struct {
	Steps     int     // of the sampler, the model's own; 20
	Guidance  float64 // guidance scale of the pictures; the model's own
	Snapshots int     // updates from one state that is kept to the next; the method's own
}

// selfPlay makes batches of chosen pictures and of pictures that an earlier state of the policy makes of their prompts. That state is
// the reference of the batch, too.
type selfPlay struct {
	*pairs
	plan *sampling.Plan
	// start is the noise that a pair's picture begins with, and where more of it comes from; it hangs on the pair alone.
	start func(dst []float32, p *Pair) *rand.Rand
}

func (t *Trainer) newSelf(d *Data) (*selfPlay, error) {
	plan, err := t.scheduler.Plan(t.config.Self.Steps, nil)
	if err != nil {
		return nil, err
	}
	if t.config.Self.Guidance == 0 {
		t.config.Self.Guidance = t.ldm.Defaults.GuidanceScale
	}
	return &selfPlay{t.newPairs(d), plan, func(dst []float32, p *Pair) *rand.Rand {
		r := stream(t.config.Seed, "self", p.ID[:])
		normal(dst, r)
		return r
	}}, nil
}

func (s *selfPlay) fingerprint() string {
	return fmt.Sprintf("%s, %+v", s.pairs.fingerprint(), s.t.config.Self)
}

// keepSnapshot keeps the policy where that is due, ahead of an update. The first state is the one that the run began with: where that is the
// base model it is not kept.
func (t *Trainer) keepSnapshot() {
	every := t.config.Self.Snapshots
	if t.method.Kind == dpo.KindSelf && t.done%every == 0 && t.states() < 1+t.done/every {
		t.snapshots = append(t.snapshots, t.snapshot())
	}
}

// states is the number of earlier states.
func (t *Trainer) states() int {
	if t.config.InitFrom == "" {
		return 1 + len(t.snapshots)
	}
	return len(t.snapshots)
}

// opponent chooses the state that the i'th batch is against.
func (s *selfPlay) opponent(i int) anchor {
	n := s.t.states()
	back := 1 // of the states, from the latest
	if s.t.method.Opponents == dpo.OpponentAny {
		back = n - stream(s.t.config.Seed, "opponent", nil, i).IntN(n)
	}
	a := anchor{weight: 1, moves: true}
	if k := len(s.t.snapshots) - back; k >= 0 {
		a.factors = s.t.snapshots[k]
	}
	return a
}

func (s *selfPlay) batch(ctx context.Context, i int) (sample, error) {
	places, _, epoch := s.pick(i)
	var all []drawn
	for _, place := range places {
		d, err := s.draw(ctx, place, epoch)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	a, size := s.opponent(i), s.data.Sizes[s.data.Pairs[places[0]].Size]
	if err := s.oppose(ctx, all, &a, size); err != nil {
		return nil, err
	}
	b := newDenoising(s.t, size, len(all)*s.t.draws)
	b.own = []anchor{a}
	var prompts []string
	for _, d := range all {
		steps := make([][]int, s.t.draws)
		s.t.levels(steps, d.rng)
		for _, at := range steps {
			if err := b.add(s.t, d, at...); err != nil {
				return nil, err
			}
			prompts = append(prompts, d.prompt)
		}
	}
	return b.finish(ctx, s.t, size, prompts, false)
}

// oppose fills in the pictures of the opponent, from the cache where it has them.
func (s *selfPlay) oppose(ctx context.Context, all []drawn, a *anchor, size Size) error {
	t := s.t
	id, n := t.stateOf(a), t.latents(size)
	keys := make([]Key, len(all))
	var missing []int
	for i, d := range all {
		c := t.config
		settings := fmt.Sprintf("%d %v %dx%d %d", c.Self.Steps, c.Self.Guidance, size.Width, size.Height, c.Seed)
		keys[i] = keyOf(t.origin, []byte("self"), id[:], []byte(d.pair.Prompt), d.pair.ID[:], []byte(settings))
		v, ok, err := t.cache.Get(ctx, keys[i], n)
		if err != nil {
			return err
		}
		if all[i].rejected = v; !ok {
			missing = append(missing, i)
		} else {
			t.recalled += s.evaluations()
		}
	}
	if len(missing) == 0 {
		return nil
	}
	made, err := s.generate(ctx, all, missing, a, size)
	if err != nil {
		return err
	}
	return t.cache.Batch(ctx, func() error {
		for k, i := range missing {
			all[i].rejected = made[k*n : (k+1)*n]
			if err := t.cache.Put(ctx, keys[i], all[i].rejected); err != nil {
				return err
			}
		}
		return nil
	})
}

// evaluations of the denoiser are what one picture takes.
func (s *selfPlay) evaluations() int64 {
	if s.t.config.Self.Guidance > 1 {
		return 2 * int64(s.plan.Len())
	}
	return int64(s.plan.Len())
}

// generate makes latents of some prompts by the opponent, each from noise that hangs on the pair alone.
func (s *selfPlay) generate(ctx context.Context, all []drawn, some []int, a *anchor, size Size) ([]float32, error) {
	t, n := s.t, s.t.latents(size)
	noise := make([]float32, len(some)*n)
	var prompts []string
	var sources []*rand.Rand
	for k, i := range some {
		sources = append(sources, s.start(noise[k*n:(k+1)*n], all[i].pair))
		prompts = append(prompts, all[i].pair.Prompt)
	}
	reader, off := "", map[string]float32{}
	for _, name := range t.method.Adapters {
		off[name] = 0
	}
	if a.factors != nil {
		defer t.exchange(a.factors)()
		reader, off = t.method.Adapters[0], nil
	}
	g, err := t.guide(ctx, prompts, size, t.config.Self.Guidance, reader)
	if err != nil {
		return nil, err
	}
	g.adapters = off
	return sampling.Sample(ctx, s.plan, noise, len(some), g.denoise, &sampling.Options{Noise: func(dst []float32, _, _ float64) {
		for k, r := range sources {
			normal(dst[k*n:(k+1)*n], r)
		}
	}})
}

// stateOf tells states of the policy apart, for the cache: by the factors and what they are factors of.
func (t *Trainer) stateOf(a *anchor) [sha256.Size]byte {
	h := sha256.New()
	if a.factors != nil {
		c := t.config
		fmt.Fprintf(h, "%d %v %v %v %v %v %v\n", c.Rank, c.Alpha, c.Targets, c.Ranks, c.RSLoRA, c.TrainText, c.TextTargets)
	}
	for i, v := range a.factors {
		fmt.Fprintf(h, "%s\n", t.params[i].Name)
		h.Write(tensor.FromF32(v, len(v)).Data)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// saveSnapshots adds the states that are kept to the state of the run.
func (t *Trainer) saveSnapshots(out map[string]tensor.Tensor) {
	for k, factors := range t.snapshots {
		for i, v := range factors {
			out[snapshotName(k)+"."+t.params[i].Name] = tensor.FromF32(v, t.params[i].Shape...)
		}
	}
}

func snapshotName(k int) string { return fmt.Sprintf("snapshot%d", k+1) }

// maxSnapshots bounds what a damaged checkpoint may ask for.
const maxSnapshots = 1 << 20

// readSnapshots finds n states in the state of a run.
func (t *Trainer) readSnapshots(parts map[string]map[string]tensor.Tensor, n int) ([][][]float32, error) {
	if n < 0 || n > maxSnapshots || n > 0 && t.method.Kind != dpo.KindSelf {
		return nil, fmt.Errorf("%d snapshots do not go with %s", n, t.method.Name)
	}
	var out [][][]float32
	for k := range n {
		factors, err := t.factorsIn(snapshotName(k), parts)
		if err != nil {
			return nil, err
		}
		out = append(out, factors)
	}
	return out, nil
}
