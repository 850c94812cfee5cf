package vlmjudge

import (
	"context"
	"fmt"
	"image"
)

// ask puts one question by the judge's protocol.
func (j *Judge) ask(ctx context.Context, t template, prompt string, images ...image.Image) (Answer, error) {
	if err := checkPrompt(prompt); err != nil {
		return Answer{}, err
	}
	if j.reward != nil {
		return j.fromReward(ctx, t, prompt, images)
	}
	pictures := make([]string, len(images))
	for i, img := range images {
		var err error
		if pictures[i], err = dataURL(img, j.sendBudget()); err != nil {
			return Answer{}, err
		}
	}
	if j.settled.api == APISystemone {
		a, _, err := j.decide(ctx, j.asks.decisions[t.question], prompt, pictures)
		return a, err
	}
	messages := t.messages(prompt, pictures)
	if j.settled.protocol.written() {
		return j.poll(ctx, t, messages)
	}
	reply, err := j.chat(ctx, firstTokenRequest(messages))
	if err != nil {
		return Answer{}, err
	}
	c := reply.Choices[0]
	tokens, ok := c.firstToken()
	if !ok && c.Finish != "content_filter" {
		return j.poll(ctx, t, messages)
	}
	a := t.soft(tokens)
	a.Replies = []string{c.text()}
	a.Tokens.add(reply)
	return a, nil
}

const topLogprobs = 20 // the most that servers give

// firstTokenRequest asks for the probabilities of the first token.
func firstTokenRequest(messages []message) chatRequest {
	var greedy float64
	return chatRequest{Messages: messages, MaxTokens: 1, Temperature: &greedy, Logprobs: true, TopLogprobs: topLogprobs}
}

// ballot gathers written answers to one question.
type ballot struct {
	t        template
	reasoned bool // probabilities count, not answers
	schema   bool
	votes    []int
	shares   []float64 // of marks: answers, or sums of probabilities
	p, raw   float64   // sums of what is reasoned
}

func (b *ballot) add(c choice) {
	label := b.t.read(c.text(), c.Finish)
	if label < 0 {
		return
	}
	b.votes[label]++
	if !b.reasoned {
		b.shares[label]++
		return
	}
	a, ok := b.t.reasoned(c, label)
	if !ok {
		b.votes[label]--
		return
	}
	b.p, b.raw = b.p+a.P, b.raw+a.Raw
	if a.Mark != nil {
		for i, share := range a.Mark.Shares {
			b.shares[i] += share
		}
	}
}

// result is the answer of n written ones.
func (b *ballot) result(n int) Answer {
	kind := "sampled answers"
	if n == 1 {
		kind = "greedy answer"
	}
	if b.schema {
		kind += " by a schema"
	}
	readable := 0
	for _, v := range b.votes {
		readable += v
	}
	a := Answer{P: .5, Mass: float64(readable) / float64(n)}
	a.Abstained = a.Mass < MinMass
	a.Protocol = ProtocolReasoned
	if !b.reasoned {
		a.Protocol = ProtocolVotes
		if n == 1 {
			a.Protocol = ProtocolGreedy
		}
	}
	switch {
	case b.t.Values != nil:
		a.Formula = b.marked(n, kind)
		for i := range b.shares {
			b.shares[i] /= float64(n)
		}
		a.weigh(b.t.Labels, b.t.Values, b.shares)
	case !b.reasoned:
		a.Formula = fmt.Sprintf("(n(%[1]s)+½)/(n(%[1]s)+n(%[2]s)+1) of %[3]d %[4]s", b.t.Labels[0], b.t.Labels[1], n, kind)
		a.P = Votes(b.votes[0], b.votes[1], 0, jeffreys)
		a.Raw = float64(b.votes[0]) / float64(n)
	default:
		a.Formula = fmt.Sprintf("mean of p(%[1]s)/(p(%[1]s)+p(%[2]s)) where %[3]d %[4]s give a label", b.t.Labels[0], b.t.Labels[1], n, kind)
		if readable > 0 {
			a.P, a.Raw = b.p/float64(readable), b.raw/float64(readable)
		}
	}
	return a
}

// poll gathers written answers. Servers may give fewer than they are asked for at once; then they are asked again.
func (j *Judge) poll(ctx context.Context, t template, messages []message) (Answer, error) {
	want := j.options.Votes
	b := ballot{t: t, reasoned: j.settled.protocol == ProtocolReasoned, schema: j.settled.schema, votes: make([]int, len(t.Labels)), shares: make([]float64, len(t.Labels))}
	temperature := 1.0
	if want == 1 {
		temperature = 0
	}
	var replies []string
	var tokens Tokens
	for len(replies) < want {
		missing := want - len(replies)
		seed := j.options.Seed + int64(len(replies))
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
			return Answer{}, err
		}
		tokens.add(reply)
		for _, c := range reply.Choices[:min(missing, len(reply.Choices))] {
			replies = append(replies, c.text())
			b.add(c)
		}
	}
	a := b.result(want)
	a.Replies, a.Tokens = replies, tokens
	return a, nil
}
