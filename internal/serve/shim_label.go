package serve

import (
	"math"
	"regexp"
	"strings"
)

// Judges of other programs are asked for a label: "Reply with 1 or 2." about two pictures, "Reply with Yes or No." about one. So asks
// winnow's own client (package vlmjudge), to which a server of rewards then is a judge:
//
//	→ {"choices": [{"message": {"content": "1"}, "logprobs": {"content": [{"token": "1", "logprob": -0.2, "top_logprobs": […]}]}}], …}
//
// The probability of the first label is that of /v1/compare for two pictures, and (mark − 1)/4 of the grade for one. The caption is what
// stands in the fence.
var (
	labelled = regexp.MustCompile(`Reply with (\S+) or (\S+)\.\s*$`)
	fence    = regexp.MustCompile("(?m)^(`{3,})[^\n`]*$")
)

// fenced is the text between the first fence and the next one of the same length; ok is false without one.
func fenced(text string) (inside string, ok bool) {
	open := fence.FindStringSubmatchIndex(text)
	if open == nil {
		return "", false
	}
	mark, rest := text[open[2]:open[3]], text[open[1]:]
	before, _, ok := strings.Cut(rest, "\n"+mark)
	return strings.TrimSpace(before), ok
}

// labelsIn are the two answers that a question leaves.
func labelsIn(text string) (labels [2]string, ok bool) {
	m := labelled.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return labels, false
	}
	return [2]string{m[1], m[2]}, true
}

// labelOf gives a label with the log-probabilities of both. plain is what the question's shape would be answered by otherwise.
func (s *Server) labelOf(c *call, labels [2]string, prompt string, images []source) (content string, logprobs, plain any, err error) {
	var p float64
	if len(images) == 2 {
		reply, err := s.compare(c.Context(), compareRequest{Prompt: prompt, Images: images}, c.lease)
		if err != nil {
			return "", nil, nil, err
		}
		p, plain = reply.P, reply
	} else {
		results, err := s.score(c.Context(), itemsOf(prompt, images), c.lease)
		if err != nil {
			return "", nil, nil, err
		}
		if results[0].Error != "" {
			return "", nil, nil, unusable("%s", results[0].Error)
		}
		p, plain = (s.mark(results[0])-1)/4, map[string]any{"scores": []*float64{results[0].Score}}
	}
	p = min(1-1e-9, max(1e-9, p))
	both := []map[string]any{{"token": labels[0], "logprob": math.Log(p)}, {"token": labels[1], "logprob": math.Log1p(-p)}}
	if p < 0.5 {
		both[0], both[1] = both[1], both[0]
	}
	content = both[0]["token"].(string)
	return content, map[string]any{"content": []map[string]any{
		{"token": content, "logprob": both[0]["logprob"], "top_logprobs": both},
	}}, plain, nil
}
