package vlmjudge

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
)

// token is one candidate of the first position.
type token struct {
	Token   string   `json:"token"`
	Bytes   []int    `json:"bytes"`
	Logprob *float64 `json:"logprob"`
}

// position is a place in a reply.
type position struct {
	drawn string  // the token that stands there
	all   []token // candidates, it among them
}

// positions lists the candidates of each position; nothing if the reply has no probabilities.
func (c choice) positions() []position {
	var doc struct {
		Content []struct {
			token
			Top []token `json:"top_logprobs"`
		} `json:"content"`
	}
	if json.Unmarshal(c.Logprobs, &doc) != nil {
		return nil
	}
	out := make([]position, len(doc.Content))
	for i, at := range doc.Content {
		out[i].drawn = at.Token
		seen := map[string]bool{}
		for _, t := range append(at.Top, at.token) { // the token that was drawn may stand outside the list
			key := fmt.Sprint(t.Token, "\x00", t.Bytes)
			// Servers write −9999 for a probability that they do not know.
			if t.Logprob == nil || *t.Logprob < -9998 || *t.Logprob > 1e-3 || seen[key] {
				continue
			}
			seen[key] = true
			out[i].all = append(out[i].all, t)
		}
	}
	return out
}

// firstToken lists the candidates of the first position; false if the reply has no probabilities.
func (c choice) firstToken() ([]token, bool) {
	all := c.positions()
	if len(all) == 0 || len(all[0].all) == 0 {
		return nil, false
	}
	return all[0].all, true
}

// reasoned turns the candidates of the position where a written answer gives its label, the last such, into an answer;
// false if there is none.
func (t template) reasoned(c choice, label int) (Answer, bool) {
	for _, at := range slices.Backward(c.positions()) {
		if t.labelOf(at.drawn) == label {
			a := t.soft(at.all)
			return a, !a.Abstained
		}
	}
	return Answer{}, false
}

// labelOf is the number of the label that a token spells, or −1. ▁ and Ġ are how tokenizers write a space.
func (t template) labelOf(text string) int {
	text = strings.Trim(text, " \t\r\n▁ĠĊ")
	for i, l := range t.Labels {
		if strings.EqualFold(text, l) {
			return i
		}
	}
	return -1
}

// soft turns the candidates of the first position into an answer.
func (t template) soft(tokens []token) Answer {
	if t.Values != nil {
		return t.expected(tokens)
	}
	a := Answer{P: .5, Protocol: ProtocolLogprobs, Formula: fmt.Sprintf("p(%[1]s)/(p(%[1]s)+p(%[2]s)) of the first token", t.Labels[0], t.Labels[1])}
	var label [2]float64
	listed, least := 0.0, 1.0
	for _, tok := range tokens {
		p := math.Exp(*tok.Logprob)
		listed += p
		least = min(least, p)
		if i := t.labelOf(tok.Token); i >= 0 {
			label[i] += p
		}
	}
	a.Raw, a.Mass = min(label[0], 1), min(label[0]+label[1], 1) // servers round
	if a.Mass < MinMass {
		a.Abstained = true
		return a
	}
	for i := range label {
		if label[i] == 0 { // outside the list: at most its least probable member, and at most what is left
			label[i] = min(least, max(1-listed, 1e-10))
			a.Truncated = true
		}
	}
	a.P, _, _ = Direct(math.Log(label[0]), math.Log(label[1]), math.Inf(-1)) // the mass was checked
	return a
}

var (
	answerTag  = regexp.MustCompile(`(?is)<answer>(.*?)</answer>`)
	answerLead = regexp.MustCompile(`(?i)^(final )?answer( is)?\s*:?\s*`)
	answerNoun = regexp.MustCompile(`(?i)^(the )?(image|picture)\s*`)
	firstWord  = regexp.MustCompile(`^(\pL+)[,.;:!]`)
)

// read is the number of the label that a written answer gives, or −1. An answer that was cut off counts only if it is
// the label and nothing else; one that was filtered never counts. No label is a default.
func (t template) read(text, finish string) int {
	if finish == "content_filter" {
		return -1
	}
	text = afterThought(text)
	if i := t.readJSON(text); i >= 0 {
		return i
	}
	if tags := answerTag.FindAllStringSubmatch(text, -1); tags != nil {
		return t.lone(tags[len(tags)-1][1])
	}
	if i := t.lone(text); i >= 0 || finish == "length" {
		return i
	}
	text = strings.TrimSpace(text)
	if i := t.lone(text[strings.LastIndexByte(text, '\n')+1:]); i >= 0 {
		return i
	}
	// "Yes, it does." but not "1. The first image …", which starts a list.
	if m := firstWord.FindStringSubmatch(text); m != nil {
		return t.labelOf(m[1])
	}
	return -1
}

// afterThought is what follows on thinking: nothing if it was cut off while it thought.
func afterThought(text string) string {
	if i := strings.LastIndex(text, "</think>"); i >= 0 {
		return text[i+len("</think>"):]
	}
	before, _, _ := strings.Cut(text, "<think>")
	if len(before) < len(text) {
		return ""
	}
	return text
}

// lone reads a text that is nothing but a label, perhaps with marks or "Answer: image" around it.
func (t template) lone(text string) int {
	const marks = " \t\r\n*_`\"'.:!()[]{}"
	text = strings.Trim(text, marks)
	text = strings.TrimLeft(answerLead.ReplaceAllString(text, ""), marks)
	return t.labelOf(strings.Trim(answerNoun.ReplaceAllString(text, ""), marks))
}
