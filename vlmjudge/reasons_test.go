package vlmjudge

import (
	"fmt"
	"image/color"
	"net/http"
	"slices"
	"testing"
)

func TestThoughtsIn(t *testing.T) {
	for reply, want := range map[string]string{
		"<think>a hat</think><answer>1</answer>":      "a hat",
		"<think>a hat\nand more":                      "a hat\nand more",
		"The first has a hat.\n<answer>1</answer>":    "The first has a hat.",
		`{"reasoning":" a hat ","answer":"1"}`:        "a hat",
		`{"answer":"1"}`:                              "",
		"1":                                           "",
		"Image 1.":                                    "",
		"Image 1, because of its hat.":                "Image 1, because of its hat.",
		"<think></think><answer>1</answer>":           "",
		"<think><script>alert(1)</script></think>Yes": "<script>alert(1)</script>",
		"":                                "",
		"<ANSWER>1</ANSWER>":              "",
		"\u0130\u0130 <answer>1</answer>": "\u0130\u0130",
		"<think>is <answer>2</answer> right?</think> 1": "is <answer>2</answer> right?",
	} {
		if got := thoughtsIn(reply); got != want {
			t.Errorf("%q: %q, want %q", reply, got, want)
		}
	}
}

// What servers keep apart from the answer is kept too, under each of their names, and whatever stands in its place does no harm.
func TestReasons_apart(t *testing.T) {
	for _, field := range []string{`"reasoning":"why"`, `"reasoning_content":"why"`, `"reasoning":"why","reasoning_content":"not"`, `"reasoning":{"x":1},"reasoning_content":"why"`} {
		server := newFake(t, func(w http.ResponseWriter, a asked) {
			label := "Yes"
			if a.pair() {
				label = "2"
			}
			fmt.Fprintf(w, `{"model":"fake@1","choices":[{"finish_reason":"stop","message":{"content":%q,%s}},{"finish_reason":"stop","message":{"content":"?"}}],"usage":%s}`, label, field, usage(a))
		})
		o := quick(server.URL)
		o.Votes = 2
		j := mustOpen(t, o)
		c, err := j.Compare(t.Context(), "a cube", filled(56, 56, color.White), filled(56, 56, color.Black))
		if err != nil {
			t.Fatal(err)
		}
		want := []Reason{{Thoughts: "why", Given: 1, Reply: "2"}, {Given: -1, Reply: "?"}}
		if got := c.AFirst.Reasons(); !slices.Equal(got, want) {
			t.Errorf("%s: %+v", field, got)
		}
	}
}
