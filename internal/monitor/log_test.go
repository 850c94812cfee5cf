package monitor

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// row makes numbers that depend on the step only, as those of a determined run.
func row(step int) Metrics {
	x := math.Sin(float64(step)) / 3
	return Metrics{
		Step:    step,
		Values:  []Value{{Loss, math.Ln2 - x}, {Margins, x * 1e-9}, {"preview/mini", math.NaN()}},
		Timings: []Value{{PairsPerSecond, 3.5}, {Memory, 1 << 31}},
	}
}

func writeSteps(t *testing.T, l *Log, from, to int) {
	t.Helper()
	for step := from; step <= to; step++ {
		if err := l.Write(row(step)); err != nil {
			t.Fatal(err)
		}
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// A run that is killed at any byte of its log, and resumed from any checkpoint before, ends with the bytes of one that was not.
func TestLog_resumeAfterAnyKill(t *testing.T) {
	whole, dir := t.TempDir(), t.TempDir()
	l := must[*Log](t)(Create(whole))
	writeSteps(t, l, 0, 9)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	want := text(t, filepath.Join(whole, MetricsFile))
	if first, _, _ := strings.Cut(want, "\n"); first != `{"step":0,"loss":0.6931471805599453,"rewards/margins":0,"preview/mini":null}` {
		t.Errorf("first line %s", first)
	}
	for killed := 0; killed <= len(want); killed += 13 {
		part := want[:killed]
		if err := os.WriteFile(filepath.Join(dir, MetricsFile), []byte(part), 0o600); err != nil {
			t.Fatal(err)
		}
		checkpoint := strings.Count(part, "\n") / 2 // an earlier step than the last in the log
		if checkpoint == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, TimingsFile), []byte("{\"step\":0,\"pairs_per_second\":1}\n{\"st"), 0o600); err != nil {
			t.Fatal(err)
		}
		l := must[*Log](t)(Resume(dir, checkpoint))
		writeSteps(t, l, checkpoint+1, 9)
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got := text(t, filepath.Join(dir, MetricsFile)); got != want {
			t.Fatalf("killed at byte %d, resumed at step %d: got\n%s\nwant\n%s", killed, checkpoint, got, want)
		}
		if got := text(t, filepath.Join(dir, TimingsFile)); !strings.HasPrefix(got, "{\"step\":0,\"pairs_per_second\":1}\n{\"step\":"+string(rune('1'+checkpoint))) {
			t.Fatalf("timings after a kill:\n%s", got)
		}
	}
	l = must[*Log](t)(Create(dir))
	defer l.Close()
	if text(t, filepath.Join(dir, MetricsFile)) != "" {
		t.Error("a new run keeps old lines")
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	l := must[*Log](t)(Create(dir))
	writeSteps(t, l, 1, 3)
	if err := l.Write(row(3)); err == nil || !strings.Contains(err.Error(), "step 3 cannot follow step 3") {
		t.Errorf("a step twice: %v", err)
	}
	if err := l.Write(Metrics{Step: 4, Values: []Value{{Loss, 1}, {Loss, 2}}}); err == nil {
		t.Error("a metric twice")
	}
	l.Close()
	rows := must[[]Metrics](t)(Read(dir))
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	for i, m := range rows {
		want := row(i + 1)
		if m.Step != want.Step || !reflect.DeepEqual(m.Values[:2], want.Values[:2]) || !reflect.DeepEqual(m.Timings, want.Timings) || !math.IsNaN(m.Values[2].Value) {
			t.Errorf("row %d: %v, want %v", i, m, want)
		}
	}
	if steps, values := Series(rows, Memory); !reflect.DeepEqual(steps, []float64{1, 2, 3}) || values[2] != 1<<31 {
		t.Errorf("memory %v %v", steps, values)
	}
	if _, err := Read(t.TempDir()); err == nil {
		t.Error("a folder without a log")
	}
}

// Damage other than a half-written end is an error that says where, and the file stays as it is.
func TestResume_damage(t *testing.T) {
	for name, content := range map[string]string{
		"not JSON": "{\"step\":1}\nnonsense\n", "array": "{\"step\":1}\n[1]\n", "no step": "{\"step\":1}\n{\"loss\":1}\n", "step back": "{\"step\":1}\n{\"step\":1}\n",
		"text": "{\"step\":1}\n{\"step\":2,\"loss\":\"x\"}\n", "two": "{\"step\":1}\n{\"step\":2}{}\n", "float step": "{\"step\":1}\n{\"step\":2.5}\n",
		"huge": "{\"step\":1}\n{\"step\":1e30}\n", "twice": "{\"step\":1}\n{\"step\":2,\"a\":1,\"a\":2}\n", "overflow": "{\"step\":1}\n{\"step\":2,\"a\":1e999}\n",
		"long": "{\"step\":1}\n" + strings.Repeat(" ", maxLine+5) + "\n", "negative": "{\"step\":1}\n{\"step\":-2}\n", "null step": "{\"step\":1}\n{\"step\":null}\n",
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, MetricsFile)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Resume(dir, 1); err == nil || !strings.Contains(err.Error(), MetricsFile+":2: ") {
			t.Errorf("%s: %v", name, err)
		}
		if text(t, path) != content {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte(`{"step":1,"loss":0.5,"a":null}`))
	f.Add([]byte(`{"step":1,"loss":{"x":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseLine(data)
		if err != nil {
			return
		}
		line, err := appendLine(nil, m.Step, m.Values)
		if err != nil {
			t.Skip() // a name that is too long once escaped
		}
		again, err := parseLine(line)
		if err != nil || again.Step != m.Step || len(again.Values) != len(m.Values) {
			t.Errorf("%q becomes %q: %v", data, line, err)
		}
	})
}
