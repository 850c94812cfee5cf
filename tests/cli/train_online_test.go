package cli

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const onlineHeldOut = "a yellow ring\na blue star\ntwo red circles\na green square above a red circle\na red cross\nthree blue rings\n"

// onlineDir has prompts to learn from and held-out ones.
func onlineDir(t *testing.T) string {
	t.Helper()
	dir := promptDir(t)
	mustDo(t, os.WriteFile(filepath.Join(dir, "h.txt"), []byte(onlineHeldOut), 0o600))
	return dir
}

func onlineArgs(more ...string) []string {
	return append([]string{
		"train", "online", "--prompts", "p.txt", "--heldout-prompts", "h.txt", "--rounds", "2", "--num-images", "2", "--steps", "4", "--guidance-scale", "1",
		"--heldout-guidance-scale", "1", "--max-train-steps", "4", "--train-batch-size", "4", "--learning-rate", "1e-3", "--checkpointing-steps", "1",
		"--prompts-per-round", "4", "--replay", "1", "--seed", "3", "--output", "rounds",
	}, more...)
}

// Rounds that are killed again and again, at any place, end with the adapters and figures of those that were left alone.
func TestTrainOnline_killAndResume(t *testing.T) {
	one, many := onlineDir(t), onlineDir(t)
	// The held-out reward is no matter here: no round may be left out for it, so that both ends have a file.
	args := onlineArgs("-q")
	start := time.Now()
	cmd, _, stderr := process(t, one, args...)
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != 5 {
		t.Fatalf("%v: %s", err, stderr)
	}
	whole := time.Since(start)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, one run takes %s", seed, whole)
	r := rand.New(rand.NewPCG(seed, 0))
	for n := 0; ; n++ { // later runs have more time, should the machine have become slower than it was
		if n == 60 {
			t.Fatal("no run came to its end")
		}
		cmd, _, stderr := process(t, many, args...)
		mustDo(t, cmd.Start())
		timer := time.AfterFunc(time.Duration((0.05+0.5*r.Float64())*float64(whole)*(1+float64(n)/10)), func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		if !timer.Stop() && err != nil && cmd.ProcessState.ExitCode() != 5 {
			continue
		}
		if err != nil && cmd.ProcessState.ExitCode() != 5 {
			t.Fatalf("%v: %s", err, stderr)
		}
		t.Logf("killed %d times", n)
		break
	}
	for _, file := range []string{
		"rounds/round-1/pairs.jsonl", "rounds/round-1/adapter/adapter.safetensors", "rounds/round-2/adapter/adapter.safetensors",
		"rounds/round-2/adapter/pytorch_lora_weights.safetensors", "rounds/heldout/round-2.json",
	} {
		sameContent(t, filepath.Join(one, file), filepath.Join(many, file))
	}
	for _, file := range []string{"rounds/adapter.safetensors", "rounds/pytorch_lora_weights.safetensors"} {
		if exists(filepath.Join(one, file)) || exists(filepath.Join(many, file)) {
			sameContent(t, filepath.Join(one, file), filepath.Join(many, file))
		}
	}
}

// A reward that noise satisfies is found out by the held-out one: the rounds end before the last, and say why.
func TestTrainOnline_hacked(t *testing.T) {
	dir := onlineDir(t)
	var prompts, held strings.Builder
	for i, color := range []string{"red", "green", "blue", "yellow", "purple"} {
		for k, shape := range []string{"circle", "square", "triangle", "star", "ring", "cross"} {
			if (i+k)%3 == 0 {
				fmt.Fprintf(&held, "a %s %s\n", color, shape)
			} else {
				fmt.Fprintf(&prompts, "a %s %s\n", color, shape)
			}
		}
	}
	mustDo(t, os.WriteFile(filepath.Join(dir, "p.txt"), []byte(prompts.String()), 0o600))
	mustDo(t, os.WriteFile(filepath.Join(dir, "h.txt"), []byte(held.String()), 0o600))
	cmd, stdout, stderr := process(t, dir, "train", "online", "--prompts", "p.txt", "--heldout-prompts", "h.txt", "--rounds", "6", "--num-images", "4", "--steps", "5",
		"--guidance-scale", "1", "--heldout-guidance-scale", "1", "--pairs", "all", "--reward", "jpeg-size", "--max-train-steps", "20", "--train-batch-size", "12",
		"--learning-rate", "1e-2", "--beta-dpo", "20", "--output", "rounds", "--json")
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != 5 {
		t.Fatalf("%v: %s", err, stderr)
	}
	var last struct {
		Type    string
		Rounds  int
		Best    int `json:"best_round"`
		Stopped string
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	for _, line := range lines {
		if strings.Contains(line, `"trained_online"`) {
			mustDo(t, json.Unmarshal([]byte(line), &last))
		}
	}
	if last.Type == "" || last.Rounds >= 6 || last.Best >= last.Rounds || !strings.Contains(last.Stopped, "reward hacking") {
		t.Errorf("%+v; %s", last, stderr)
	}
	if !strings.Contains(stderr.String(), "reward hacking: in round") {
		t.Errorf("nothing is said: %s", stderr)
	}
	page, err := os.ReadFile(filepath.Join(dir, "rounds", "report.html"))
	if err != nil || !strings.Contains(string(page), "reward hacking") {
		t.Errorf("the report says nothing: %v", err)
	}
	if got, want := exists(filepath.Join(dir, "rounds", "adapter.safetensors")), last.Best > 0; got != want {
		t.Errorf("best round %d, an adapter is there: %v", last.Best, got)
	}
}

// A judge at an address labels the pictures, and compares the held-out pictures of each round with those of the base.
func TestTrainOnline_judge(t *testing.T) {
	dir := onlineDir(t)
	server, url, _ := serving(t, dir)
	args := onlineArgs("--judge", url, "--json", "--judge-cache", "answers.sqlite")
	cmd, stdout, stderr := process(t, dir, args...)
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != 5 {
		t.Fatalf("%v: %s", err, stderr)
	}
	for _, want := range []string{`"trained":"wins by judge:` + url, `"heldout":"checker"`, `"round":2`} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("%s is not said: %s", want, stdout)
		}
	}
	// What is done is not asked again: the server may be gone.
	mustDo(t, server.Process.Kill())
	again, second, stderr := process(t, dir, args...)
	if err := again.Run(); err != nil && again.ProcessState.ExitCode() != 5 {
		t.Fatalf("%v: %s", err, stderr)
	}
	lines := func(s string) []string {
		all := strings.Split(strings.TrimSpace(s), "\n")
		return all[:len(all)-1] // the last one has the time
	}
	if a, b := lines(stdout.String()), lines(second.String()); strings.Join(a, "\n") != strings.Join(b, "\n") {
		t.Errorf("%v\n%v", a, b)
	}
}
