package training

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"winnow/dpo"
	"winnow/internal/ldm"
	"winnow/sampling"
)

// siblings makes batches from the policy's own paths: several samples of one step of a sampler that adds noise start from the same
// latents, and a reward of what each would become says which is better (TailorPO, Ren et al., ICLR 2025).
type siblings struct {
	t     *Trainer
	plan  *sampling.Plan
	order *order
	learn []int // steps that can be learnt from
}

func (t *Trainer) newSiblings() (*siblings, error) {
	c := &t.config.Siblings
	if len(c.Prompts) == 0 {
		return nil, errors.New("training on the policy's own samples needs prompts; name a file with --prompts")
	}
	if c.Reward.Score == nil {
		return nil, errors.New("training on the policy's own samples needs a reward; name one with --reward")
	}
	if c.Gradient != 0 && c.Reward.Gradient == nil {
		return nil, fmt.Errorf("--sibling-gradient: the reward %s has no derivative", c.Reward.Name)
	}
	config, err := t.ldm.Scheduler.As("ddim")
	if err != nil {
		return nil, err
	}
	if config.ClipSample || config.Thresholding {
		return nil, errors.New("the model's scheduler clips its predictions, so that a step is not normal with a mean linear in them; set clip_sample and thresholding to false in scheduler_config.json")
	}
	scheduler, err := sampling.New(config)
	if err != nil {
		return nil, err
	}
	s := &siblings{t: t, order: newOrder(t.config.Seed, t.config.BatchSize, make([]int, len(c.Prompts)))}
	if s.plan, err = scheduler.Plan(c.Steps, &sampling.PlanOptions{Eta: 1}); err != nil {
		return nil, err
	}
	first := s.plan.Len() - 1
	if c.First > 0 {
		first = min(first, c.First)
	}
	for i := range first { // what a sample of the last step becomes, it is
		if row, err := s.plan.Row(i, i); err == nil && row.Noise > 0 {
			s.learn = append(s.learn, i)
		}
	}
	if len(s.learn) < c.Learn {
		return nil, fmt.Errorf("--sibling-learn %d: only %d of the sampler's steps can be learnt from (the last one and those without noise cannot)", c.Learn, len(s.learn))
	}
	return s, nil
}

func (s *siblings) epoch(i int) float64 { return float64(i) / float64(s.order.perEpoch()) }

func (s *siblings) fingerprint() string {
	c := s.t.config.Siblings
	sum := sha256.Sum256([]byte(strings.Join(c.Prompts, "\x00")))
	return fmt.Sprintf("%d prompts %x, reward %s, %d steps, %d learnt, first %d, guidance %v, %d siblings, continue %s, gradient %v",
		len(c.Prompts), sum[:8], c.Reward.Name, c.Steps, c.Learn, c.First, c.Guidance, c.Count, c.Continue, c.Gradient)
}

// tuple is a step with its best and its worst sample.
type tuple struct {
	prompt            int
	step              int
	from, best, worst []float32
}

// judged sums up rewards of siblings.
type judged struct {
	samples, broods int
	reward, spread  float64
}

// add takes in the rewards of the siblings of one prompt.
func (j *judged) add(b *brood, prompt, best, worst int) {
	for _, v := range b.rewards {
		j.samples++
		j.reward += v[prompt]
	}
	j.broods++
	j.spread += b.rewards[best][prompt] - b.rewards[worst][prompt]
}

