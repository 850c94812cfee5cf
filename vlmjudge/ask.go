package vlmjudge

import (
	"context"
	"image"
)

// ask puts one question by the judge's protocol. Of written answers those that are known are not asked for again; then it also returns
// all of them, the known ones first, and with an error those that there are.
func (j *Judge) ask(ctx context.Context, t template, prompt string, known []Answer, images []image.Image) (a Answer, all []Answer, err error) {
	if err := checkPrompt(prompt); err != nil {
		return a, nil, err
	}
	if j.reward != nil {
		a, err = j.fromReward(ctx, t, prompt, images)
		return a, nil, err
	}
	pictures := make([]string, len(images))
	for i, img := range images {
		if pictures[i], err = dataURL(img, j.sendBudget()); err != nil {
			return a, nil, err
		}
	}
	if j.settled.api == APISystemone {
		a, _, err = j.decide(ctx, j.asks.decisions[t.question], prompt, pictures)
		return a, nil, err
	}
	messages := t.messages(prompt, pictures)
	if j.settled.protocol.written() {
		return j.poll(ctx, t, messages, known)
	}
	reply, err := j.chat(ctx, firstTokenRequest(messages))
	if err != nil {
		return a, nil, err
	}
	c := reply.Choices[0]
	tokens, ok := c.firstToken()
	if !ok && c.Finish != "content_filter" {
		a, _, err = j.poll(ctx, t, messages, nil)
		a.Tokens.add(reply)
		return a, nil, err
	}
	a = t.soft(tokens)
	a.Replies = []string{c.text()}
	a.Tokens.add(reply)
	return a, nil, nil
}

const topLogprobs = 20 // the most that servers give

// firstTokenRequest asks for the probabilities of the first token.
func firstTokenRequest(messages []message) chatRequest {
	var greedy float64
	return chatRequest{Messages: messages, MaxTokens: 1, Temperature: &greedy, Logprobs: true, TopLogprobs: topLogprobs}
}
