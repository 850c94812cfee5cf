package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"winnow/internal/miniworld"
	"winnow/internal/monitor"
)

// trainDir is a folder with pairs.jsonl, rendered scenes of which the first is what the prompt says, and p.txt with prompts.
func trainDir(t testing.TB, pairs int) string {
	t.Helper()
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(7, 8))
	draw := func(s miniworld.Scene) []byte {
		var b bytes.Buffer
		if err := png.Encode(&b, s.Render()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	var rows, prompts bytes.Buffer
	for range pairs {
		right, wrong := miniworld.RandomScene(r), miniworld.RandomScene(r)
		prompt := miniworld.Describe(right, r).Caption(r)
		row := map[string]any{"prompt": prompt, "images": []any{map[string]any{"data": draw(right)}, map[string]any{"data": draw(wrong)}}, "label": 1}
		if err := json.NewEncoder(&rows).Encode(row); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&prompts, prompt)
	}
	for name, data := range map[string][]byte{"pairs.jsonl": rows.Bytes(), "p.txt": prompts.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// short are the settings of short runs with checkpoints and previews.
var short = []string{
	"--rank", "2", "--train-batch-size", "2", "--checkpointing-steps", "2", "--learning-rate", "1e-3", "--threads", "1",
	"--validation-prompt", "a red circle", "--validation-inference-steps", "2", "--seed", "3",
}

// killed are the runs that the tests below kill.
var killed = []struct {
	name  string
	kills int // in a usual test
	args  []string
}{
	{"dpo", 20, []string{"dpo", "--data", "../pairs.jsonl", "--max-train-steps", "6", "--gradient-accumulation-steps", "2", "--ema-decay", "0.9", "--prompt-dropout", "0.3"}},
	{"dpo with a limit", 5, []string{"dpo", "--data", "../pairs.jsonl", "--max-train-steps", "8", "--checkpoints-total-limit", "1", "--optimizer", "adamw8bit", "--lr-scheduler", "cosine"}},
	{"tailorpo", 4, []string{"tailorpo", "--prompts", "../p.txt", "--max-train-steps", "4", "--sibling-steps", "4", "--sibling-learn", "2"}},
	{"ddpo", 6, []string{"ddpo", "--prompts", "../p.txt", "--max-train-steps", "8", "--sibling-steps", "4", "--path-count", "2", "--inner-epochs", "3", "--sibling-learn", "2"}},
	{"seppo", 4, []string{"seppo", "--data", "../pairs.jsonl", "--max-train-steps", "4", "--snapshot-steps", "1", "--self-steps", "2"}},
	{"rethinking", 3, []string{"rethinking", "--data", "../pairs.jsonl", "--max-train-steps", "4", "--reference-refresh", "1", "--reference-drift", "0.3"}},
	{"chats", 4, []string{"chats", "--data", "../pairs.jsonl", "--max-train-steps", "4"}},
}

// heavy asks for ten times as many kills.
const heavy = "WINNOW_TEST_HEAVY"

// stopped is a run of train that has ended, or was told to.
type stopped struct {
	changes int              // seen in what it writes
	state   map[string]int64 // when it was told to end
	code    int              // of exit; 0 when it came to its end
	stderr  string
}

// train runs a command in a subfolder of dir and sends it a signal some time behind the n'th change in what it writes, or never if n is
// negative.
func train(t *testing.T, dir, sub string, n int, wait time.Duration, signal os.Signal, args ...string) stopped {
	t.Helper()
	where := filepath.Join(dir, sub)
	mustDo(t, os.MkdirAll(where, 0o700))
	cmd, _, stderr := process(t, where, slices.Concat([]string{"train"}, short, args, []string{"--output", "out", "--quiet"})...)
	mustDo(t, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var s stopped
	for sent := false; ; {
		if now := listing(filepath.Join(where, "out")); !sent && !sameSizes(now, s.state) {
			s.changes, s.state = s.changes+1, now
		}
		if n >= 0 && s.changes > n && !sent {
			time.Sleep(wait)
			s.state, sent = listing(filepath.Join(where, "out")), true
			_ = cmd.Process.Signal(signal)
		}
		select {
		case err := <-done:
			if s.code = exitCode(err); s.stderr == "" {
				s.stderr = stderr.String()
			}
			if err != nil && !sent {
				t.Fatalf("%s: %v: %s", sub, err, stderr)
			}
			return s
		case <-time.After(time.Millisecond):
		}
	}
}

// listing is the sizes of all files of a folder, as far as it stands still.
func listing(dir string) map[string]int64 {
	out := map[string]int64{}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it has just been removed
		}
		if info, err := d.Info(); err == nil {
			out[path] = info.Size()
		}
		return nil
	})
	return out
}

