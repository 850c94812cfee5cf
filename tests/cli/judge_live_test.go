package cli

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"winnow/internal/cli"
	"winnow/tests/vlmserver"
)

// The commands against a real server: a picture's redness is 40 of 255 more than that of the one before.
func TestLive_commands(t *testing.T) {
	url := vlmserver.Address(t)
	redSet(t)
	judge := []string{"--judge", url, "--judge-memory", "m.json", "--json"}
	if model := os.Getenv("WINNOW_TEST_VLM_MODEL"); model != "" {
		judge = append(judge, "--judge-model", model)
	}
	run := func(args ...string) []map[string]any {
		lines, _ := runLines(t, cli.ExitOK, append(args, judge...)...)
		return lines
	}
	probe := run("judge", "probe")[0]
	if vlmserver.Ours() && (probe["api"] != "systemone" || probe["pictures"] != "seen" || probe["structured_output"] != "ignored" || probe["seed"] != "honoured") {
		t.Errorf("%v", probe)
	}
	if v := run("judge", "compare", "-p", "red", "a/4.png", "a/2.png")[0]; v["better"] != "a/4.png" || v["inconsistent"].(float64) > .2 {
		t.Errorf("%v", v)
	}
	for _, command := range [][]string{{"judge", "rank"}, {"rank"}} {
		var order []string
		for _, l := range run(append(command, "-p", "red", "a")...) {
			if l["type"] == "image" {
				order = append(order, fmt.Sprint(l["file"]))
			}
		}
		if got := strings.Join(order, " "); got != "a/5.png a/4.png a/3.png a/2.png a/1.png a/0.png" {
			t.Errorf("%v: %s", command, got)
		}
	}
	for i, l := range run("judge", "score", "-p", "red", "a/0.png", "a/5.png") {
		if p := l["p"].(float64); p > .5 != (i == 1) {
			t.Errorf("%v", l)
		}
	}
	// Of nine pairs the judge errs on the one that is labelled wrongly.
	got := figures(run("eval", "set.jsonl", "--judge-cache", "answers.sqlite")[0])
	for name, want := range map[string]float64{"pickapic.no_ties": 2. / 3, "imagereward.pair_micro": 1, "judge.consistent": 8. / 9, "judge.abstained": 0} {
		if math.Abs(got[name]-want) > 1e-9 {
			t.Errorf("%s: %v, want %v (%v)", name, got[name], want, got)
		}
	}
}
