package training

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"winnow/dpo"
	"winnow/sampling"
)

// siblings makes batches from the policy's own paths: several samples of one step of a sampler that adds noise start from the same
// latents, and a reward of what each would become says which is better (TailorPO, Ren et al., ICLR 2025).
type siblings struct {
	t     *Trainer
	plan  *sampling.Plan
	order *order
	learn []int // steps that can be learnt from
	steps int   // so many of them in each path
}

func (t *Trainer) newSiblings() (*siblings, error) {
	if err := t.checkOwn(); err != nil {
		return nil, err
	}
	s := &siblings{t: t, order: newOrder(t.config.Seed, t.config.BatchSize, make([]int, len(t.config.Siblings.Prompts)))}
	var err error
	if s.plan, err = t.ownPlan(); err != nil {
		return nil, err
	}
	s.learn, s.steps, err = t.ownSteps(s.plan, s.plan.Len()-1) // what a sample of the last step becomes, it is
	return s, err
}

func (s *siblings) epoch(i int) float64 { return float64(i) / float64(s.order.perEpoch()) }

func (s *siblings) fingerprint() string {
	c := s.t.config.Siblings
	sum := sha256.Sum256([]byte(strings.Join(c.Prompts, "\x00")))
	out := fmt.Sprintf("%d prompts %x, reward %s, %d steps, %d learnt, first %d, guidance %v, %d siblings, continue %s, gradient %v",
		len(c.Prompts), sum[:8], c.Reward.Name, c.Steps, s.steps, c.First, c.Guidance, c.Count, c.Continue, c.Gradient)
	if c.Skip > 0 || c.Threshold > 0 {
		out += fmt.Sprintf(", skip %d, threshold %v", max(c.Skip, 0), max(c.Threshold, 0))
	}
	return out
}

// tuple is a step with its best and its worst sample.
type tuple struct {
	prompt            int
	step              int
	from, best, worst []float32
}

// walks is how often paths are walked again where no siblings can be learnt from, before a run ends for that.
const walks = 8

func (s *siblings) batch(ctx context.Context, i int) (sample, error) {
	c := &s.t.config.Siblings
	places, epoch := s.order.pick(i)
	r := stream(s.t.config.Seed, "path", nil, i, epoch)
	var prompts []string
	for _, k := range places {
		prompts = append(prompts, c.Prompts[k])
	}
	var j judged
	for range walks {
		steps := map[int]bool{}
		for _, k := range r.Perm(len(s.learn))[:s.steps] {
			steps[s.learn[k]] = true
		}
		tuples, err := s.walk(ctx, prompts, steps, r, &j)
		if err != nil {
			return nil, err
		}
		if len(tuples) > 0 {
			return s.parts(ctx, prompts, tuples, j)
		}
	}
	if c.Threshold > 0 {
		return nil, setting("sibling-threshold", c.Threshold, "no siblings of %d prompts are so far apart in their reward %s (%.3g from best to worst on average) in %d attempts; lower it, or weigh the reward more, as in --reward mini=10",
			len(prompts), c.Reward.Name, j.spread/float64(j.broods), walks)
	}
	return nil, fmt.Errorf("no siblings of %d prompts differ in their reward %s", len(prompts), c.Reward.Name)
}

// together is how many steps of each prompt the network sees at once.
const together = 5

// parts makes batches of tuples.
func (s *siblings) parts(ctx context.Context, prompts []string, tuples []tuple, j judged) (sample, error) {
	out, size := &parts{judged: j}, together*len(prompts)
	if s.t.method.Losses != nil { // some look at the whole batch
		size = len(tuples)
	}
	for some := range slices.Chunk(tuples, size) {
		one, err := s.collect(ctx, prompts, some)
		if err != nil {
			return nil, err
		}
		one.of = float64(len(some)) / float64(len(tuples))
		out.sample, out.rest = one, append(out.rest, one)
	}
	return out, nil
}

// walk does a path of each prompt, and ranks siblings at the given steps.
func (s *siblings) walk(ctx context.Context, prompts []string, steps map[int]bool, r *rand.Rand, j *judged) ([]tuple, error) {
	g, err := s.t.guide(ctx, prompts, s.t.size, s.t.config.Siblings.Guidance, s.t.method.Adapters[0])
	if err != nil {
		return nil, err
	}
	x := make([]float32, len(prompts)*s.t.latents(s.t.size))
	normal(x, r)
	st, err := s.plan.Start(x, len(prompts))
	if err != nil {
		return nil, err
	}
	out, zero := make([]float32, len(x)), make([]float32, len(x))
	if err := g.denoise(ctx, out, st.X, s.plan.Timesteps[0]); err != nil {
		return nil, err
	}
	var tuples []tuple
	for st.Index < s.plan.Len() {
		if len(steps) == 0 {
			break // nothing that comes is learnt from
		}
		i := st.Index
		mean, _, err := s.plan.Step(st, out, zero)
		if err != nil {
			return nil, err
		}
		row, err := s.plan.Row(i, st.Calls)
		if err != nil {
			return nil, err
		}
		if steps[i] {
			delete(steps, i)
			found, next, err := s.rank(ctx, g, prompts, st, mean.X, row.Noise, out, r, j)
			if err != nil {
				return nil, err
			}
			tuples = append(tuples, found...)
			mean.X = next
			st = mean
			continue
		}
		for k := range mean.X {
			mean.X[k] += float32(row.Noise * r.NormFloat64())
		}
		if st = mean; len(steps) > 0 && st.Index < s.plan.Len() {
			if err := g.denoise(ctx, out, st.X, s.plan.Timesteps[st.Index]); err != nil {
				return nil, err
			}
		}
	}
	return tuples, nil
}