// hiddenFiles lists what is half written or half removed in an output folder: all hidden files but the lock's.
func hiddenFiles(out string) []string {
	found, _ := filepath.Glob(filepath.Join(out, ".*"))
	return slices.DeleteFunc(found, func(path string) bool { return filepath.Base(path) == ".lock" })
}

func sameSizes(a, b map[string]int64) bool {
	if len(a) != len(b) {
		return false
	}
	for name, size := range a {
		if other, ok := b[name]; !ok || other != size {
			return false
		}
	}
	return true
}

// phase says what a run was at when it was killed, by what it had written.
func phase(state map[string]int64) string {
	phase := "start"
	for path, size := range state {
		name := filepath.Base(path)
		switch {
		case strings.HasPrefix(name, ".checkpoint"):
			return "checkpoint"
		case name == "pytorch_lora_weights.safetensors" && !strings.Contains(path, "checkpoint"):
			return "final"
		case name == "metrics.jsonl" && size > 0:
			phase = "steps"
		case name == "train.yaml" && phase != "steps":
			phase = "before the first step"
		case strings.HasPrefix(name, "cache.sqlite") && phase == "start":
			phase = "loading"
		}
	}
	return phase
}

// A run that is killed at any moment and goes on each time ends with the files of a run that was let alone.
func TestTrain_killAndResume(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("WINNOW_TEST_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	for _, c := range killed {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := trainDir(t, 6)
			total := train(t, dir, "one", -1, 0, nil, c.args...).changes
			r := rand.New(rand.NewPCG(seed, 0))
			kills, phases, folder := c.kills, map[string]int{}, 0
			if os.Getenv(heavy) != "" {
				kills *= 10
			}
			for n := 0; n < kills; folder++ {
				sub := fmt.Sprintf("many%d", folder)
				for {
					after := r.IntN(total / 2)
					if n >= kills {
						after = -1
					}
					wait := time.Duration(r.Float64() * float64(8*time.Millisecond))
					end := train(t, dir, sub, after, wait, os.Kill, append(c.args, "--resume-from-checkpoint", "latest")...)
					if end.code == 0 {
						break
					}
					n++
					phases[phase(end.state)]++
				}
				sameRun(t, filepath.Join(dir, "one", "out"), filepath.Join(dir, sub, "out"))
			}
			t.Logf("seed %d: %d kills in %d runs of %d changes: %v", seed, kills, folder, total, phases)
		})
	}
}

// sameRun insists that two output folders hold the same files, but for what depends on the hour.
func sameRun(t *testing.T, a, b string) {
	t.Helper()
	one, two := runFiles(t, a), runFiles(t, b)
	for name, data := range one {
		if other, ok := two[name]; !ok || !bytes.Equal(data, other) {
			t.Errorf("%s: %s differs from that of an undisturbed run (there: %v)", b, name, ok)
		}
	}
	for name := range two {
		if _, ok := one[name]; !ok {
			t.Errorf("%s: %s was left behind", b, name)
		}
	}
	if len(one) < 8 {
		t.Errorf("%s holds only %d files", a, len(one))
	}
}

func runFiles(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	mustDo(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name := filepath.ToSlash(strings.TrimPrefix(path, dir))
		if err != nil || d.IsDir() || strings.HasPrefix(name, "/cache.sqlite") || name == "/timings.jsonl" || name == "/.lock" || name == "/report.html" {
			return err
		}
		out[name], err = os.ReadFile(path)
		return err
	}))
	return out
}

