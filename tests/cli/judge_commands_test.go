package cli

import (
	"math"
	"strings"
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