// brood is the samples of one step, of all prompts.
type brood struct {
	x, out  [][]float32 // latents, and the network's answers to them
	rewards [][]float64
}

// apart is the difference of the shares of two siblings of a prompt in the softmax of the rewards of all.
func (b *brood) apart(prompt, best, worst int) float64 {
	var sum float64
	share := func(k int) float64 { return math.Exp(b.rewards[k][prompt] - b.rewards[best][prompt]) }
	for k := range b.rewards {
		if v := share(k); v == v {
			sum += v
		}
	}
	return (1 - share(worst)) / sum
}

// rank draws samples of a step, looks at what they become, and gives the best and the worst of each prompt and the latents to go on
// from; out becomes the network's answer to those.
func (s *siblings) rank(ctx context.Context, g *guided, prompts []string, st sampling.State, mean []float32, sigma float64, out []float32, r *rand.Rand, j *judged) ([]tuple, []float32, error) {
	c := &s.t.config.Siblings
	var b brood
	for range c.Count {
		x := make([]float32, len(mean))
		for k, m := range mean {
			x[k] = m + float32(sigma*r.NormFloat64())
		}
		if err := s.foresee(ctx, g, prompts, st.Index+1, x, &b); err != nil {
			return nil, nil, err
		}
	}
	n, next := len(mean)/len(prompts), make([]float32, len(mean))
	var tuples []tuple
	for p := range prompts {
		best, worst := extremes(b.rewards, p, r)
		j.add(&b, p, best, worst)
		part := func(v []float32) []float32 { return v[p*n : (p+1)*n] }
		on := r.IntN(c.Count)
		switch c.Continue {
		case "chosen":
			on = best
		case "rejected":
			on = worst
		}
		copy(part(next), part(b.x[on]))
		copy(part(out), part(b.out[on]))
		if b.rewards[best][p] > b.rewards[worst][p] && b.apart(p, best, worst) > c.Threshold {
			tuples = append(tuples, tuple{
				p, st.Index, slices.Clone(part(st.X)), slices.Clone(part(b.x[best])), slices.Clone(part(b.x[worst])),
			})
		}
	}
	if c.Gradient != 0 {
		if err := s.push(ctx, prompts, tuples); err != nil {
			return nil, nil, err
		}
	}
	return tuples, next, nil
}

// foresee adds latents before a step to a brood, with the rewards of the clean latents that the policy expects from there.
func (s *siblings) foresee(ctx context.Context, g *guided, prompts []string, step int, x []float32, b *brood) error {
	out := make([]float32, len(x))
	if err := g.denoise(ctx, out, x, s.plan.Timesteps[step]); err != nil {
		return err
	}
	row, err := s.plan.Row(step, step)
	if err != nil {
		return err
	}
	clean := make([]float32, len(x))
	for k, v := range x {
		clean[k] = float32(row.DataX*float64(v) + row.DataOut*float64(out[k]))
	}
	scores, err := s.t.score(ctx, prompts, clean, s.t.size)
	if err != nil {
		return err
	}
	b.x, b.out, b.rewards = append(b.x, x), append(b.out, out), append(b.rewards, scores)
	return nil
}

// extremes are the best and the worst sample of a prompt; of equals chance decides. Scores that are no numbers are neither.
func extremes(rewards [][]float64, prompt int, r *rand.Rand) (best, worst int) {
	order := r.Perm(len(rewards))
	best, worst = order[0], order[0]
	for _, k := range order {
		v := rewards[k][prompt]
		if v > rewards[best][prompt] || rewards[best][prompt] != rewards[best][prompt] {
			best = k
		}
		if v < rewards[worst][prompt] || rewards[worst][prompt] != rewards[worst][prompt] {
			worst = k
		}
	}
	return best, worst
}

// collect makes the batch of all tuples: the network sees the latents that the siblings come from.
func (s *siblings) collect(ctx context.Context, prompts []string, tuples []tuple) (*steps, error) {
	out := &steps{of: 1}
	var x []float32
	var at []float64
	var names []string
	for _, u := range tuples {
		step, err := linearStep(s.plan, u.step)
		if err != nil {
			return nil, err
		}
		out.tuples = append(out.tuples, measured{u.from, u.best, u.worst, step})
		x, at, names = append(x, u.from...), append(at, s.plan.Timesteps[u.step]), append(names, prompts[u.prompt])
	}
	var err error
	out.guidedRows, err = s.t.guideRows(ctx, x, at, names)
	return out, err
}

// steps is a batch of siblings: the errors are minus the log-densities of the step under the network.
type steps struct {
	guidedRows
	tuples []measured
	of     float64 // share of the batch that they belong to
}

func (s *steps) share() float64 { return s.of }

// measured is a step and two samples of it.
type measured struct {
	x, chosen, rejected []float32
	linear
}

func (s *steps) labels() []float64 { return slices.Repeat([]float64{1}, len(s.tuples)) }

// mean is that of step i.
func (s *steps) mean(i int, out []float32) []float32 {
	u := &s.tuples[i]
	return u.linear.mean(u.x, s.answer(out, i, len(u.x)))
}

func (s *steps) errors(dst []pairErrors, out []float32) {
	for i, u := range s.tuples {
		mean := s.mean(i, out)
		dst[i] = pairErrors{dpo.StepError(u.chosen, mean, u.sigma), dpo.StepError(u.rejected, mean, u.sigma)}
	}
}

func (s *steps) cotangent(dst, out []float32, grad []dpo.Grad) {
	for i, u := range s.tuples {
		cot := make([]float32, len(u.x))
		dpo.SiblingCotangent(cot, u.chosen, u.rejected, s.mean(i, out), u.sigma, grad[i])
		s.back(dst, i, cot, u.byOut)
	}
}
