package vlmjudge

import (
	"context"
	"fmt"
	"slices"
)

// ballot gathers written answers to one question.
type ballot struct {
	t        template
	reasoned bool // probabilities count, not answers
	schema   bool
	samples  []Answer // one reply each
}

func (j *Judge) ballot(t template, samples []Answer) *ballot {
	return &ballot{t, j.settled.protocol == ProtocolReasoned, j.settled.schema, samples}
}

// add takes in a reply.
func (b *ballot) add(c choice) {
	s := Answer{P: .5, Abstained: true}
	label := b.t.read(c.text(), c.Finish)
	switch {
	case label < 0:
	case b.reasoned:
		if at, ok := b.t.reasoned(c, label); ok {
			s = at
		}
	case b.t.Values != nil:
		one := make([]float64, len(b.t.Labels))
		one[label] = 1
		s.Abstained = false
		s.weigh(b.t.Labels, b.t.Values, one)
	default:
		s.P, s.Raw, s.Mass, s.Abstained = float64(1-label), float64(1-label), 1, false
	}
	s.Protocol, s.Replies, s.Given = ProtocolVotes, []string{c.text()}, []int{label}
	if thoughts := c.apart(); thoughts != "" {
		s.Thoughts = []string{thoughts}
	}
	if b.reasoned {
		s.Protocol = ProtocolReasoned
	}
	b.samples = append(b.samples, s)
}

// result is the answer of all samples.
func (b *ballot) result() Answer {
	n, readable, p, raw := len(b.samples), 0, 0., 0.
	shares := make([]float64, len(b.t.Labels)) // of marks
	var a Answer
	for _, s := range b.samples {
		a.add(s)
		if s.Abstained {
			continue
		}
		readable++
		p, raw = p+s.P, raw+s.Raw
		if s.Mark != nil {
			for i, share := range s.Mark.Shares[:min(len(shares), len(s.Mark.Shares))] {
				shares[i] += share / float64(n)
			}
		}
	}
	a.P, a.Mass = .5, float64(readable)/float64(n)
	a.Abstained = a.Mass < MinMass
	a.Protocol = ProtocolReasoned
	if !b.reasoned {
		a.Protocol = ProtocolVotes
		if n == 1 {
			a.Protocol = ProtocolGreedy
		}
	}
	a.Formula = b.formula()
	switch {
	case b.t.Values != nil:
		a.weigh(b.t.Labels, b.t.Values, shares)
	case !b.reasoned:
		a.P = Votes(int(raw), readable-int(raw), 0, jeffreys)
		a.Raw = raw / float64(n)
	case readable > 0:
		a.P, a.Raw = p/float64(readable), raw/float64(readable)
	}
	return a
}

// formula of the result.
func (b *ballot) formula() string {
	n, kind := len(b.samples), "sampled answers"
	if n == 1 {
		kind = "greedy answer"
	}
	if b.schema {
		kind += " by a schema"
	}
	switch {
	case b.t.Values != nil:
		return b.marked(n, kind)
	case !b.reasoned:
		return fmt.Sprintf("(n(%[1]s)+½)/(n(%[1]s)+n(%[2]s)+1) of %[3]d %[4]s", b.t.Labels[0], b.t.Labels[1], n, kind)
	}
	return fmt.Sprintf("mean of p(%[1]s)/(p(%[1]s)+p(%[2]s)) where %[3]d %[4]s give a label", b.t.Labels[0], b.t.Labels[1], n, kind)
}

// temperature of written answers: one alone is the most probable.
func (o Options) temperature() float64 {
	if o.Votes == 1 {
		return 0
	}
	return 1
}

// poll gathers written answers, after those that are known. Servers may give fewer than they are asked for at once; then they are asked
// again. The seed of a sample is the judge's and the sample's number, so that later ones are others. An error comes with what there is.
func (j *Judge) poll(ctx context.Context, t template, messages []message, known []Answer) (Answer, []Answer, error) {
	want, temperature := j.options.Votes, j.options.temperature()
	b := j.ballot(t, slices.Clone(known))
	var tokens Tokens
	for len(b.samples) < want {
		missing := want - len(b.samples)
		seed := j.options.Seed + int64(len(b.samples))
		req := chatRequest{Messages: messages, MaxTokens: j.options.AnswerTokens, Temperature: &temperature, Seed: &seed}
		if b.reasoned {
			req.Logprobs, req.TopLogprobs = true, topLogprobs
		}
		if missing > 1 {
			req.N = missing
		}
		if b.schema {
			req = j.bySchema(req, t)
		}
		reply, err := j.chat(ctx, req)
		if err != nil {
			return Answer{Tokens: tokens}, b.samples, err
		}
		tokens.add(reply)
		for _, c := range reply.Choices[:min(missing, len(reply.Choices))] {
			b.add(c)
		}
	}
	a := b.result()
	a.Tokens = tokens
	return a, b.samples, nil
}

// recallSamples are the sampled answers that a store holds, from the first without a gap.
func (j *Judge) recallSamples(ctx context.Context, q naming) (known []Answer, err error) {
	for len(known) < j.options.Votes {
		a, ok, err := j.keeping.Store.Recall(ctx, q.sample(len(known), j.options.temperature()))
		if err != nil || !ok {
			return known, err
		}
		known = append(known, a)
	}
	return known, nil
}

// keepSamples names the samples after those that were known. Where nobody could read any, another try may give some that can be read.
func (j *Judge) keepSamples(q naming, known int, all []Answer) (kept []Kept) {
	if !slices.ContainsFunc(all, func(a Answer) bool { return !a.Abstained }) {
		return nil
	}
	for i := known; i < len(all); i++ {
		kept = append(kept, Kept{q.sample(i, j.options.temperature()), all[i]})
	}
	return kept
}
