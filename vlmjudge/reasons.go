package vlmjudge

import (
	"cmp"
	"encoding/json"
	"regexp"
	"strings"
)

// Reason is one written answer taken apart. All of it is untrusted text.
type Reason struct {
	Thoughts string // why, as far as the judge wrote it down; "": it did not
	Given    int    // number of the label that it gave, from 0; −1: none that can be read
	Reply    string // as it was written
}

// Reasons are the written answers behind an answer.
func (a Answer) Reasons() []Reason {
	out := make([]Reason, len(a.Replies))
	for i, reply := range a.Replies {
		out[i] = Reason{Thoughts: thoughtsIn(reply), Given: -1, Reply: reply}
		if i < len(a.Given) {
			out[i].Given = a.Given[i]
		}
		if i < len(a.Thoughts) && a.Thoughts[i] != "" {
			out[i].Thoughts = strings.TrimSpace(a.Thoughts[i] + "\n\n" + out[i].Thoughts)
		}
	}
	return out
}

// add takes over the written answer of a sample.
func (a *Answer) add(s Answer) {
	var thoughts string
	if len(s.Thoughts) > 0 {
		thoughts = s.Thoughts[0]
	}
	if thoughts != "" || a.Thoughts != nil {
		a.Thoughts = append(a.Thoughts, make([]string, len(a.Replies)-len(a.Thoughts))...)
		a.Thoughts = append(a.Thoughts, thoughts)
	}
	given := -1 // answers that were kept before it was written down
	if len(s.Given) > 0 {
		given = s.Given[0]
	}
	a.Replies, a.Given = append(a.Replies, s.Replies...), append(a.Given, given)
}

var answerHead = regexp.MustCompile(`(?i)<answer>`)

// thoughtsIn is what a reply says before its answer: in the member of a schema, before </think> or before <answer>; the whole of it
// where nothing parts the two and it is more than an answer.
func thoughtsIn(reply string) string {
	var doc struct {
		Reasoning string `json:"reasoning"`
		Answer    string `json:"answer"`
	}
	if json.Unmarshal([]byte(reply), &doc) == nil && doc.Answer != "" {
		return strings.TrimSpace(doc.Reasoning)
	}
	text := reply
	if i := strings.LastIndex(text, "</think>"); i >= 0 {
		text = text[:i]
	} else if all := answerHead.FindAllStringIndex(text, -1); all != nil {
		text = text[:all[len(all)-1][0]]
	}
	text = strings.TrimSpace(strings.Replace(text, "<think>", "", 1))
	if text == strings.TrimSpace(reply) && len(strings.Fields(text)) <= 3 {
		return ""
	}
	return text
}

// apart is the reasoning that a server keeps apart from the content.
func (c choice) apart() string {
	return strings.TrimSpace(string(cmp.Or(c.Message.Reasoning, c.Message.ReasoningContent)))
}
