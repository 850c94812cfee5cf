package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"winnow/internal/cli"
	"winnow/internal/scoring"
)

// asCommand makes the test binary behave as winnow, so that a process can be killed without building another binary.
const asCommand = "WINNOW_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) // as the command does
		context.AfterFunc(ctx, stop)
		os.Exit(cli.Run(ctx, os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func process(t *testing.T, dir string, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	cmd = exec.Command(os.Args[0], args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), asCommand+"=1")
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

// scoreResult is what the tests read of score's summary.
type scoreResult struct {
	Pictures, Failed, Computed, Cached int
}

// scoreWhole runs score to its end.
func scoreWhole(t *testing.T, dir string, args ...string) scoreResult {
	t.Helper()
	cmd, stdout, stderr := process(t, dir, append([]string{"score", "rows.jsonl", "--json", "--output"}, args...)...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	var r scoreResult
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	return r
}

// scoreSet writes pictures that all differ and rows that name some of them twice; it returns the number of rows, and of
// different ones.
func scoreSet(t *testing.T, dir string) (rows, different int) {
	t.Helper()
	var b strings.Builder
	for i := range 300 {
		img := image.NewNRGBA(image.Rect(0, 0, 64, 48+i%40))
		for p := range len(img.Pix) / 4 {
			img.SetNRGBA(p%64, p/64, color.NRGBA{byte(p * i), byte(i), byte(p / 64), 255})
		}
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%d.png", i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, img); err != nil {
			t.Fatal(err)
		}
		mustDo(t, f.Close())
		different++
		for range 1 + i%2 {
			fmt.Fprintf(&b, "{\"prompt\":\"a red circle %d\",\"image\":\"%d.png\"}\n", i%7, i)
			rows++
		}
	}
	mustDo(t, os.WriteFile(filepath.Join(dir, "rows.jsonl"), []byte(b.String()), 0o600))
	return rows, different
}

// A run of score that is killed again and again ends with the file of one run, and what was scored once is not scored again.
func TestScore_killAndResume(t *testing.T) {
	dir := t.TempDir()
	rows, different := scoreSet(t, dir)
	start := time.Now()
	one := scoreWhole(t, dir, "one.jsonl")
	whole := time.Since(start)
	if one.Pictures != rows || one.Computed != different || one.Failed != 0 {
		t.Fatalf("%+v, want %d pictures and %d scores", one, rows, different)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, one run takes %s", seed, whole)
	r := rand.New(rand.NewPCG(seed, 0))
	stored, between := 0, 0
	for n := 0; n < 60 && stored < 3*different/4; n++ {
		cmd, _, _ := process(t, dir, "score", "rows.jsonl", "--output", "many.jsonl", "--quiet")
		mustDo(t, cmd.Start())
		time.Sleep(time.Duration(r.Float64() * float64(whole) / 3))
		_ = cmd.Process.Kill()
		if cmd.Wait() == nil {
			stored = different // it had ended
			break
		}
		if _, err := os.Stat(filepath.Join(dir, "many.jsonl")); err == nil {
			t.Fatal("a run that was killed left its output")
		}
		now := storedScores(t, filepath.Join(dir, "many.jsonl.cache"))
		if now < stored {
			t.Fatalf("%d scores are stored, there were %d", now, stored)
		}
		if now > stored && now < different {
			between++
		}
		stored = now
	}
	if between == 0 {
		t.Fatal("no kill came in the middle of the work")
	}
	rest := scoreWhole(t, dir, "many.jsonl")
	if rest.Computed != different-stored {
		t.Errorf("%d scores were computed again: %d were stored of %d, and %d were computed", rest.Computed-(different-stored), stored, different, rest.Computed)
	}
	if again := scoreWhole(t, dir, "again.jsonl", "--cache", "many.jsonl.cache"); again.Computed != 0 || again.Pictures != rows {
		t.Errorf("with everything stored: %+v", again)
	}
	sameFiles(t, dir, "one.jsonl", "many.jsonl", "again.jsonl")
}

func sameFiles(t *testing.T, dir string, first string, others ...string) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join(dir, first))
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range others {
		got, err := os.ReadFile(filepath.Join(dir, other))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s and %s differ (%v)", first, other, err)
		}
	}
}

func storedScores(t *testing.T, path string) int {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		return 0
	}
	s, err := scoring.OpenStore(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n, err := s.Len(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Processes that share a cache wait for each other instead of failing.
func TestScore_sharedCache(t *testing.T) {
	dir := t.TempDir()
	scoreSet(t, dir)
	var commands []*exec.Cmd
	var files []string
	for i := range 3 {
		files = append(files, fmt.Sprintf("%d.jsonl", i))
		cmd, _, stderr := process(t, dir, "score", "rows.jsonl", "--cache", "shared.sqlite", "--output", files[i], "--quiet")
		mustDo(t, cmd.Start())
		commands = append(commands, cmd)
		t.Cleanup(func() {
			if t.Failed() {
				t.Log(stderr)
			}
		})
	}
	for _, cmd := range commands {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	sameFiles(t, dir, files[0], files[1:]...)
}
