package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"winnow/internal/cli"
)

// A server with a bias of one log-odds: the bias is told, and does not decide.
func TestJudge_compareAndScore(t *testing.T) {
	redSet(t)
	j := newRedJudge(t, 1)
	// Redness −40+… by 40 a picture: 5 against 4 is 40/20 = 2 log-odds.
	lines, _ := runLines(t, cli.ExitOK, "judge", "compare", "--judge", j.URL, "-p", "red", "--json", "a/4.png", "a/5.png")
	v := lines[0]
	if v["better"] != "a/5.png" || math.Abs(v["logit_mean"].(float64)-1/(1+math.Exp(2))) > 1e-9 || math.Abs(v["bias"].(float64)-1) > 1e-9 {
		t.Errorf("%v", v)
	}
	if first := v["a_first"].(map[string]any)["p"].(float64); math.Abs(first-1/(1+math.Exp(1))) > 1e-9 {
		t.Errorf("shown first %v", first)
	}
	lines, _ = runLines(t, cli.ExitOK, "judge", "score", "--judge", j.URL, "-p", "red", "--json", "a/0.png", "a/3.png")
	for i, red := range []float64{-40, 80} {
		if p := lines[i]["p"].(float64); math.Abs(p-1/(1+math.Exp(1-red/50))) > 1e-9 {
			t.Errorf("%v", lines[i])
		}
	}
	lines, _ = runLines(t, cli.ExitOK, "judge", "probe", "--judge", j.URL, "--json")
	if l := lines[0]; l["protocol"] != "logprobs" || l["served_model"] != "red" || l["pictures"] != "unchecked" {
		t.Errorf("%v", l)
	}
	j.broken.Store(true)
	_, stderr := runLines(t, cli.ExitFailed, "judge", "compare", "--judge", j.URL, "-p", "red", "--json", "a/4.png", "a/5.png")
	if !strings.Contains(stderr, "the picture cannot be read") {
		t.Error(stderr)
	}
}

// A server that gives no probabilities and refuses a field: the first is always said, the second to those who ask. The probe says what it
// makes of a schema and of seeds, and remembers it.
func TestJudge_verbose(t *testing.T) {
	redSet(t)
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		switch asked.Add(1); {
		case err != nil || r.URL.Path != "/v1/chat/completions":
			http.Error(w, `{"detail":"Not Found"}`, http.StatusNotFound)
		case bytes.Contains(body, []byte(`"logprobs"`)):
			http.Error(w, `{"detail":"Unexpected fields in the request: {'top_logprobs', 'logprobs'}"}`, http.StatusUnprocessableEntity)
		case bytes.Contains(body, []byte(`"response_format"`)):
			fmt.Fprint(w, `{"model":"m","choices":[{"message":{"content":"{\"answer\":\"Yes\"}"}}]}`)
		default:
			fmt.Fprint(w, `{"model":"m","choices":[{"message":{"content":"Yes"}}]}`)
		}
	}))
	t.Cleanup(server.Close)
	args := []string{"judge", "score", "--judge", server.URL, "-p", "red", "--json", "a/4.png"}
	for _, verbose := range []bool{false, true} {
		if verbose {
			args = append(args, "--verbose")
		}
		_, stderr := runLines(t, cli.ExitOK, args...)
		if strings.Count(stderr, "gives no label probabilities: counts 5 sampled answers") != 1 || strings.Contains(stderr, `(field "logprobs, top_logprobs")`) != verbose {
			t.Errorf("verbose %v: %s", verbose, stderr)
		}
	}
	probe := []string{"judge", "probe", "--judge", server.URL, "--judge-memory", "m.json", "--json"}
	first, _ := runLines(t, cli.ExitOK, probe...)
	if l := first[0]; l["structured_output"] != "honoured" || l["seed"] != "unclear" || l["by_schema"] != nil || l["protocol"] != "votes" {
		t.Errorf("%v", l)
	}
	asked.Store(0)
	again, _ := runLines(t, cli.ExitOK, probe...)
	if again[0]["structured_output"] != "honoured" || again[0]["seed"] != "unclear" || asked.Load() != 1 {
		t.Errorf("%v after %d questions", again[0], asked.Load())
	}
}

// A judge by a wrong scale: people choose the redder picture less surely than it does. The file that calibrate writes makes it less sure,
// everywhere, and fits this judge only.
func TestJudge_calibrate(t *testing.T) {
	redSet(t)
	var rows strings.Builder
	for i := range 150 {
		a, b := i%6, (i+1+i/6%5)%6
		label := 0
		if (a > b) != (i%4 == 0) { // people contradict a quarter of the time
			label = 1
		}
		fmt.Fprintf(&rows, `{"prompt":"red %d","images":["a/%d.png","a/%d.png"],"label":%d}`+"\n", i, a, b, label)
	}
	mustDo(t, os.WriteFile("pairs.jsonl", []byte(rows.String()), 0o600))
	j := newRedJudge(t, 1)
	lines, _ := runLines(t, cli.ExitOK, "judge", "calibrate", "--judge", j.URL, "--data", "pairs.jsonl", "--output", "c.json", "--judge-cache", "v.sqlite", "--json")
	l := lines[0]
	before, after := l["before"].(map[string]any), l["after"].(map[string]any)
	if l["type"] != "calibration" || l["pairs"] != 150. || !(l["scale"].(float64) < .9) || !(after["log_loss"].(float64) < before["log_loss"].(float64)) || after["correct"] != before["correct"] {
		t.Errorf("%v", l)
	}
	compare := []string{"judge", "compare", "--judge", j.URL, "-p", "red", "--json", "a/4.png", "a/5.png"}
	lines, _ = runLines(t, cli.ExitOK, append(compare, "--calibration", "c.json")...)
	odds := func(p float64) float64 { return math.Log(p / (1 - p)) }
	if got, want := odds(lines[0]["logit_mean"].(float64)), -2*l["scale"].(float64); math.Abs(got-want) > 1e-6 {
		t.Errorf("log-odds %v, want %v", got, want)
	}
	data, err := os.ReadFile("c.json")
	mustDo(t, err)
	var c map[string]any
	mustDo(t, json.Unmarshal(data, &c))
	if c["model"] != "red" || c["report"] == nil {
		t.Errorf("%v", c)
	}
	_, stderr := runLines(t, cli.ExitFailed, "judge", "compare", "--judge", "mini", "-p", "red", "--json", "a/4.png", "a/5.png", "--calibration", "c.json")
	if !strings.Contains(stderr, "the calibration is of another judge: model red") {
		t.Error(stderr)
	}
	// The second time nothing is asked, with the server gone after it was opened.
	j.broken.Store(true)
	again, _ := runLines(t, cli.ExitOK, "judge", "calibrate", "--judge", j.URL, "--data", "pairs.jsonl", "--output", "d.json", "--judge-cache", "v.sqlite", "--json")
	if again[0]["scale"] != l["scale"] {
		t.Errorf("%v", again[0])
	}
}

// A limit of time leaves rows out, says so, and is a partial result.
func TestEval_judgeLimit(t *testing.T) {
	redSet(t)
	j := newRedJudge(t, 0)
	lines, stderr := runLines(t, cli.ExitPartial, "eval", "set.jsonl", "--judge", j.URL, "--judge-max-time", "1ns", "--json")
	if lines[0]["missing"] != 4. || strings.Count(stderr, "the judge is asked no more: the limit of 1ns is reached") != 1 {
		t.Errorf("%v\n%s", lines, stderr)
	}
}
