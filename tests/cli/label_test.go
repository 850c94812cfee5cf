package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"winnow/datasets"
	"winnow/internal/cli"
)

const labelPrompts = "a red circle\ntwo yellow triangles\na blue square\na green star above a red ring\na purple cross\na red square and a blue circle\n"

// labelArgs is the command of the tests below.
func labelArgs(more ...string) []string {
	return append([]string{"label", "--prompts", "p.txt", "--num-images", "4", "--steps", "12", "--pairs", "all", "--soft-labels", "1.5", "--output", "pairs.parquet"}, more...)
}

func promptDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	mustDo(t, os.WriteFile(filepath.Join(dir, "p.txt"), []byte(labelPrompts), 0o600))
	return dir
}

func records(t *testing.T, path string) []datasets.Record {
	t.Helper()
	r, err := datasets.Open(path, "", nil)
	mustDo(t, err)
	defer r.Close()
	var all []datasets.Record
	for rec, err := range r.All() {
		mustDo(t, err)
		all = append(all, rec)
	}
	return all
}

// A run of label that is killed again and again, while it makes pictures and while it scores them, ends with the files of one run.
func TestLabel_killAndResume(t *testing.T) {
	one, many := promptDir(t), promptDir(t)
	start := time.Now()
	cmd, _, stderr := process(t, one, labelArgs()...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	whole := time.Since(start)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, one run takes %s", seed, whole)
	r := rand.New(rand.NewPCG(seed, 0))
	killed := 0
	for n := 0; ; n++ { // later runs have more time, should the machine have become slower than it was
		if n == 40 {
			t.Fatal("no run came to its end")
		}
		cmd, _, stderr := process(t, many, labelArgs("-q")...)
		mustDo(t, cmd.Start())
		timer := time.AfterFunc(time.Duration((0.1+0.7*r.Float64())*float64(whole)*(1+float64(n)/10)), func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		if !timer.Stop() && err != nil {
			killed++
			if exists(filepath.Join(many, "pairs.parquet")) && exists(filepath.Join(many, "pairs.jsonl")) {
				break
			}
			continue
		}
		if err != nil {
			t.Fatalf("%v: %s", err, stderr)
		}
		break
	}
	if killed == 0 {
		t.Log("no kill came in the middle")
	}
	for _, file := range []string{"pairs.parquet", "pairs.jsonl", "pairs.pictures/00005_3.png", "pairs.pictures/settings.yaml"} {
		sameContent(t, filepath.Join(one, file), filepath.Join(many, file))
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func sameContent(t *testing.T, a, b string) {
	t.Helper()
	one, err := os.ReadFile(a)
	mustDo(t, err)
	other, err := os.ReadFile(b)
	if err != nil || !bytes.Equal(one, other) {
		t.Errorf("%s and %s differ (%v)", a, b, err)
	}
}

// What label writes is what datasets reads: the same pairs, labels, scores, gaps and pictures from both files, and the label says which
// picture the reward likes better.
func TestLabel_roundTrip(t *testing.T) {
	t.Chdir(promptDir(t))
	var out, errs bytes.Buffer
	if code := cli.Run(t.Context(), labelArgs("--min-gap", "0.05", "--keep-ties", "-q"), &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	inside, beside := records(t, "pairs.parquet"), records(t, "pairs.jsonl")
	if len(inside) != 6*6 || len(beside) != len(inside) {
		t.Fatalf("%d and %d pairs, want 36", len(inside), len(beside))
	}
	for i := range inside {
		a, b := &inside[i], &beside[i]
		if a.Kind != datasets.KindPair || a.Prompt != b.Prompt || a.Label != b.Label || a.Soft != b.Soft || a.ID != b.ID || a.Scores[0] != b.Scores[0] || a.Scores[1] != b.Scores[1] {
			t.Errorf("pair %d: %+v in parquet, %+v in JSON lines", i, a, b)
		}
		for p := range a.Pairs() {
			gap, want := a.Gap(p), 0.5
			if gap >= 0.05 {
				want = 1
			} else if gap <= -0.05 {
				want = 0
			}
			if p.Label != want || math.Abs(p.Soft-1/(1+math.Exp(-gap/1.5))) > 1e-12 {
				t.Errorf("pair %d: gap %v has label %v, soft %v", i, gap, p.Label, p.Soft)
			}
		}
		for k := range a.Images {
			one, err := a.Images[k].Bytes()
			mustDo(t, err)
			other, err := b.Images[k].Bytes()
			mustDo(t, err)
			if !bytes.Equal(one, other) || len(one) == 0 || a.Images[k].UID != b.Images[k].UID || a.Images[k].Model != "mini" {
				t.Errorf("pair %d, picture %d differs", i, k)
			}
		}
	}
	// Scores of the same pictures by another command.
	if code := cli.Run(t.Context(), []string{"score", "pairs.jsonl", "--output", "s.jsonl", "-q"}, &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	data, err := os.ReadFile("s.jsonl")
	mustDo(t, err)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	for i, line := range lines {
		var l struct{ Score float64 }
		mustDo(t, json.Unmarshal([]byte(line), &l))
		if want := beside[i/2].Scores[i%2]; l.Score != want {
			t.Errorf("line %d: score %v, label wrote %v", i, l.Score, want)
		}
	}
	// Every picture starts from a seed of its own.
	seeds := map[string]bool{}
	for _, rec := range inside {
		for k := range rec.Images {
			seeds[rec.Images[k].UID] = true
		}
	}
	if len(seeds) != 24 {
		t.Errorf("%d different pictures, want 24", len(seeds))
	}
}

// A judge prefers the redder picture; a run that is interrupted in the middle asks about no prompt twice.
func TestLabel_judge(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	var rows strings.Builder
	for g := range 40 {
		var names []string
		for k := range 3 {
			img := image.NewNRGBA(image.Rect(0, 0, 64, 64))
			for i := range 64 * 64 {
				img.SetNRGBA(i%64, i/64, color.NRGBA{uint8(30 + 40*((k+g)%3) + g), uint8(g), 50, 255})
			}
			var b bytes.Buffer
			mustDo(t, png.Encode(&b, img))
			names = append(names, strings.Repeat("x", g+1)+string(rune('a'+k))+".png")
			mustDo(t, os.WriteFile(names[k], b.Bytes(), 0o600))
		}
		line, err := json.Marshal(map[string]any{"prompt": "red " + strings.Repeat("x", g), "images": names})
		mustDo(t, err)
		rows.Write(append(line, '\n'))
	}
	mustDo(t, os.WriteFile("rows.jsonl", []byte(rows.String()), 0o600))
	judge := newRedJudge(t, 0.7)
	run := func(ctx context.Context, output string) (int, labelledSummary) {
		var out, errs bytes.Buffer
		code := cli.Run(ctx, []string{"label", "--data", "rows.jsonl", "--judge", judge.URL, "--judge-model", "red", "--soft-labels", "1", "--output", output, "--json", "-q"}, &out, &errs)
		var s labelledSummary
		if code == 0 {
			mustDo(t, json.Unmarshal(out.Bytes(), &s))
		}
		return code, s
	}
	code, s := run(t.Context(), "one.jsonl")
	if code != 0 || s.Pairs != 40 || s.Computed != 40 || s.Reward != "judge:red" {
		t.Fatalf("exit %d, %+v", code, s)
	}
	for i, rec := range records(t, "one.jsonl") {
		better := 0
		if redOf(t, &rec.Images[1]) > redOf(t, &rec.Images[0]) {
			better = 1
		}
		if rec.Label != float64(1-better) || (rec.Soft-0.5)*(rec.Label-0.5) <= 0 || math.Abs(rec.Scores[0]+rec.Scores[1]) > 4 {
			t.Errorf("pair %d: label %v, soft %v, scores %v; picture %d is redder", i, rec.Label, rec.Soft, rec.Scores, better)
		}
	}
	// Interrupted after some verdicts.
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for {
			if data, err := os.ReadFile("many.jsonl.verdicts"); err == nil && bytes.Count(data, []byte("\n")) >= 18 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if code, _ := run(ctx, "many.jsonl"); code != 130 && code != 0 {
		t.Fatalf("interrupted: exit %d", code)
	} else if code == 130 && exists("many.jsonl") {
		t.Error("an interrupted run left its output")
	}
	code, s = run(t.Context(), "many.jsonl")
	if code != 0 || s.Cached < 18 || s.Cached+s.Computed != 40 {
		t.Errorf("exit %d, %+v", code, s)
	}
	sameContent(t, "one.jsonl", "many.jsonl")
	judge.broken.Store(true)
	if code, s := run(t.Context(), "many.jsonl"); code != 0 || s.Cached != 40 {
		t.Errorf("with every verdict known: exit %d, %+v", code, s)
	}
	if code, _ := run(t.Context(), "other.jsonl"); code != 1 || exists("other.jsonl") {
		t.Errorf("a judge that fails: exit %d", code)
	}
}

// labelledSummary is what the tests read of label's summary.
type labelledSummary struct {
	Reward                                  string
	Prompts, Pictures, Pairs, Failed        int
	Computed, Cached, TiesKept, TiesLeftOut int
}

func redOf(t *testing.T, im *datasets.Image) uint32 {
	t.Helper()
	data, err := im.Bytes()
	mustDo(t, err)
	img, err := png.Decode(bytes.NewReader(data))
	mustDo(t, err)
	r, _, _, _ := img.At(0, 0).RGBA()
	return r
}