// Ctrl-C at any moment saves the steps that are done and exits with 130; the run that goes on from there ends as if nothing had been.
func TestTrain_interrupt(t *testing.T) {
	dir := trainDir(t, 6)
	args := []string{"dpo", "--data", "../pairs.jsonl", "--max-train-steps", "8", "--checkpointing-steps", "100", "--validation-steps", "3"}
	one := train(t, dir, "one", -1, 0, nil, args...)
	want := filepath.Join(dir, "one", "out")
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	phases := map[string]int{}
	for n := range 4 {
		sub := fmt.Sprint("two", n)
		out := filepath.Join(dir, sub, "out")
		end := train(t, dir, sub, r.IntN(one.changes), time.Duration(r.Float64()*float64(8*time.Millisecond)), os.Interrupt, args...)
		if end.code != 130 && end.code != 0 {
			t.Fatalf("exit %d: %s", end.code, end.stderr)
		}
		if hidden := hiddenFiles(out); len(hidden) > 0 {
			t.Errorf("%q were left behind", hidden)
		}
		if end.code == 0 {
			sameRun(t, want, out)
			continue
		}
		done := lastStep(t, out)
		saved := fmt.Sprintf("checkpoint-%d", done)
		phases[phase(end.state)]++
		if done > 0 && (!exists(filepath.Join(out, saved)) || !strings.Contains(end.stderr, saved+" is saved")) {
			t.Errorf("%d steps were done, said %q", done, end.stderr)
		}
		train(t, dir, sub, -1, 0, nil, append(args, "--resume-from-checkpoint", "latest")...)
		if !exists(filepath.Join(want, saved)) {
			mustDo(t, os.RemoveAll(filepath.Join(out, saved)))
		}
		sameRun(t, want, out)
	}
	t.Log(phases)
}

func exitCode(err error) int {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return e.ExitCode()
	}
	return 0
}

// lastStep is the last step of a folder's metrics, 0 without.
func lastStep(t *testing.T, dir string) int {
	t.Helper()
	rows, err := monitor.Read(dir)
	if err != nil || len(rows) == 0 {
		return 0
	}
	return rows[len(rows)-1].Step
}

// Two runs may fill one cache at once, and what each computes does not depend on what the other has.
func TestTrain_sharedCache(t *testing.T) {
	dir := trainDir(t, 6)
	args := []string{"dpo", "--data", "../pairs.jsonl", "--max-train-steps", "3"}
	train(t, dir, "alone", -1, 0, nil, args...)
	type running struct {
		cmd    *exec.Cmd
		stderr *bytes.Buffer
	}
	var all []running
	for i := range 3 {
		where := filepath.Join(dir, fmt.Sprint("beside", i))
		mustDo(t, os.MkdirAll(where, 0o700))
		cmd, _, stderr := process(t, where, slices.Concat([]string{"train"}, short, args, []string{"--output", "out", "--quiet", "--cache", "../shared.sqlite"})...)
		mustDo(t, cmd.Start())
		all = append(all, running{cmd, stderr})
	}
	for i, r := range all {
		if err := r.cmd.Wait(); err != nil {
			t.Errorf("run %d: %v: %s", i, err, r.stderr)
			continue
		}
		for _, file := range []string{"out.safetensors", "metrics.jsonl", "checkpoint-2/optimizer.safetensors"} {
			sameContent(t, filepath.Join(dir, "alone", "out", file), filepath.Join(dir, fmt.Sprint("beside", i), "out", file))
		}
	}
}

// A disk that fills up is told with the file and the way on, nothing is half written, and the run that goes on ends like another.
func TestTrain_diskFull(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell to limit the size of files with")
	}
	dir := trainDir(t, 4)
	args := []string{"dpo", "--data", "../pairs.jsonl", "--max-train-steps", "3", "--rank", "16"} // a state of some 900 KB
	for _, sub := range []string{"one", "two"} {
		mustDo(t, os.MkdirAll(filepath.Join(dir, sub), 0o700))
	}
	cmd, _, stderr := process(t, filepath.Join(dir, "two"),
		slices.Concat([]string{"-c", `ulimit -f 800 && exec "$0" "$@"`, os.Args[0], "train"}, short, args, []string{"--output", "out", "--quiet"})...)
	cmd.Path, cmd.Args[0] = shell, shell
	if code := exitCode(cmd.Run()); code != 1 || !strings.Contains(stderr.String(), "checkpoint-2/optimizer.safetensors: ") || !strings.Contains(stderr.String(), "make room on the disk") {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	out := filepath.Join(dir, "two", "out")
	if left := hiddenFiles(out); len(left) > 0 || exists(filepath.Join(out, "checkpoint-2")) {
		t.Errorf("half a checkpoint is left, %q", left)
	}
	train(t, dir, "two", -1, 0, nil, append(args, "--resume-from-checkpoint", "latest")...)
	train(t, dir, "one", -1, 0, nil, args...)
	sameRun(t, filepath.Join(dir, "one", "out"), out)
	if _, err := os.Stat("/dev/full"); err != nil {
		return
	}
	cmd, _, stderr = process(t, dir, "train", "dpo", "--data", "pairs.jsonl", "--output", "three", "--cache", "/dev/full")
	if code := exitCode(cmd.Run()); code != 1 || !strings.Contains(stderr.String(), "training cache /dev/full: ") || !strings.Contains(stderr.String(), "--cache") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}