func (s *siblings) batch(ctx context.Context, i int) (sample, error) {
	places, epoch := s.order.pick(i)
	r := stream(s.t.config.Seed, "path", nil, i, epoch)
	var prompts []string
	for _, k := range places {
		prompts = append(prompts, s.t.config.Siblings.Prompts[k])
	}
	steps := map[int]bool{}
	for _, k := range r.Perm(len(s.learn))[:s.t.config.Siblings.Learn] {
		steps[s.learn[k]] = true
	}
	var j judged
	tuples, err := s.walk(ctx, prompts, steps, r, &j)
	if err != nil {
		return nil, err
	}
	if len(tuples) == 0 {
		return nil, fmt.Errorf("no siblings of %d prompts differ in their reward %s", len(prompts), s.t.config.Siblings.Reward.Name)
	}
	out, err := s.collect(ctx, prompts, tuples)
	if err != nil {
		return nil, err
	}
	out.judged = j
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
		if b.rewards[best][p] > b.rewards[worst][p] {
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

// push moves the better samples along the gradient of the reward (TailorPO-G): by Gradient·σ² times the gradient, which is how far the mean
// of a step of variance σ² moves where its density is weighed by exp(Gradient·reward). No sample moves further than the step's noise is long.
func (s *siblings) push(ctx context.Context, prompts []string, tuples []tuple) error {
	t := s.t
	h, w := t.size.Height/t.ldm.Factor, t.size.Width/t.ldm.Factor
	for i := range tuples {
		u := &tuples[i]
		emb, err := t.embedAs(ctx, t.method.Adapters[0], prompts[u.prompt:u.prompt+1])
		if err != nil {
			return err
		}
		g := ldm.Guidance{Positive: emb, ByPositive: 1, Height: h, Width: w}
		if scale := t.config.Siblings.Guidance; scale > 1 {
			g.ByPositive, g.ByNegative = scale, 1-scale
			if g.Negative, err = t.empty(ctx, t.method.Adapters[0]); err != nil {
				return err
			}
		}
		row, err := s.plan.Row(u.step+1, u.step+1)
		if err != nil {
			return err
		}
		slope, err := s.slope(ctx, t.ldm.Pullback(g), prompts[u.prompt], u.best, s.plan.Timesteps[u.step+1], row)
		if err != nil {
			return err
		}
		by, err := s.shift(u.step, slope)
		if err != nil {
			return err
		}
		for k, v := range slope {
			u.best[k] += float32(by * v)
		}
	}
	return nil
}

// shift is what the gradient of the reward is multiplied by at a step.
func (s *siblings) shift(step int, slope []float64) (float64, error) {
	row, err := s.plan.Row(step, step)
	if err != nil {
		return 0, err
	}
	by, length := s.t.config.Siblings.Gradient*row.Noise*row.Noise, 0.0
	for _, v := range slope {
		length += v * v
	}
	if length = by * math.Sqrt(length); length > 0 {
		by *= min(1, row.Noise*math.Sqrt(float64(len(slope)))/length)
	}
	return by, nil
}

// slope is the derivative of the reward of the clean latents that the policy expects, with respect to the latents.
func (s *siblings) slope(ctx context.Context, network sampling.Pullback, prompt string, x []float32, at float64, row sampling.Row) ([]float64, error) {
	t := s.t
	var direct []float32
	out := make([]float32, len(x))
	back, err := network(ctx, out, x, at, func() ([]float32, error) {
		clean := make([]float32, len(x))
		for k, v := range x {
			clean[k] = float32(row.DataX*float64(v) + row.DataOut*float64(out[k]))
		}
		var err error
		_, direct, err = t.ldm.DecodeGradient(ctx, clean, 1, t.size.Height/t.ldm.Factor, t.size.Width/t.ldm.Factor,
			func(ctx context.Context, pixels []float32, width, height int) (float64, []float32, error) {
				return t.config.Siblings.Reward.Gradient(ctx, prompt, pixels, width, height)
			})
		if err != nil {
			return nil, err
		}
		through := make([]float32, len(x))
		for k, v := range direct {
			through[k] = float32(row.DataOut) * v
		}
		return through, nil
	})
	if err != nil {
		return nil, err
	}
	sum := make([]float64, len(x))
	for k := range sum {
		sum[k] = row.DataX*float64(direct[k]) + float64(back[k])
	}
	return sum, nil
}

// collect makes the batch of all tuples: the network sees the latents that the siblings come from.
func (s *siblings) collect(ctx context.Context, prompts []string, tuples []tuple) (*steps, error) {
	t := s.t
	out := &steps{scale: t.config.Siblings.Guidance, in: rows{height: t.size.Height / t.ldm.Factor, width: t.size.Width / t.ldm.Factor}}
	var names []string
	for _, u := range tuples {
		row, err := s.plan.Row(u.step, u.step)
		if err != nil {
			return nil, err
		}
		out.tuples = append(out.tuples, measured{u.from, u.best, u.worst, row.X + row.Data*row.DataX, row.Out + row.Data*row.DataOut, row.Noise})
		out.in.x = append(out.in.x, u.from...)
		out.in.t = append(out.in.t, s.plan.Timesteps[u.step])
		names = append(names, prompts[u.prompt])
	}
	g, err := t.guide(ctx, names, t.size, out.scale, "")
	if err != nil {
		return nil, err
	}
	out.in.n, out.in.cond = g.rows(), t.cond(g.cond, t.size)
	if out.scale > 1 {
		out.in.x = append(out.in.x, out.in.x...)
		out.in.t = append(out.in.t, out.in.t...)
		out.in.cond = t.cond(g.both, t.size)
	}
	if t.config.TrainText {
		out.in.text = readings(names)
		if out.scale > 1 {
			empty := slices.Repeat([]reading{{zeros: t.ldm.ZerosForEmpty()}}, len(names))
			out.in.text = append(empty, out.in.text...)
		}
	}
	return out, nil
}

// steps is a batch of siblings: the errors are minus the log-densities of the step under the network.
type steps struct {
	in     rows // with guidance, the empty prompt's before the prompts'
	scale  float64
	tuples []measured
	judged judged // to find them
}

// measured is a step whose mean is byX·x + byOut·output.
type measured struct {
	x, chosen, rejected []float32
	byX, byOut, sigma   float64
}

func (s *steps) rows() *rows  { return &s.in }
func (s *steps) known() []Key { return nil }

func (s *steps) labels() []float64 { return slices.Repeat([]float64{1}, len(s.tuples)) }

// mean is that of step i.
func (s *steps) mean(i int, out []float32) []float32 {
	u := &s.tuples[i]
	n := len(u.x)
	guided := out[i*n : (i+1)*n]
	if s.scale > 1 {
		both := len(s.tuples) * n
		guided = make([]float32, n)
		sampling.Guide(guided, out[i*n:(i+1)*n], out[both+i*n:both+(i+1)*n], s.scale)
	}
	mean := make([]float32, n)
	for k, x := range u.x {
		mean[k] = float32(u.byX*float64(x) + u.byOut*float64(guided[k]))
	}
	return mean
}

func (s *steps) errors(dst []pairErrors, out []float32) {
	for i, u := range s.tuples {
		mean := s.mean(i, out)
		dst[i] = pairErrors{dpo.StepError(u.chosen, mean, u.sigma), dpo.StepError(u.rejected, mean, u.sigma)}
	}
}

func (s *steps) cotangent(dst, out []float32, grad []dpo.Grad) {
	for i, u := range s.tuples {
		n := len(u.x)
		cot := make([]float32, n)
		dpo.SiblingCotangent(cot, u.chosen, u.rejected, s.mean(i, out), u.sigma, grad[i])
		if s.scale <= 1 {
			for k, v := range cot {
				dst[i*n+k] = float32(u.byOut) * v
			}
			continue
		}
		both := len(s.tuples) * n
		for k, v := range cot {
			dst[i*n+k] = float32(u.byOut*(1-s.scale)) * v
			dst[both+i*n+k] = float32(u.byOut*s.scale) * v
		}
	}
}
