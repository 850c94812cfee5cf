package vlmjudge

import (
	"encoding/json"
	"fmt"
	"image/color"
	"math"
	"net/http"
	"strings"
	"testing"
)

// markServer answers questions for a mark by reply, and all others surely by Yes.
func markServer(t *testing.T, reply func(w http.ResponseWriter, a asked)) *fake {
	return newFake(t, func(w http.ResponseWriter, a asked) {
		if strings.Contains(a.texts, "a mark from 1") || strings.Contains(a.texts, "is a mark from") {
			reply(w, a)
			return
		}
		if a.raw["logprobs"] == true {
			serious(w, a)
			return
		}
		say(w, a, "Yes")
	})
}

// The score is Σ v·p/Σ p: by hand, (1·.05 + 2·.1 + 3·.2 + 4·.4 + 5·.05)/.8 = 3.375.
func TestMarks_probabilities(t *testing.T) {
	server := markServer(t, func(w http.ResponseWriter, a asked) {
		var top []string
		for label, p := range map[string]float64{"1": .05, "2": .1, "3": .2, "4": .3, " 4": .1, "5": .05, "I": .2} {
			top = append(top, fmt.Sprintf(`{"token":%q,"logprob":%v}`, label, math.Log(p)))
		}
		fmt.Fprintf(w, `{"model":"fake@1","choices":[{"finish_reason":"length","message":{"content":"4"},"logprobs":{"content":[{"token":"4","logprob":%v,"top_logprobs":[%s]}]}}],"usage":%s}`,
			math.Log(.3), strings.Join(top, ","), usage(a))
	})
	j := mustOpen(t, quick(server.URL))
	a, err := j.Marks(t.Context(), "a cube", filled(56, 56, color.White))
	if err != nil || a.Mark == nil {
		t.Fatalf("%+v, %v", a, err)
	}
	near(t, "expected", a.Mark.Expected, 3.375, 1e-12)
	near(t, "place", a.P, 2.375/4, 1e-12)
	near(t, "mass", a.Mass, .8, 1e-12)
	near(t, "spread", a.Mark.Spread, math.Sqrt(.984375), 1e-12)
	for i, want := range []float64{.0625, .125, .25, .5, .0625} {
		near(t, "share", a.Mark.Shares[i], want, 1e-12)
	}
	if a.Protocol != ProtocolLogprobs || a.Truncated || !strings.Contains(a.Formula, "Σ mark·p(mark)") {
		t.Errorf("%+v", a)
	}
}

// Without probabilities it is the mean of the answers that can be read; where none can, there is no mark.
func TestMarks_votes(t *testing.T) {
	replies := []string{"4", "5", "Mark: four", "<answer>3</answer>", "4."}
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		if strings.Contains(a.texts, "a mark from 1") {
			say(w, a, replies...)
			return
		}
		say(w, a, "Yes", "Yes", "Yes", "Yes", "Yes")
	})
	j := mustOpen(t, quick(server.URL))
	a, err := j.Marks(t.Context(), "a cube", filled(56, 56, color.White))
	if err != nil || a.Mark == nil {
		t.Fatalf("%+v, %v", a, err)
	}
	near(t, "mean", a.Mark.Expected, 4, 1e-12) // of 4, 5, 3 and 4
	near(t, "mass", a.Mass, .8, 1e-12)
	near(t, "spread", a.Mark.Spread, math.Sqrt(.5), 1e-12)
	if a.Protocol != ProtocolVotes || a.Formula != "mean mark of 5 sampled answers" {
		t.Errorf("%+v", a)
	}
	replies = []string{"fine", "6", "10", "", "four"}
	if a, err = j.Marks(t.Context(), "a cube", filled(56, 56, color.White)); err != nil || !a.Abstained || a.Mark != nil || a.P != .5 {
		t.Errorf("%+v, %v", a, err)
	}
	if data, err := json.Marshal(a); err != nil || strings.Contains(string(data), `"mark"`) {
		t.Errorf("%s, %v", data, err)
	}
}

// chain is a chain with probabilities where its answer stands.
func chain(text, label string, other string, p float64) string {
	tokens := []string{fmt.Sprintf(`{"token":%q,"logprob":0,"top_logprobs":[]}`, text+"<answer>")}
	tokens = append(tokens, fmt.Sprintf(`{"token":%q,"logprob":%v,"top_logprobs":[{"token":%[1]q,"logprob":%[2]v},{"token":%[3]q,"logprob":%[4]v}]}`, label, math.Log(p), other, math.Log(1-p)),
		`{"token":"</answer>","logprob":0,"top_logprobs":[]}`)
	content, _ := json.Marshal(text + "<answer>" + label + "</answer>")
	return fmt.Sprintf(`{"finish_reason":"stop","message":{"content":%s},"logprobs":{"content":[%s]}}`, content, strings.Join(tokens, ","))
}

