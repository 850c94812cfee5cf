package ledger

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"winnow/vlmjudge"
)

func TestBook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "answers.sqlite")
	b := At(path)
	if _, err := b.Sums(t.Context()); err == nil {
		t.Error("a file that does not exist has sums")
	}
	if _, known, err := b.Recall(t.Context(), "k"); known || err != nil {
		t.Fatal(known, err)
	}
	a := vlmjudge.Answer{
		P: .7, Raw: .6, Mass: .9, Truncated: true, Protocol: vlmjudge.ProtocolLogprobs, Formula: "f", Replies: []string{"1"},
		Tokens: vlmjudge.Tokens{Requests: 1, Prompt: 50, Completion: 2},
	}
	c := vlmjudge.Call{Time: time.Unix(1000, 0), Seconds: 1.5, URL: "u", Model: "m", Template: "t", Pictures: 2, Money: .25, Answer: a}
	second := a
	second.Replies = []string{"2"}
	for i, kept := range [][]vlmjudge.Kept{{{Key: "k", Answer: a}, {Key: "l", Answer: second}}, {{Key: "k", Answer: second}}, nil} {
		c.Kept, c.Time = kept, time.Unix(int64(1000+i), 0)
		if err := b.Keep(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	c.Template, c.Answer.Abstained = "other", true
	if err := b.Keep(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = At(path) // another process
	got, known, err := b.Recall(t.Context(), "k")
	if err != nil || !known || !reflect.DeepEqual(got, a) {
		t.Errorf("%+v, %v, %v", got, known, err)
	}
	if got, known, err := b.Recall(t.Context(), "l"); err != nil || !known || !reflect.DeepEqual(got, second) {
		t.Errorf("%+v, %v, %v", got, known, err)
	}
	if _, known, err := b.Recall(t.Context(), ""); known || err != nil {
		t.Error("an answer without a key is recalled")
	}
	sums, err := b.Sums(t.Context())
	want := []Sum{
		{URL: "u", Model: "m", Template: "other", Protocol: "logprobs", Questions: 1, Abstained: 1, Requests: 1, PromptTokens: 50, AnswerTokens: 2, Seconds: 1.5, Money: .25, First: time.Unix(1002, 0).UTC(), Last: time.Unix(1002, 0).UTC()},
		{URL: "u", Model: "m", Template: "t", Protocol: "logprobs", Questions: 3, Requests: 3, PromptTokens: 150, AnswerTokens: 6, Seconds: 4.5, Money: .75, First: time.Unix(1000, 0).UTC(), Last: time.Unix(1002, 0).UTC()},
	}
	if err != nil || !reflect.DeepEqual(sums, want) {
		t.Errorf("%+v, %v", sums, err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestBook_foreign(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "text")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, filepath.Join(dir, "none", "file")} {
		if _, _, err := At(p).Recall(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), p) && !strings.Contains(err.Error(), "none") {
			t.Errorf("%s: %v", p, err)
		}
	}
}
