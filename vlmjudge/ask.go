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
		return j.fromReward(ctx, prompt, images)
	}
	pictures := make([]string, len(images))
	for i, img := range images {
		var err error
		if pictures[i], err = dataURL(img, j.options.PixelBudget); err != nil {
			return Answer{}, err
		}
	}
	messages := t.messages(prompt, pictures)
	if j.textOnly {
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

// firstTokenRequest asks for the probabilities of the first token.
func firstTokenRequest(messages []message) chatRequest {
	var greedy float64
	return chatRequest{Messages: messages, MaxTokens: 1, Temperature: &greedy, Logprobs: true, TopLogprobs: 20}
}

// poll counts written answers. Servers may give fewer than they are asked for at once; then they are asked again.
func (j *Judge) poll(ctx context.Context, t template, messages []message) (Answer, error) {
	want := j.options.Votes
	a := Answer{Protocol: ProtocolVotes}
	temperature, kind := 1.0, "sampled answers"
	if want == 1 {
		a.Protocol = ProtocolGreedy
		temperature, kind = 0, "greedy answer"
	}
	a.Formula = fmt.Sprintf("(n(%[1]s)+½)/(n(%[1]s)+n(%[2]s)+1) of %[3]d %[4]s", t.Labels[0], t.Labels[1], want, kind)
	var votes [2]int
	for len(a.Replies) < want {
		missing := want - len(a.Replies)
		seed := j.options.Seed + int64(len(a.Replies))
		req := chatRequest{Messages: messages, MaxTokens: j.options.AnswerTokens, Temperature: &temperature, Seed: &seed}
		if missing > 1 {
			req.N = missing
		}
		reply, err := j.chat(ctx, req)
		if err != nil {
			return Answer{}, err
		}
		a.Tokens.add(reply)
		for _, c := range reply.Choices[:min(missing, len(reply.Choices))] {
			text := c.text()
			a.Replies = append(a.Replies, text)
			if i := t.read(text, c.Finish); i >= 0 {
				votes[i]++
			}
		}
	}
	a.P = Votes(votes[0], votes[1], 0, jeffreys)
	a.Raw = float64(votes[0]) / float64(want)
	a.Mass = float64(votes[0]+votes[1]) / float64(want)
	a.Abstained = a.Mass < MinMass
	return a, nil
}
