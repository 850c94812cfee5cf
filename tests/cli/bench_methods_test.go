package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"winnow/internal/cli"
	"winnow/internal/minibench"
)

const tinyProtocol = `unet-evaluations: 60
probe-updates: 1
seeds: [1, 2]
steps: 2
guidance-scales: [1]
training-prompts: 4
validation-prompts: 3
heldout-prompts: 4
reward: mini
make: {num-images: 4, steps: 2, guidance-scale: 1}
label: {pairs: all, pairs-per-prompt: 2}
train: {rank: 2, learning-rate: 1e-3, train-batch-size: 2}
trials: 2
methods:
  - {name: dpo, method: dpo, trials: [{beta-dpo: 200}, {beta-dpo: 800}]}
  - {name: listwise, method: dpo, data: groups, set: {loss: listwise}, trials: [{beta-dpo: 200}, {beta-dpo: 800}]}
  - {name: ddpo, method: ddpo, set: {sibling-steps: 3, sibling-guidance: 1, path-count: 2, train-batch-size: 1}, trials: [{}, {learning-rate: 2e-3}]}
orders:
  - {paper: "Somebody, 2024", by: PickScore, order: [base, ddpo, dpo]}
`

// A comparison of three methods, killed in the middle, goes on and ends with its tables; a second look trains nothing.
func TestBenchMethods(t *testing.T) {
	dir := t.TempDir()
	mustDo(t, os.WriteFile(filepath.Join(dir, "p.yaml"), []byte(tinyProtocol), 0o600))
	args := []string{"bench", "methods", "--protocol", "p.yaml", "--output", "out", "--jobs", "2", "--json", "-q"}
	cmd, _, _ := process(t, dir, args...)
	mustDo(t, cmd.Start())
	time.Sleep(4 * time.Second)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	cmd, stdout, stderr := process(t, dir, args...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	var seen []string
	var orders []minibench.OrderReport
	for line := range strings.Lines(stdout.String()) {
		var r struct {
			Type string
			minibench.MethodReport
		}
		mustDo(t, json.Unmarshal([]byte(line), &r))
		if r.Type == "method_order" {
			var o minibench.OrderReport
			mustDo(t, json.Unmarshal([]byte(line), &o))
			orders = append(orders, o)
			continue
		}
		seen = append(seen, r.Name)
		if r.Type != "method_figures" || r.Prompts != 4 || r.Seeds != 2 {
			t.Errorf("%s", line)
		}
		if r.Name != "base" && (r.Updates < 1 || r.Evaluations < 20 || r.Evaluations > 200 || r.Seconds <= 0 || r.Memory < 1<<20 || r.Trial < 1) {
			t.Errorf("%s cost: %s", r.Name, line)
		}
	}
	if strings.Join(seen, " ") != "base dpo listwise ddpo" {
		t.Errorf("%v", seen)
	}
	if len(orders) != 1 || len(orders[0].Here) != 3 || len(orders[0].Claims) != 3 || orders[0].Paper != "Somebody, 2024" {
		t.Errorf("%+v", orders)
	}
	for _, name := range []string{"methods.md", "methods.json", "methods.html"} {
		if info, err := os.Stat(filepath.Join(dir, "out", name)); err != nil || info.Size() < 500 {
			t.Errorf("%s: %v", name, err)
		}
	}
	made := func(folder string) time.Time {
		info, err := os.Stat(filepath.Join(dir, "out", folder, "figures.json"))
		mustDo(t, err)
		return info.ModTime()
	}
	before := made("dpo/seed-1")
	again, second, stderr := process(t, dir, args...)
	if err := again.Run(); err != nil || second.String() != stdout.String() {
		t.Errorf("%v: %s", err, stderr)
	}
	if !made("dpo/seed-1").Equal(before) {
		t.Error("a training was done again")
	}
	// Other settings of one trial: that is trained anew, and nothing that did not change.
	kept, changed := made("listwise/trial-1"), made("listwise/trial-2")
	mustDo(t, os.WriteFile(filepath.Join(dir, "p.yaml"), []byte(strings.Replace(tinyProtocol, "{beta-dpo: 800}]}\n  - {name: ddpo", "{beta-dpo: 900}]}\n  - {name: ddpo", 1)), 0o600))
	edited, _, stderr := process(t, dir, args...)
	if err := edited.Run(); err != nil {
		t.Errorf("%v: %s", err, stderr)
	}
	if !made("dpo/seed-1").Equal(before) || !made("listwise/trial-1").Equal(kept) || made("listwise/trial-2").Equal(changed) {
		t.Error("a changed setting: not what changed was trained anew")
	}
	mustDo(t, os.WriteFile(filepath.Join(dir, "p.yaml"), []byte(strings.Replace(tinyProtocol, "evaluations: 60", "evaluations: 80", 1)), 0o600))
	other, _, stderr := process(t, dir, args...)
	if err := other.Run(); err == nil || other.ProcessState.ExitCode() != 2 || !strings.Contains(stderr.String(), "by another protocol") {
		t.Errorf("%v: %s", err, stderr)
	}
}

// Every setting of the shipped protocol is one that its method takes: what is wrong is found before data are looked for.
func TestBenchMethods_shipped(t *testing.T) {
	data, err := os.ReadFile("../../assets/mini/methods.yaml")
	mustDo(t, err)
	p, err := minibench.ReadProtocol(data)
	mustDo(t, err)
	t.Chdir(t.TempDir())
	mustDo(t, os.WriteFile("none.jsonl", nil, 0o600))
	mustDo(t, os.WriteFile("prompts.txt", []byte("a red circle\n"), 0o600))
	for _, m := range p.Methods {
		for trial := range 1 { // others differ in numbers of the same flags
			config, err := yaml.Marshal(p.Settings(m, trial))
			mustDo(t, err)
			mustDo(t, os.WriteFile("s.yaml", config, 0o600))
			args := []string{"train", m.Method, "--config", "s.yaml", "--output", "out", "--max-train-steps", "1"}
			if strings.Contains(string(config), "sibling-") {
				args = append(args, "--prompts", "prompts.txt", "--reward", "none")
			} else {
				args = append(args, "--data", "none.jsonl")
			}
			var stdout, stderr strings.Builder
			// The set is empty, and the reward unknown: that is how far it comes.
			if code := cli.Run(t.Context(), args, &stdout, &stderr); code == 0 || !strings.Contains(stderr.String(), "none") {
				t.Errorf("%s, trial %d: exit %d, %s", m.Name, trial+1, code, &stderr)
			}
			_ = os.RemoveAll("out")
		}
	}
}
