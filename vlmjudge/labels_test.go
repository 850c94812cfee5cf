package vlmjudge

import (
	"encoding/json"
	"math"
	"testing"
)

// Replies in the forms of the servers: vLLM and OpenAI with bytes, llama.cpp with ids as well.
func TestSoft(t *testing.T) {
	for _, c := range []struct {
		name, logprobs string
		p, raw, mass   float64
		truncated      bool
	}{
		{
			"vLLM", `{"content":[{"token":"1","logprob":-0.2231,"bytes":[49],"top_logprobs":[
				{"token":"1","logprob":-0.2231,"bytes":[49]},{"token":"2","logprob":-2.3026,"bytes":[50]}]}]}`,
			.888895, .800034, .900033, false,
		},
		{
			"llama.cpp", `{"content":[{"id":17,"token":"2","bytes":[50],"logprob":-0.5108256,"top_logprobs":[
				{"id":17,"token":"2","bytes":[50],"logprob":-0.5108256},{"id":16,"token":"1","bytes":[49],"logprob":-0.9162907}]}]}`,
			.4, .4, 1, false,
		},
		{
			"surface forms, each once", `{"content":[{"token":" 1","logprob":-1.3862944,"bytes":null,"top_logprobs":[
				{"token":"1","logprob":-1.3862944},{"token":" 1","logprob":-1.3862944},{"token":"Ġ2","logprob":-2.0794415},{"token":"▁2","logprob":-2.0794415}]}]}`,
			2. / 3, .5, .75, false,
		},
		{
			"drawn outside the list", `{"content":[{"token":"2","logprob":-1.6094379,"top_logprobs":[{"token":"1","logprob":-0.2231436}]}]}`,
			.8, .8, 1, false,
		},
		{
			"one label below the list", `{"content":[{"token":"1","logprob":-0.1053605,"top_logprobs":[
				{"token":"1","logprob":-0.1053605},{"token":"A","logprob":-3.2188758},{"token":"The","logprob":-3.9120230}]}]}`,
			.9 / .92, .9, .9, true, // bounded by the .02 of "The"
		},
		{
			"one label only", `{"content":[{"token":"1","logprob":-0.1053605,"top_logprobs":[{"token":"1","logprob":-0.1053605}]}]}`,
			.9, .9, .9, true, // bounded by the .1 that is left
		},
		{
			"an unknown probability", `{"content":[{"token":"1","logprob":-0.6931472,"top_logprobs":[
				{"token":"1","logprob":-0.6931472},{"token":"2","logprob":-9999.0},{"token":"x","logprob":-2.3025851}]}]}`,
			.5 / .6, .5, .5, true,
		},
	} {
		tokens, ok := choice{Logprobs: json.RawMessage(c.logprobs)}.firstToken()
		if !ok {
			t.Errorf("%s: no probabilities found", c.name)
			continue
		}
		a := directPair.soft(tokens)
		near(t, c.name+": P", a.P, c.p, 1e-6)
		near(t, c.name+": raw", a.Raw, c.raw, 1e-6)
		near(t, c.name+": mass", a.Mass, c.mass, 1e-6)
		if a.Truncated != c.truncated || a.Abstained {
			t.Errorf("%s: %+v", c.name, a)
		}
	}
}

func TestSoft_certain(t *testing.T) {
	tokens, _ := choice{Logprobs: json.RawMessage(`{"content":[{"token":"1","logprob":0.0,"top_logprobs":[]}]}`)}.firstToken()
	if a := directPair.soft(tokens); !(a.P > .999999 && a.P <= 1) || !a.Truncated || math.IsNaN(Swap(a.P, a.P).LogitMean) {
		t.Errorf("%+v", a)
	}
}

func TestFirstToken_absent(t *testing.T) {
	for _, logprobs := range []string{
		``, `null`, `{}`, `{"content":null}`, `{"content":[]}`, `[]`, `"x"`, `{"content":[{"token":"1"}]}`,
		`{"content":[{"token":"1","logprob":-9999.0}]}`, `{"content":[{"token":"1","logprob":0.5}]}`,
		`{"content":[{"token":1,"logprob":-0.5}]}`, `{"tokens":["1"],"token_logprobs":[-0.1]}`,
	} {
		if tokens, ok := (choice{Logprobs: json.RawMessage(logprobs)}).firstToken(); ok {
			t.Errorf("%s: %v", logprobs, tokens)
		}
	}
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		text, finish string
		pair, yes    int
	}{
		{"1", "length", 0, -1},
		{" 2\n", "stop", 1, -1},
		{"**1**", "stop", 0, -1},
		{"Image 2.", "stop", 1, -1},
		{"Answer: 1", "stop", 0, -1},
		{"The final answer is 2", "stop", -1, -1}, // not one of the known forms
		{"Final answer: Image 2", "stop", 1, -1},
		{"It has the cube.\n\nAnswer: 2", "stop", 1, -1},
		{"It has the cube.\n\nAnswer: 2", "length", -1, -1}, // may go on
		{"1. The first image shows", "length", -1, -1},
		{"1. The first image shows a cube.\n2. The second does not.", "stop", -1, -1},
		{"1 and 2 are equal", "stop", -1, -1},
		{"12", "stop", -1, -1},
		{"both", "stop", -1, -1},
		{"", "stop", -1, -1},
		{"<think>2 is worse</think>1", "stop", 0, -1},
		{"<think>1 seems", "length", -1, -1},
		{"<answer>1</answer> or rather <answer> 2 </answer>", "stop", 1, -1},
		{"<answer>both</answer>\n1", "stop", -1, -1},
		{"1", "content_filter", -1, -1},
		{"Yes", "stop", -1, 0},
		{"no.", "stop", -1, 1},
		{"YES!", "stop", -1, 0},
		{"Yes, it shows a cube.", "stop", -1, 0},
		{"Yes, it shows", "length", -1, -1},
		{"No idea, sorry.", "stop", -1, -1},
		{"Yes and no.", "stop", -1, -1},
		{"The answer: yes", "stop", -1, -1},
	} {
		if got := directPair.read(c.text, c.finish); got != c.pair {
			t.Errorf("%q, %s: pair %d, want %d", c.text, c.finish, got, c.pair)
		}
		if got := directYes.read(c.text, c.finish); got != c.yes {
			t.Errorf("%q, %s: yes %d, want %d", c.text, c.finish, got, c.yes)
		}
	}
}

func TestText(t *testing.T) {
	for content, want := range map[string]string{
		`"1"`: "1", `null`: "", `[{"type":"text","text":"1"},{"type":"text","text":"2"}]`: "12", `{}`: "", ``: "",
	} {
		var c choice
		c.Message.Content = json.RawMessage(content)
		if got := c.text(); got != want {
			t.Errorf("%s: %q, want %q", content, got, want)
		}
	}
}