// A judge that shall give reasons is asked so in every question; its answer is the mean over the chains, which are kept.
func TestReason(t *testing.T) {
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		chains := []string{chain("<think>2 has a hat</think>", "1", "2", .9), chain("<think>none</think>", "2", "1", .8)}
		switch {
		case strings.Contains(a.texts, "Yes or No"):
			chains = []string{chain("<think>so</think>", "Yes", "No", .75)}
		case strings.Contains(a.texts, "a mark from 1"):
			chains = []string{chain("<think>so</think>", "4", "5", .5), chain("<think>so</think>", "2", "1", .75)}
		}
		if a.raw["max_tokens"] == 1. { // the question without its picture, for its tokens
			chains = []string{chain("<think>", "x", "y", .5)}
		}
		fmt.Fprintf(w, `{"model":"fake@1","choices":[%s],"usage":%s}`, strings.Join(chains, ","), usage(a))
	})
	o := quick(server.URL)
	o.Reason, o.Votes = true, 2
	j := mustOpen(t, o)
	if i := j.Info(); i.Protocol != ProtocolReasoned || i.Templates[0].ID != "pair.reason.v1" || i.Templates[1].ID != "check.reason.v1" || i.Templates[2].ID != "mark.reason.v1" {
		t.Fatalf("%+v", i)
	}
	red, blue := filled(56, 56, color.NRGBA{200, 0, 0, 255}), filled(56, 56, color.NRGBA{0, 0, 200, 255})
	c, err := j.Compare(t.Context(), "a cube", red, blue)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "P", c.AFirst.P, (.9+.2)/2, 1e-9)
	if len(c.AFirst.Replies) != 2 || c.AFirst.Replies[0] != "<think>2 has a hat</think><answer>1</answer>" {
		t.Errorf("%q", c.AFirst.Replies)
	}
	a, err := j.Marks(t.Context(), "a cube", red)
	if err != nil || a.Mark == nil {
		t.Fatalf("%+v, %v", a, err)
	}
	near(t, "mark", a.Mark.Expected, (4.5+1.75)/2, 1e-9)
	for _, r := range server.requests() {
		if tokens := r.raw["max_tokens"]; tokens != 1. && tokens != 1024. {
			t.Errorf("max_tokens %v", tokens)
		}
	}
}

// transformers serve gives the probability of each mark.
func TestMarks_systemone(t *testing.T) {
	server := newNative(t, map[string]func(http.ResponseWriter, []byte){"/v1/chat/completions": plainChat(""), "/v1/systemone": func(w http.ResponseWriter, body []byte) {
		answer := `{"noul":0.9}`
		if strings.Contains(string(body), "perfectly") {
			answer = `{"choice":"4","probabilities":{"1":0,"2":0.1,"3":0.2,"4":0.6,"5":0.1}}`
		}
		pictures := strings.Count(string(body), "data_base64")
		fmt.Fprintf(w, `{"model":"own","answers":{"verdict":%s},"usage":{"input_tokens":%d}}`, answer, 40+6*pictures)
	}})
	j := mustOpen(t, quick(server.URL))
	a, err := j.Marks(t.Context(), "a cube", filled(56, 56, color.White))
	if err != nil || a.Mark == nil || a.Protocol != ProtocolSystemone {
		t.Fatalf("%+v, %v", a, err)
	}
	near(t, "mark", a.Mark.Expected, 3.7, 1e-12)
}

// A scale of one's own, by words.
func TestMarks_words(t *testing.T) {
	w, err := ReadWording("f", []byte("question: marks\nlabels: bad=0 fair=.5 good=1\n[user]\n{prompt}\n{picture}\nbad, fair or good?\n"))
	if err != nil {
		t.Fatal(err)
	}
	a := w.chat.soft([]token{{Token: "Good", Logprob: new(math.Log(.6))}, {Token: " bad", Logprob: new(math.Log(.2))}})
	if a.Mark == nil || !a.Truncated || math.Abs(a.Mark.Expected-.75) > 1e-12 || math.Abs(a.Mass-.8) > 1e-12 {
		t.Errorf("%+v", a)
	}
}
