package training

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"winnow/dpo"
)

var errLost = errors.New("the training cache has lost entries since the run began; start it again")

// source gives the batches of a run. The i'th depends on nothing but i, the settings, and the policy where it samples from that.
type source interface {
	batch(ctx context.Context, i int) (sample, error)
	// epoch is how often the data have been seen after i batches.
	epoch(i int) float64
	// fingerprint tells data apart.
	fingerprint() string
}

// pairs makes batches of noised pictures: timestep and noise are drawn for each pair, and its two pictures share them.
type pairs struct {
	t      *Trainer
	data   *Data
	units  [][]int  // pairs that stay together: the pairs of a row for losses that rank all its pictures, else single ones
	orders []*order // of units, of each stage of a curriculum; usually one
}

func (t *Trainer) newPairs(d *Data) *pairs {
	s := &pairs{t: t, data: d}
	var at []int
	for i, p := range d.Pairs {
		if n := len(s.units); t.loss.Groups && n > 0 && d.Pairs[s.units[n-1][0]].Group == p.Group {
			s.units[n-1] = append(s.units[n-1], i)
			continue
		}
		s.units, at = append(s.units, []int{i}), append(at, p.Size)
	}
	s.orders = s.stages(at)
	return s
}

// pick gives the pairs of a batch, where each is in the data and the place of its unit in the batch.
func (s *pairs) pick(i int) (places, groups []int, epoch int) {
	o, i := s.stage(i)
	units, epoch := o.pick(i)
	for k, u := range units {
		for _, place := range s.units[u] {
			places, groups = append(places, place), append(groups, k)
		}
	}
	return places, groups, epoch
}

func (s *pairs) epoch(i int) float64 {
	n := 0
	for _, o := range s.orders {
		n += o.perEpoch()
	}
	return float64(i) / float64(n)
}

func (s *pairs) fingerprint() string {
	h := sha256.New()
	for _, p := range s.data.Pairs {
		h.Write(p.ID[:])
		fmt.Fprintf(h, "%v %d\n", p.Label, p.Size)
	}
	return fmt.Sprintf("%d pairs %x", len(s.data.Pairs), h.Sum(nil)[:8])
}

// drawn is what chance decides about a pair in an epoch.
type drawn struct {
	pair             *Pair
	prompt           string
	other            string // prompt of the rejected picture
	group            int    // pairs of a batch with the same number are of one row
	mirrored         bool
	chosen, rejected []float32 // clean latents
	rng              *rand.Rand
}

// draw reads a pair.
func (s *pairs) draw(ctx context.Context, i, epoch int) (drawn, error) {
	p := &s.data.Pairs[i]
	n := s.t.latents(s.data.Sizes[p.Size])
	d := drawn{pair: p, prompt: p.Prompt, other: cmp.Or(p.Other, p.Prompt), rng: stream(s.t.config.Seed, "noise", p.ID[:], epoch)}
	if stream(s.t.config.Seed, "drop", p.ID[:], epoch).Float64() < s.t.config.Dropout {
		d.prompt, d.other = "", ""
	}
	keys := [2]Key{p.Chosen, p.Rejected}
	if s.t.config.RandomFlip && stream(s.t.config.Seed, "flip", p.ID[:], epoch).Float64() < 0.5 {
		d.mirrored, keys = true, p.Mirrored
	}
	vae := stream(s.t.config.Seed, "vae", p.ID[:], epoch)
	noise := func(dst []float32) { normal(dst, vae) }
	var err error
	if d.chosen, err = s.t.pickLatents(ctx, keys[0], n, noise); err != nil || !s.t.ownsRejected() {
		return d, err
	}
	d.rejected, err = s.t.pickLatents(ctx, keys[1], n, noise)
	return d, err
}

func (s *pairs) batch(ctx context.Context, i int) (sample, error) {
	t := s.t
	places, groups, epoch := s.pick(i)
	size := s.data.Sizes[s.data.Pairs[places[0]].Size]
	b := newDenoising(t, size, len(places)*t.draws)
	var prompts, others []string
	var steps []float32 // noises of the steps that features are looked at behind
	for i, place := range places {
		d, err := s.draw(ctx, place, epoch)
		if err != nil {
			return nil, err
		}
		d.group = groups[i]
		steps = append(steps, s.stepNoise(d, epoch)...)
		levels := make([][]int, t.draws)
		t.levels(levels, d.rng)
		for k, at := range levels {
			if err := b.add(t, d, at...); err != nil {
				return nil, err
			}
			prompts, others = append(prompts, d.prompt), append(others, d.other)
			b.keys = append(b.keys, s.key(d, epoch, k))
		}
	}
	if !slices.Equal(prompts, others) {
		b.others = others
	}
	out, err := b.finish(ctx, t, size, prompts, s.null(i))
	if err != nil || !t.method.Features {
		return out, err
	}
	return t.perceive(b, steps)
}

