package training

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"winnow/dpo"
	"winnow/internal/optim"
	"winnow/sampling"
)

// aloof opens a trainer of the embedded model whose factors are far from those of a fresh run, so that policy and reference differ.
func aloof(t *testing.T, c Config) *Trainer {
	t.Helper()
	c.Rank, c.Seed, c.Steps, c.MaxGradNorm, c.Targets = 2, 3, 10, -1, []string{"attn2.to_v", "attn1.to_out.0"}
	tr := open(t, c)
	r := rand.New(rand.NewPCG(1, 2))
	for _, p := range tr.params {
		for i := range p.Value {
			p.Value[i] = float32(0.2 * r.NormFloat64())
		}
	}
	return tr
}

// madeUp draws the clean latents of n pairs.
func madeUp(tr *Trainer, n int) []drawn {
	r := rand.New(rand.NewPCG(3, 4))
	prompts := []string{"a red circle", "", "two green stars", "a blue square"}
	out := make([]drawn, n)
	for i := range out {
		size := tr.latents(tr.size)
		d := drawn{pair: &Pair{Label: []float64{0.9, 0.7}[i%2], ID: Key{byte(i)}}, prompt: prompts[i%len(prompts)]}
		d.chosen, d.rejected = make([]float32, size), make([]float32, size)
		normal(d.chosen, r)
		normal(d.rejected, r)
		out[i] = d
	}
	return out
}

