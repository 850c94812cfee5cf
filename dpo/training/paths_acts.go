package training

import (
	"context"
	"slices"

	"winnow/dpo"
)

// act is a step of a path.
type act struct {
	x, next []float32
	prompt  string
	at      float64 // timestep
	linear
	error     float64 // under the policy that drew it
	advantage float64
}

// acts are the samples of an update from a bundle: its share of the steps of each path, or pair of paths, in an order of its own for each.
func (p *paths) acts(ctx context.Context, i int, b *bundle, inner int) (sample, error) {
	pairs := p.pairs(b)
	if !p.t.method.Rejected {
		pairs = make([][2]int, len(b.paths))
		for k := range pairs {
			pairs[k] = [2]int{k, -1}
		}
	}
	every := p.t.config.Accumulation
	pass, turn := inner/p.turns(), inner%p.turns()
	round := i / every / p.updates()
	shuffled := make([][]int, len(pairs))
	for k := range pairs {
		perm := stream(p.t.config.Seed, "steps", nil, round*every+i%every, pass, k).Perm(len(p.steps))
		shuffled[k] = perm[turn*p.learn : min((turn+1)*p.learn, len(perm))]
	}
	var chosen, rejected []act
	for at := range shuffled[0] {
		for k, pair := range pairs {
			step := p.steps[shuffled[k][at]]
			one, err := p.act(b, pair[0], step)
			if err != nil {
				return nil, err
			}
			chosen = append(chosen, one)
			if pair[1] < 0 {
				continue
			}
			if one, err = p.act(b, pair[1], step); err != nil {
				return nil, err
			}
			rejected = append(rejected, one)
		}
	}
	return p.split(ctx, b, chosen, rejected)
}

func (p *paths) act(b *bundle, i, step int) (act, error) {
	one := &b.paths[i]
	l, err := linearStep(p.plan, step)
	return act{one.states[step], one.states[step+1], b.prompts[i], p.plan.Timesteps[step], l, one.errors[step], one.advantage}, err
}

// split makes batches of as many rows as the bundle has paths, so that learning takes no more memory than a step of all paths.
func (p *paths) split(ctx context.Context, b *bundle, chosen, rejected []act) (sample, error) {
	size := len(b.paths)
	if rejected != nil {
		size = max(1, size/2)
	}
	out := &parts{judged: b.judged}
	for first := 0; first < len(chosen); first += size {
		last := min(first+size, len(chosen))
		some := slices.Clone(chosen[first:last])
		if rejected != nil {
			some = append(some, rejected[first:last]...)
		}
		one := &deeds{acts: some, pairs: rejected != nil, of: float64(last-first) / float64(len(chosen))}
		if err := one.ready(ctx, p.t); err != nil {
			return nil, err
		}
		out.sample, out.rest = one, append(out.rest, one)
	}
	return out, nil
}

// deeds is a batch of acts: the errors are minus their log-densities under the network. With pairs the second half are the acts of the
// worse paths; else each has its advantage.
type deeds struct {
	guidedRows
	acts  []act
	pairs bool
	of    float64     // share of the batch
	refs  []refOutput // of the references, where drifts are wanted
}

// ready puts the rows together.
func (d *deeds) ready(ctx context.Context, t *Trainer) error {
	var x []float32
	var at []float64
	var prompts []string
	for i := range d.acts {
		x, at, prompts = append(x, d.acts[i].x...), append(at, d.acts[i].at), append(prompts, d.acts[i].prompt)
	}
	var err error
	d.guidedRows, err = t.guideRows(ctx, x, at, prompts)
	return err
}

func (d *deeds) share() float64    { return d.of }
func (d *deeds) labels() []float64 { return slices.Repeat([]float64{1}, d.terms()) }

func (d *deeds) terms() int {
	if d.pairs {
		return len(d.acts) / 2
	}
	return len(d.acts)
}

func (d *deeds) mean(i int, out []float32) []float32 {
	a := &d.acts[i]
	return a.linear.mean(a.x, d.answer(out, i, len(a.x)))
}

func (d *deeds) errors(dst []pairErrors, out []float32) {
	of := func(i int) float64 { return dpo.StepError(d.acts[i].next, d.mean(i, out), d.acts[i].sigma) }
	for i := range dst {
		dst[i] = pairErrors{chosen: of(i)}
		if d.pairs {
			dst[i].rejected = of(len(dst) + i)
		}
	}
}

func (d *deeds) cotangent(dst, out []float32, grad []dpo.Grad) {
	for i := range d.acts {
		a, slope, drift := &d.acts[i], grad[i%len(grad)].Chosen, grad[i%len(grad)].DriftChosen
		if i >= len(grad) {
			slope, drift = grad[i-len(grad)].Rejected, grad[i-len(grad)].DriftRejected
		}
		cot, mean := make([]float32, len(a.x)), d.mean(i, out)
		dpo.StepCotangent(cot, a.next, mean, a.sigma, slope)
		if drift != 0 {
			d.pull(cot, mean, i, drift)
		}
		d.back(dst, i, cot, a.byOut)
	}
}

// describe says what objectives of single acts look at: by how much the path was better, and the density that the act was drawn with.
func (d *deeds) describe(terms []dpo.Terms, out []float32) {
	for i := range terms {
		t := &terms[i]
		t.DriftChosen = d.drift(out, i)
		if d.pairs {
			t.DriftRejected = d.drift(out, len(terms)+i)
			continue
		}
		t.Advantage, t.RefChosen = d.acts[i].advantage, d.acts[i].error
	}
}

func (d *deeds) forget() { d.refs = nil }
func (d *deeds) keep(weight float64, out []float32) {
	d.refs = append(d.refs, refOutput{weight, out})
}

// drift is the mean squared distance of an act's mean from those of the references, in standard deviations of the step: twice the
// divergence of the two steps, averaged over elements.
func (d *deeds) drift(out []float32, i int) float64 {
	sum, mean := 0.0, d.mean(i, out)
	for _, r := range d.refs {
		sum += r.weight * 2 * dpo.StepError(mean, d.mean(i, r.out), d.acts[i].sigma)
	}
	return sum
}

// pull adds the derivative with respect to the mean by way of the drift.
func (d *deeds) pull(cot, mean []float32, i int, slope float64) {
	one := make([]float32, len(cot))
	for _, r := range d.refs {
		dpo.StepCotangent(one, d.mean(i, r.out), mean, d.acts[i].sigma, 2*r.weight*slope)
		for k, v := range one {
			cot[k] += v
		}
	}
}
