// Package evaluation runs "winnow eval" in-process on made-up copies of the main formats and compares every figure with
// tests/oracle/evaluation.py, which computes them from their definitions with numpy and scipy.
package evaluation

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/internal/cli"
)

// golden is tests/golden/evaluation/expected.json.
type golden struct {
	Cases []evalCase `json:"cases"`
}

type evalCase struct {
	Name       string     `json:"name"`
	Format     string     `json:"format"`
	Data       string     `json:"data"`
	Validation string     `json:"validation"` // "" for none
	Scores     []string   `json:"scores"`
	Exit       int        `json:"exit"`
	BrokenRows []int      `json:"broken_rows"` // of the validation set and of the set
	Results    []result   `json:"results"`     // one a file of scores
	Comparison comparison `json:"comparison"`
	Agreement  struct {
		agreement
		Pairs [][]int `json:"pairs"`
	} `json:"agreement"`
}

type result struct {
	Records     int          `json:"records"`
	Scored      int          `json:"scored"`
	Missing     int          `json:"missing"`
	Absent      []string     `json:"absent"` // pictures without a score
	Parts       []part       `json:"parts"`
	Calibration *calibration `json:"calibration"` // nil for few pairs
}

type part struct {
	Category string   `json:"category"`
	Figures  []figure `json:"figures"`
}

// figure is a metric. Low and High say between which numbers the ends of the interval lie.
type figure struct {
	Metric    string      `json:"metric"`
	Value     *float64    `json:"value"` // nil where there is nothing to count
	Low       *[2]float64 `json:"low"`
	High      *[2]float64 `json:"high"`
	Wilson    *[2]float64 `json:"wilson"`
	Of        int         `json:"of"`
	Unit      string      `json:"unit"`
	Threshold *float64    `json:"threshold"`
	Random    float64     `json:"random"`
	Epsilon   *float64    `json:"epsilon"`
}

// printed is a line of the command's output.
type printed struct {
	comparisonLine
	agreement
	Type        string          `json:"type"`
	Set         string          `json:"set"`
	Scorer      string          `json:"scorer"`
	Records     int             `json:"records"`
	Scored      int             `json:"scored"`
	Missing     int             `json:"missing"`
	Row         int             `json:"row"`   // of lines about broken rows
	PairCount   json.RawMessage `json:"pairs"` // a number or a matrix
	Calibration *calibration    `json:"calibration"`
	Parts       []struct {
		Category string `json:"category"`
		Figures  []struct {
			Metric     string   `json:"metric"`
			Value      *float64 `json:"value"`
			Low        *float64 `json:"low"`
			High       *float64 `json:"high"`
			WilsonLow  *float64 `json:"wilson_low"`
			WilsonHigh *float64 `json:"wilson_high"`
			Of         int      `json:"of"`
			Unit       string   `json:"unit"`
			Note       string   `json:"note"`
		} `json:"figures"`
	} `json:"parts"`
}