// noisedBatch is a batch of pairs, with draws of noise that hang on the pair alone.
func noisedBatch(t *testing.T, tr *Trainer, all []drawn, keys bool) sample {
	t.Helper()
	b := newDenoising(tr, tr.size, len(all)*tr.draws)
	var prompts []string
	var steps []float32
	for _, d := range all {
		steps = append(steps, (&pairs{t: tr}).stepNoise(d, 0)...)
		d.rng = rand.New(rand.NewPCG(5, uint64(d.pair.ID[0])))
		for k := range tr.draws {
			if err := b.add(tr, d, 100+d.rng.IntN(800)); err != nil {
				t.Fatal(err)
			}
			prompts = append(prompts, d.prompt)
			if keys {
				b.keys = append(b.keys, keyOf(d.pair.ID[:], []byte{byte(k)}))
			}
		}
	}
	s, err := b.finish(t.Context(), tr, tr.size, prompts, false)
	if err == nil && tr.method.Features {
		s, err = tr.perceive(b, steps)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// batchOf is a batch of whatever kind the method learns from.
func batchOf(t *testing.T, tr *Trainer, all []drawn) sample {
	t.Helper()
	switch tr.method.Kind {
	case dpo.KindInversion:
		inv, err := tr.newInversion(&Data{Pairs: []Pair{{}}, Sizes: []Size{tr.size}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := inv.at(t.Context(), tr.size, all, []int{2, 1, 2, 3}[:len(all)])
		if err != nil {
			t.Fatal(err)
		}
		return s
	case dpo.KindSiblings:
		sib, err := tr.newSiblings()
		if err != nil {
			t.Fatal(err)
		}
		var tuples []tuple
		var prompts []string
		for i, d := range all {
			from := make([]float32, len(d.chosen))
			normal(from, rand.New(rand.NewPCG(6, uint64(d.pair.ID[0]))))
			tuples, prompts = append(tuples, tuple{prompt: i, step: 1 + i%4, from: from, best: d.chosen, worst: d.rejected}), append(prompts, d.prompt)
		}
		s, err := sib.collect(t.Context(), prompts, tuples)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return noisedBatch(t, tr, all, false)
}

// gradientOf is the derivative of the mean loss of batches, by factor one after another, and the loss.
func gradientOf(t *testing.T, tr *Trainer, batches ...sample) ([]float32, Metrics) {
	t.Helper()
	var m Metrics
	optim.ZeroGrad(tr.params)
	tr.config.Accumulation = len(batches)
	for _, s := range batches {
		if err := tr.learn(t.Context(), s, &m); err != nil {
			t.Fatal(err)
		}
	}
	m.mean(len(batches))
	var all []float32
	for _, p := range tr.params {
		all = append(all, p.Grad...)
	}
	return all, m
}

func methodConfig(m dpo.Method) Config {
	c := Config{
		Method: m.Name, Inversion: Inversion{Steps: 4}, Settings: dpo.Settings{Draws: min(m.Draws, 2)},
		Siblings: Siblings{Prompts: []string{"a"}, Reward: byRedness(), Steps: 6, Learn: 2, Skip: -1, Threshold: -1, Guidance: 3},
	}
	if m.Beta > 0 { // margins are large here
		c.Settings.Beta = 2
	}
	return c
}

// The derivative is that of the loss: moving the factors along it, and along a random direction, changes the loss as it says.
func TestGradient_differences(t *testing.T) {
	for _, name := range []string{"dpo", "chats", "tailorpo", "smpo", "ncp"} {
		t.Run(name, func(t *testing.T) {
			m, err := dpo.FindMethod(name)
			if err != nil {
				t.Fatal(err)
			}
			tr := aloof(t, methodConfig(m))
			s := batchOf(t, tr, madeUp(tr, 2))
			lengthen(t, s)
			grad, _ := gradientOf(t, tr, s)
			r := rand.New(rand.NewPCG(7, 8))
			random := make([]float32, len(grad))
			normal(random, r)
			for name, along := range map[string][]float32{"gradient": grad, "random": random} {
				length := math.Sqrt(dot(along, along))
				want := dot(grad, along) / length
				// A step of 0.04 of factors of about 0.2 · √n moves the loss by far more than float32 rounds it, and leaves a third-order
				// rest that Richardson's extrapolation takes out.
				difference := func(h float64) float64 {
					return (lossAt(t, tr, s, along, h/length) - lossAt(t, tr, s, along, -h/length)) / (2 * h)
				}
				h := 0.04
				if m.Features { // whose errors bend more
					h = 0.01
				}
				got := (4*difference(h) - difference(2*h)) / 3
				if scale := math.Sqrt(dot(grad, grad)); math.Abs(got-want) > 1e-4*scale {
					t.Errorf("along the %s the derivative is %v, differences say %v", name, want, got)
				}
			}
		})
	}
}

// lengthen lets features be looked at behind steps to half of the timestep: a single step is so short that the difference of features is mostly
// rounding once differences of losses are taken.
func lengthen(t *testing.T, s sample) {
	t.Helper()
	p, ok := s.(*perceived)
	if !ok {
		return
	}
	for row, at := range p.in.t {
		schedule := p.by.(*Trainer).scheduler.Schedule()
		var err error
		if p.steps[row], err = sampling.Epsilon.Posterior(schedule.AlphaBar(int(at)), schedule.AlphaBar(int(at)/2)); err != nil {
			t.Fatal(err)
		}
	}
}

// lossAt is the loss with the factors moved along a direction.
func lossAt(t *testing.T, tr *Trainer, s sample, along []float32, by float64) float64 {
	t.Helper()
	before, at := [][]float32{}, 0
	for _, p := range tr.params {
		before = append(before, slices.Clone(p.Value))
		for i := range p.Value {
			p.Value[i] += float32(by * float64(along[at]))
			at++
		}
	}
	var m Metrics
	ref, err := tr.reference(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	in := s.rows()
	cond, out := in.cond, make([]float32, len(in.x))
	cond.Scales = in.policy
	if cond, err = tr.policyText(t.Context(), in, cond); err == nil {
		err = tr.predict(t.Context(), out, in, cond)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := look(t.Context(), s, out, true); err != nil {
		t.Fatal(err)
	}
	tr.lose(s, ref, out, &m)
	for i, p := range tr.params {
		copy(p.Value, before[i])
	}
	return m.Loss
}

// A pair of equal pictures has no margin, exactly, and what its halves say about the factors cancels but for the rounding of sums over
// rows. One that is swapped teaches the opposite where policy and reference agree.
func TestGradient_pairs(t *testing.T) {
	for _, name := range []string{"dpo", "smpo", "tailorpo", "spo", "ncp"} {
		t.Run(name, func(t *testing.T) {
			m, err := dpo.FindMethod(name)
			if err != nil {
				t.Fatal(err)
			}
			tr := aloof(t, methodConfig(m))
			all := madeUp(tr, 2)
			for i := range all {
				all[i].rejected = all[i].chosen
			}
			grad, got := gradientOf(t, tr, batchOf(t, tr, all))
			most := 0.0
			for _, v := range grad {
				most = max(most, math.Abs(float64(v)))
			}
			if got.Margin != 0 || got.Loss != math.Ln2 {
				t.Errorf("equal pictures: margin %g, loss %v", got.Margin, got.Loss)
			}
			for _, p := range tr.params { // where policy and reference agree
				if strings.HasSuffix(p.Name, ".lora_B.weight") {
					clear(p.Value)
				}
			}
			all = madeUp(tr, 2)
			there, _ := gradientOf(t, tr, batchOf(t, tr, all))
			for i := range all {
				all[i].chosen, all[i].rejected = all[i].rejected, all[i].chosen
			}
			back, _ := gradientOf(t, tr, batchOf(t, tr, all))
			for i := range back {
				back[i] = -back[i]
			}
			if d := apart(back, there); d > 1e-5 {
				t.Errorf("swapped pairs: off by %.1e of the opposite", d)
			}
			if most > 1e-6*math.Sqrt(dot(there, there)) {
				t.Errorf("equal pictures: derivative %g", most)
			}
		})
	}
}

// Batches may be cut and ordered in any way, and activations computed again on the way back give the same bits.
func TestGradient_batches(t *testing.T) {
	for _, name := range []string{"dpo", "chats", "vrpo", "ncp"} {
		t.Run(name, func(t *testing.T) {
			m, err := dpo.FindMethod(name)
			if err != nil {
				t.Fatal(err)
			}
			tr := aloof(t, methodConfig(m))
			all := madeUp(tr, 4)
			s := batchOf(t, tr, all)
			whole, one := gradientOf(t, tr, s)
			slices.Reverse(all)
			turned, two := gradientOf(t, tr, batchOf(t, tr, all))
			if d := apart(turned, whole); d > 1e-6 || math.Abs(one.Loss-two.Loss) > 1e-6*one.Loss {
				t.Errorf("other order: gradient off by %.1e, loss %v and %v", d, two.Loss, one.Loss)
			}
			parts, two := gradientOf(t, tr, batchOf(t, tr, all[:2]), batchOf(t, tr, all[2:]))
			if d := apart(parts, whole); d > 1e-6 || math.Abs(one.Loss-two.Loss) > 1e-6*one.Loss {
				t.Errorf("two batches of two: gradient off by %.1e, loss %v and %v", d, two.Loss, one.Loss)
			}
			if name != "dpo" && name != "ncp" {
				return
			}
			tr.config.Checkpoint = true
			again, two := gradientOf(t, tr, s)
			if !slices.Equal(again, whole) || one.Loss != two.Loss {
				t.Errorf("activations computed again: gradient off by %.1e, loss %v and %v", apart(again, whole), two.Loss, one.Loss)
			}
		})
	}
}

// The reference's errors from the cache are the computed ones bit for bit, and are looked up, not computed.
func TestReference_cache(t *testing.T) {
	m, err := dpo.FindMethod("dpo")
	if err != nil {
		t.Fatal(err)
	}
	tr := aloof(t, methodConfig(m))
	s := noisedBatch(t, tr, madeUp(tr, 3), true)
	computed, err := tr.reference(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := gradientOf(t, tr, s)
	// Other latents under the same keys: only the cache can give the same errors.
	other := noisedBatch(t, tr, madeUp(tr, 3), true)
	for i := range other.rows().x {
		other.rows().x[i] = 0
	}
	cached, err := tr.reference(t.Context(), other)
	if err != nil || !slices.Equal(cached, computed) {
		t.Errorf("cached %v, computed %v, %v", cached, computed, err)
	}
	second, _ := gradientOf(t, tr, s)
	if !slices.Equal(first, second) {
		t.Errorf("gradients with the cached reference are off by %.1e", apart(second, first))
	}
	fresh := noisedBatch(t, tr, madeUp(tr, 3), false)
	third, _ := gradientOf(t, tr, fresh)
	if !slices.Equal(first, third) {
		t.Errorf("gradients without a cache are off by %.1e", apart(third, first))
	}
}
