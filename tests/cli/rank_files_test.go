package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/internal/cli"
)

// rewardFiles are files of every format and mode and their scores, by tests/oracle/reward_files.py.
type rewardFiles struct {
	Prompt string
	Rows   []struct {
		Name, Mode string
		Scores     map[string]float64
		File       []byte // nil: in tests/golden/images/decode.json
	}
}

func readRewardFiles(t *testing.T) rewardFiles {
	t.Helper()
	var g rewardFiles
	readGolden(t, "rewards/files.json", &g)
	known := map[string][]byte{}
	for _, r := range readImages(t) {
		known[r.Name] = r.File
	}
	modes := map[string]bool{}
	for i, r := range g.Rows {
		modes[r.Mode] = true
		if r.File == nil {
			g.Rows[i].File = known[r.Name]
		}
	}
	if len(g.Rows) < 75 || len(modes) != 8 {
		t.Fatalf("%d files of %d modes", len(g.Rows), len(modes))
	}
	return g
}

type imageFile struct {
	Name string
	File []byte
}

// readImages are the files of tests/golden/images/decode.json.
func readImages(t *testing.T) []imageFile {
	t.Helper()
	var images struct{ Rows []imageFile }
	readGolden(t, "images/decode.json", &images)
	return images.Rows
}

func readGolden(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "golden", path))
	mustDo(t, err)
	mustDo(t, json.Unmarshal(data, v))
}

// Files reach rewards in the mode that Pillow opens them in, whatever their format: the score from file to number is that
// of the published code path. Tolerance: rounding of the networks only, as the pixels are equal.
func TestRank_filesOfEveryMode(t *testing.T) {
	g := readRewardFiles(t)
	dir := t.TempDir()
	args := []string{"rank", "--json", "--prompt", g.Prompt}
	for i, r := range g.Rows {
		path := filepath.Join(dir, fmt.Sprint(i))
		mustDo(t, os.WriteFile(path, r.File, 0o644))
		args = append(args, path)
	}
	for name, tolerance := range map[string]float64{"imagereward-v1.0": 1e-4, "hpsv2.1": 2e-5} {
		var out, errs bytes.Buffer
		code := cli.Run(t.Context(), append(args, "--reward", name, "--reward-model", filepath.Join("..", "tiny", "rewards", name)), &out, &errs)
		if code != 0 {
			t.Fatalf("%s: exit %d: %s", name, code, errs.String())
		}
		scores := scoresByFile(t, out.String())
		for i, r := range g.Rows {
			got, ok := scores[fmt.Sprint(i)]
			if d := math.Abs(got - r.Scores[name]); !ok || !(d <= tolerance) {
				t.Errorf("%s: %s (mode %s) scores %v, want %v", name, r.Name, r.Mode, got, r.Scores[name])
			}
		}
	}
}

func scoresByFile(t *testing.T, lines string) map[string]float64 {
	t.Helper()
	scores := map[string]float64{}
	for line := range strings.Lines(lines) {
		var v struct {
			Type, File string
			Score      float64
		}
		mustDo(t, json.Unmarshal([]byte(line), &v))
		if v.Type == "image" {
			scores[filepath.Base(v.File)] = v.Score
		}
	}
	return scores
}
