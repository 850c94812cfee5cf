package training

import (
	"context"
	"fmt"
	"math"

	"winnow/dpo"
	"winnow/internal/optim"
)

// Metrics are what a step tells, in the names of TRL. Rewards are implicit ones, without beta.
type Metrics struct {
	Step         int // from 1
	Epoch        float64
	Loss         float64
	LearningRate float64
	GradNorm     float64 // before clipping
	Chosen       float64 // implicit reward: the reference's error minus the policy's
	Rejected     float64
	Margin       float64
	Accuracy     float64 // share of pairs with a margin above 0; ties are half
	Saturated    float64 // share of pairs that add less than a tenth of what they added at first
	Drift        float64 // the policy's error of chosen pictures minus the reference's: above 0 the policy has become worse at them
	Pairs        int
	Beta         float64 // see EffectiveBeta
	Samples      int     // of the policy's own, that a reward has scored
	Reward       float64 // their mean reward, and the mean of the best minus the worst of those that are compared
	Spread       float64
	Evaluations  int64 // of the denoiser: a row forwards is one, with the way back three; answers that the cache had count
}

// add takes the terms of a batch in.
func (m *Metrics) add(terms []dpo.Terms, grad, first []dpo.Grad) {
	for i, t := range terms {
		chosen, rejected := t.ImplicitRewards()
		m.Chosen += chosen
		m.Rejected += rejected
		m.Drift -= chosen
		switch margin := t.Margin(); {
		case margin > 0:
			m.Accuracy++
		case margin == 0:
			m.Accuracy += 0.5
		}
		if first != nil && math.Abs(grad[i].Chosen) < 0.1*math.Abs(first[i].Chosen) {
			m.Saturated++
		}
	}
	m.Pairs += len(terms)
}

// mean turns sums over pairs into means.
func (m *Metrics) mean(batches int) {
	n := float64(m.Pairs)
	for _, p := range []*float64{&m.Chosen, &m.Rejected, &m.Accuracy, &m.Saturated, &m.Drift} {
		*p /= n
	}
	m.Margin = m.Chosen - m.Rejected
	m.Loss /= float64(batches)
	if m.Samples > 0 {
		m.Reward /= float64(batches)
		m.Spread /= float64(batches)
	}
}

// NonFiniteError says that a step became NaN or infinite. The factors are as before the step.
type NonFiniteError struct {
	Step int
	What string
}

func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("step %d: the %s is not a number any more; lower --learning-rate or --beta-dpo, or clip harder with --max-grad-norm", e.Step, e.What)
}

// Step does the next update of the factors.
func (t *Trainer) Step(ctx context.Context) (Metrics, error) {
	m, before := Metrics{Step: t.done + 1}, t.evaluations()
	t.seen = nil
	t.keepSnapshot()
	if err := t.follow(ctx); err != nil {
		return m, err
	}
	optim.ZeroGrad(t.params)
	for k := range t.config.Accumulation {
		s, err := t.source.batch(ctx, t.done*t.config.Accumulation+k)
		if err != nil {
			return m, err
		}
		if err := t.learn(ctx, s, &m); err != nil {
			return m, err
		}
	}
	m.mean(t.config.Accumulation)
	m.Evaluations = t.evaluations() - before
	m.GradNorm = optim.ClipGradNorm(t.params, t.config.MaxGradNorm)
	for what, v := range map[string]float64{"loss": m.Loss, "gradient": m.GradNorm} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return m, &NonFiniteError{m.Step, what}
		}
	}
	m.LearningRate = t.Rate() * t.schedule(t.done)
	t.optim.Step(m.LearningRate)
	if t.ema != nil {
		t.ema.Update()
	}
	for _, terms := range t.seen {
		dpo.Observe(t.objective, terms)
	}
	t.done++
	m.Epoch = t.source.epoch(t.done * t.config.Accumulation)
	return m, nil
}

// evaluations are those of the denoiser so far, asked for in this process.
func (t *Trainer) evaluations() int64 { return t.ldm.Evaluations() + t.recalled }

// Rate is the learning rate before the schedule.
func (t *Trainer) Rate() float64 {
	if t.config.ScaleLR {
		return t.config.LearningRate * float64(t.config.BatchSize*t.config.Accumulation)
	}
	return t.config.LearningRate
}

// learn adds a batch's share of the gradient.
func (t *Trainer) learn(ctx context.Context, s sample, m *Metrics) error {
	if p, ok := s.(*parts); ok {
		m.take(p.judged)
		for _, one := range p.rest {
			if err := t.learn(ctx, one, m); err != nil {
				return err
			}
		}
		return nil
	}
	ref, err := t.reference(ctx, s)
	if err != nil {
		return err
	}
	in := s.rows()
	cond := in.cond
	cond.Scales = in.policy
	out := make([]float32, len(in.x))
	cot := func() ([]float32, error) {
		if err := look(ctx, s, out, true); err != nil {
			return nil, err
		}
		return t.lose(s, ref, out, m)
	}
	grads, err := t.policyGradient(ctx, out, in, cond, cot)
	if err != nil {
		return err
	}
	for name, g := range grads {
		into := t.byName[name].Grad
		for i, v := range g {
			into[i] += v
		}
	}
	return nil
}

// lose evaluates the objective on the policy's outputs and gives the derivative with respect to them.
func (t *Trainer) lose(s sample, ref []pairErrors, out []float32, m *Metrics) ([]float32, error) {
	labels := s.labels()
	terms, grad := make([]dpo.Terms, len(labels)), make([]dpo.Grad, len(labels))
	policy := make([]pairErrors, len(labels))
	s.errors(policy, out)
	for i := range terms {
		terms[i] = dpo.Terms{
			PolicyChosen: policy[i].chosen, PolicyRejected: policy[i].rejected,
			RefChosen: ref[i].chosen, RefRejected: ref[i].rejected, Label: labels[i],
			ScoreChosen: math.NaN(), ScoreRejected: math.NaN(), Group: i,
		}
	}
	if s, ok := s.(describer); ok {
		s.describe(terms, out)
	}
	if err := t.loss.CheckScores(terms); err != nil {
		return nil, named(err)
	}
	t.seen = append(t.seen, terms)
	of := shareOf(s)
	m.Loss += of * t.objective.Evaluate(terms, grad)
	m.add(terms, grad, t.slope(terms))
	share := of / float64(t.config.Accumulation)
	for i := range grad {
		grad[i].Chosen *= share
		grad[i].Rejected *= share
		grad[i].DriftChosen *= share
		grad[i].DriftRejected *= share
	}
	cot := make([]float32, len(out))
	s.cotangent(cot, out, grad)
	return cot, nil
}

// slope is the derivative where policy and reference agree; nil without a reference.
func (t *Trainer) slope(terms []dpo.Terms) []dpo.Grad {
	if !t.method.Reference && t.method.Clip == 0 {
		return nil
	}
	same, grad := make([]dpo.Terms, len(terms)), make([]dpo.Grad, len(terms))
	for i, term := range terms {
		same[i] = term
		same[i].PolicyChosen, same[i].PolicyRejected, same[i].DriftChosen, same[i].DriftRejected = term.RefChosen, term.RefRejected, 0, 0
	}
	t.objective.Evaluate(same, grad)
	return grad
}