// unpack writes the sets and scores into a folder, which becomes the working one.
func unpack(t *testing.T) golden {
	t.Helper()
	folder := filepath.Join("..", "golden", "evaluation")
	data, err := os.ReadFile(filepath.Join(folder, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	z, err := zip.OpenReader(filepath.Join(folder, "sets.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	dir := t.TempDir()
	if err := os.CopyFS(dir, z); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	return g
}

func TestFiguresOfGeneratedSets(t *testing.T) {
	g := unpack(t)
	var formats []string
	for _, c := range g.Cases {
		formats = append(formats, c.Format)
		t.Run(c.Name, func(t *testing.T) { c.check(t) })
	}
	for _, want := range []string{"imagereward", "hpdv2", "pickapic", "hpdv3", "genai-bench", "mmrb2"} {
		if !slices.Contains(formats, want) {
			t.Errorf("no case of %s", want)
		}
	}
}

// run is the command with all scorers of the case: its lines by type.
func (c *evalCase) run(t *testing.T) (lines map[string][]printed, stderr string) {
	t.Helper()
	args := []string{"eval", c.Format, "--data", c.Data, "--json"}
	for _, s := range c.Scores {
		args = append(args, "--scores", s)
	}
	if c.Validation != "" {
		args = append(args, "--validation", c.Validation)
	}
	var out, errs bytes.Buffer
	if code := cli.Run(t.Context(), args, &out, &errs); code != c.Exit {
		t.Errorf("exit %d, want %d\n%s", code, c.Exit, errs.String())
	}
	lines = map[string][]printed{}
	for dec := json.NewDecoder(&out); ; {
		var p printed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return lines, errs.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines[p.Type] = append(lines[p.Type], p)
	}
}

func (c *evalCase) check(t *testing.T) {
	lines, stderr := c.run(t)
	results := lines["eval"]
	if len(results) != len(c.Results) || len(lines["comparison"]) != 1 || len(lines["agreement"]) != 1 {
		t.Fatalf("%d results, want %d, in %v\n%s", len(results), len(c.Results), lines, stderr)
	}
	for i, want := range c.Results {
		got := results[i]
		if got.Set != c.Format || got.Scorer != c.Scores[i] {
			t.Errorf("scorer %q on %q, want %q on %q", got.Scorer, got.Set, c.Scores[i], c.Format)
		}
		for _, name := range want.Absent {
			if !strings.Contains(stderr, name) {
				t.Errorf("%s: picture %s has no score, and stderr does not say so", got.Scorer, name)
			}
		}
		compare(t, got, want)
		want.Calibration.check(t, got)
	}
	c.Comparison.check(t, lines["comparison"][0], c.Scores)
	c.Agreement.check(t, lines["agreement"][0], c.Agreement.Pairs, c.Scores)
	var broken []int
	for _, p := range lines["failed"] {
		broken = append(broken, p.Row)
	}
	if !slices.Equal(broken, c.BrokenRows) {
		t.Errorf("broken rows %v, want %v", broken, c.BrokenRows)
	}
	for kind := range lines {
		if !slices.Contains([]string{"eval", "comparison", "agreement", "failed"}, kind) {
			t.Errorf("lines of type %q", kind)
		}
	}
}

// compare looks at the counts and at every figure; neither side may have one that the other lacks.
func compare(t *testing.T, got printed, want result) {
	t.Helper()
	if got.Records != want.Records || got.Scored != want.Scored || got.Missing != want.Missing {
		t.Errorf("%s: %d records, %d scored, %d missing; want %d, %d, %d",
			got.Scorer, got.Records, got.Scored, got.Missing, want.Records, want.Scored, want.Missing)
	}
	expected := map[string]figure{}
	for _, p := range want.Parts {
		for _, f := range p.Figures {
			expected[p.Category+"/"+f.Metric] = f
		}
	}
	for _, p := range got.Parts {
		for _, f := range p.Figures {
			key := p.Category + "/" + f.Metric
			w, ok := expected[key]
			delete(expected, key)
			if !ok {
				t.Errorf("%s: %s is printed twice or unexpected", got.Scorer, key)
				continue
			}
			for _, problem := range []string{
				equal("value", f.Value, w.Value),
				equal("Wilson's low end", f.WilsonLow, end(w.Wilson, 0)),
				equal("Wilson's high end", f.WilsonHigh, end(w.Wilson, 1)),
				within("low end", f.Low, w.Low),
				within("high end", f.High, w.High),
				w.count(f.Of, f.Unit),
				w.note(f.Note),
			} {
				if problem != "" {
					t.Errorf("%s: %s: %s", got.Scorer, key, problem)
				}
			}
			if f.Low != nil && f.Value != nil && f.High != nil && !(*f.Low <= *f.Value && *f.Value <= *f.High) {
				t.Errorf("%s: %s: %g lies outside [%g, %g]", got.Scorer, key, *f.Value, *f.Low, *f.High)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(expected)) {
		t.Errorf("%s: %s is not printed", got.Scorer, key)
	}
}

// exact is how far figures may lie apart that are the same sums in another order.
const exact = 1e-12

func end(interval *[2]float64, i int) *float64 {
	if interval == nil {
		return nil
	}
	return &interval[i]
}

func text(v *float64) string {
	if v == nil {
		return "nothing"
	}
	return fmt.Sprintf("%.15g", *v)
}

func equal(what string, got, want *float64) string {
	if got == nil && want == nil || got != nil && want != nil && math.Abs(*got-*want) <= exact {
		return ""
	}
	return fmt.Sprintf("%s is %s, want %s", what, text(got), text(want))
}

// within looks for an end of a bootstrap interval in the range that the oracle's own bootstrap leaves it.
func within(what string, got *float64, want *[2]float64) string {
	if got == nil && want == nil || got != nil && want != nil && want[0]-exact <= *got && *got <= want[1]+exact {
		return ""
	}
	return fmt.Sprintf("%s is %s, want it between %s and %s", what, text(got), text(end(want, 0)), text(end(want, 1)))
}

func (f *figure) count(of int, unit string) string {
	if of == f.Of && unit == f.Unit {
		return ""
	}
	return fmt.Sprintf("of %d %s, want %d %s", of, unit, f.Of, f.Unit)
}

// note finds the thresholds, which are printed in words.
func (f *figure) note(got string) string {
	var want []string
	if f.Threshold != nil {
		want = []string{fmt.Sprintf("threshold %.1f", *f.Threshold), fmt.Sprintf("%.4f", f.Random)}
	}
	if f.Epsilon != nil {
		want = []string{fmt.Sprintf("difference of %.4g,", *f.Epsilon)}
	}
	for _, w := range want {
		if !strings.Contains(got, w) {
			return fmt.Sprintf("note %q does not say %q", got, w)
		}
	}
	return ""
}
