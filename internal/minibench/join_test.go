package minibench

import (
	"encoding/json"
	"io"
	"math"
	"strings"
	"testing"
)

func lineOf(t *testing.T, method string, multiple int, reward ...float64) string {
	t.Helper()
	r := SearchReport{Method: method, Multiple: multiple, Prompts: len(reward), RewardEach: reward, CheckerEach: make([]float64, len(reward))}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data) + "\n"
}

// Runs of single methods on the same prompts are one comparison.
func TestJoinSearches(t *testing.T) {
	plain := lineOf(t, "plain", 1, 1, 2, 3)
	runs := func(texts ...string) []io.Reader {
		var out []io.Reader
		for _, s := range texts {
			out = append(out, strings.NewReader(s))
		}
		return out
	}
	got, err := JoinSearches(runs(
		plain+lineOf(t, "evolution", 16, 3, 5, 4)+lineOf(t, "evolution", 8, 2, 2, 2),
		plain+lineOf(t, "random", 8, 2, 3, 4)+lineOf(t, "random", 16, 3, 3, 4),
	), false)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, r := range got {
		order = append(order, r.Method)
	}
	if strings.Join(order, " ") != "plain random evolution random evolution" || got[1].Multiple != 8 || got[3].Multiple != 16 {
		t.Errorf("order %v", order)
	}
	if d := got[4].OverRandom; math.Abs(d.Mean-2.0/3) > 1e-12 || d.Low > d.Mean || got[4].P <= 0 || got[3].P != 0 {
		t.Errorf("over random %+v, p %v", d, got[4].P)
	}
	for _, bad := range []struct{ why, run string }{
		{"prompts, seed", lineOf(t, "plain", 1, 1, 2, 4)},
		{"run 2", "{\"method\": 3}"},
		{"each prompt", `{"method": "random", "prompts": 3}`},
	} {
		if _, err := JoinSearches(runs(plain, bad.run), false); err == nil || !strings.Contains(err.Error(), bad.why) {
			t.Errorf("error %v, want %q in it", err, bad.why)
		}
	}
	if _, err := JoinSearches(runs(lineOf(t, "random", 8, 1)), false); err == nil {
		t.Error("runs without plain pictures are joined")
	}
}