// ownsRejected reports whether rejected pictures are those of the data.
func (t *Trainer) ownsRejected() bool { return t.method.Rejected && t.method.Kind != dpo.KindSelf }

// null says whether the rejected pictures of a batch go without their prompts.
func (s *pairs) null(i int) bool {
	return s.t.method.NullRejected > 0 && stream(s.t.config.Seed, "null", nil, i).Float64() < s.t.method.NullRejected
}

// key is where the reference's errors of a draw are kept.
func (s *pairs) key(d drawn, epoch, draw int) Key {
	var seed [8]byte
	binary.LittleEndian.PutUint64(seed[:], s.t.config.Seed)
	parts := [][]byte{s.t.origin, []byte("reference"), s.t.kind(), d.pair.ID[:], []byte(d.prompt), seed[:], {byte(epoch), byte(epoch >> 8), byte(epoch >> 16), byte(draw), byte(draw >> 8)}}
	if d.mirrored {
		parts = append(parts, []byte("mirrored"))
	}
	return keyOf(parts...)
}

// kind is what else the reference's errors depend on.
func (t *Trainer) kind() []byte {
	var b []byte
	for _, v := range []float64{float64(t.draws), t.config.SNRGamma, t.method.NullRejected} {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	if t.config.Mode {
		b = append(b, 1)
	}
	switch t.config.TimestepSampling {
	case logitNormalLevels:
		for _, v := range []float64{t.config.LogitMean, t.config.LogitStd} {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
	case geometricLevels:
		b = binary.LittleEndian.AppendUint64(append(b, geometricLevels...), math.Float64bits(t.config.LevelDecay))
	}
	if t.method.Features {
		b = append(b, "features"...)
	}
	if t.method.Independent {
		b = append(b, "independent"...)
	}
	if t.config.TimestepWeighting == inverseSNR {
		b = append(b, inverseSNR...)
	}
	return b
}

// newDenoising makes room for pairs.
func newDenoising(t *Trainer, size Size, n int) *denoising {
	return roomFor(t, size, n, t.method.Rejected)
}

// roomFor makes room for pairs, or for their chosen pictures alone.
func roomFor(t *Trainer, size Size, n int, both bool) *denoising {
	rowsOf := n
	if both {
		rowsOf = 2 * n
	}
	h, w := size.Height/t.ldm.Factor, size.Width/t.ldm.Factor
	total := rowsOf * t.latents(size)
	return &denoising{
		in:     rows{n: rowsOf, height: h, width: w, x: make([]float32, total), t: make([]float64, rowsOf)},
		target: make([]float32, total), both: both, dot: t.method.Dot,
	}
}

// add noises the pictures of a pair to a timestep, which they share like the noise, or to one each.
func (b *denoising) add(t *Trainer, d drawn, at ...int) error {
	noise := make([][]float32, len(at))
	for k := range noise {
		noise[k] = make([]float32, len(d.chosen))
		normal(noise[k], d.rng)
	}
	return b.put(t, d, at, noise)
}

// put is add with the noise given.
func (b *denoising) put(t *Trainer, d drawn, all []int, noises [][]float32) error {
	schedule, kind := t.scheduler.Schedule(), t.scheduler.Config().PredictionType
	half := b.in.n
	if b.both {
		half /= 2
	}
	for k, clean := range [][]float32{d.chosen, d.rejected}[:b.in.n/half] {
		row, k := k*half+b.pairs, min(k, len(all)-1)
		at, noise := all[k], noises[k]
		schedule.AddNoise(b.part(b.in.x, row), clean, noise, at)
		if err := kind.Target(b.part(b.target, row), clean, noise, schedule.AlphaBar(at)); err != nil {
			return err
		}
		b.in.t[row] = schedule.At(at)
		w, err := t.weight(at)
		if err != nil {
			return err
		}
		b.setWeight(row, w)
	}
	b.pairs++
	b.mark(d)
	return nil
}

// finish adds the prompts.
func (b *denoising) finish(ctx context.Context, t *Trainer, size Size, prompts []string, null bool) (sample, error) {
	e, err := t.embed(ctx, prompts)
	if err != nil {
		return nil, err
	}
	others := prompts
	if b.both {
		other := e
		if b.others != nil {
			others = b.others
			if other, err = t.embed(ctx, others); err != nil {
				return nil, err
			}
		}
		if null {
			other = t.null.Pick(make([]int, len(prompts)))
			for i, k := range b.keys {
				b.keys[i] = keyOf(k[:], []byte("null"))
			}
		}
		if e, err = e.Stack(other); err != nil {
			return nil, err
		}
	}
	b.in.cond = t.cond(e, size)
	if t.config.TrainText {
		b.in.text = readings(prompts)
		if b.both {
			b.in.text = append(b.in.text, readings(others)...)
			for i := range prompts {
				b.in.text[len(prompts)+i].zeros = null
			}
		}
	}
	b.in.policy = t.adapted(b.pairs, b.in.n)
	return b, nil
}
