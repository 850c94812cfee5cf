package vlmjudge

import (
	"math"
	"testing"
)

// Whatever a server writes, it is an error or an answer within its bounds.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		`{"choices":[{"finish_reason":"stop","message":{"content":"1"},"logprobs":{"content":[{"token":"1","logprob":-0.1,"top_logprobs":[{"token":"2","logprob":-3}]}]}}]}`,
		`{"choices":[{"message":{"content":[{"type":"text","text":"<answer>2</answer>"}]}}],"usage":{"prompt_tokens":5}}`,
		`{"choices":[{"message":null}]}`, `{"error":{"message":"m"}}`, `{"detail":[{"loc":["body","n"],"msg":"m"}]}`, `<html>`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		message, _ := messageOf(body)
		if tidied := []rune(tidy(message, "key")); len(tidied) > 301 {
			t.Errorf("a message of %d letters", len(tidied))
		}
		reply, err := decodeChat("http://h/v1", body, "key")
		if err != nil {
			return
		}
		for _, c := range reply.Choices {
			for _, tpl := range []template{directPair, directYes} {
				if i := tpl.read(c.text(), c.Finish); i < -1 || i > 1 {
					t.Errorf("label %d", i)
				}
				tokens, _ := c.firstToken()
				a := tpl.soft(tokens)
				for _, v := range []float64{a.P, a.Raw, a.Mass} {
					if math.IsNaN(v) || v < 0 || v > 1 {
						t.Errorf("%+v", a)
					}
				}
			}
		}
	})
}
