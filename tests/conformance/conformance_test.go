package conformance

import (
	"context"
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/ort"
	"winnow/internal/ort/orttest"
)

//go:generate go test . -run TestCoverage -update

var update = flag.Bool("update", false, "rewrite COVERAGE.md and testdata/recorded.json")

const coverageFile = "../../internal/onnx/COVERAGE.md"

// Names of executors.
const (
	embedded    = "embedded"
	onnxruntime = "onnxruntime"
)

// executors lists what this machine can run the suites on, and the version of ONNX Runtime, "" without.
func executors() (all []graph.Executor, version string) {
	all = []graph.Executor{&graph.Embedded{Options: &graph.Options{Threads: 2, Paranoid: true}}}
	x, err := ort.New(context.Background(), ort.Options{Threads: 1})
	if err != nil { // not installed, which TestONNXRuntime reports
		return all, ""
	}
	return append(all, x), x.Library().Version
}

// suite is every case, and the outcomes of those that could run here, by executor.
type suite struct {
	cases   []testCase
	ran     map[string][]outcome
	version string // of ONNX Runtime
}

// results runs everything once for all tests.
var results = sync.OnceValues(func() (*suite, error) {
	cases, err := readArchives()
	if err != nil {
		return nil, err
	}
	more, err := onnxGoCases()
	if err != nil {
		return nil, err
	}
	s := &suite{cases: append(cases, more...), ran: map[string][]outcome{}}
	var all []graph.Executor
	all, s.version = executors()
	for _, e := range all {
		for i := range s.cases {
			if s.cases[i].model != nil {
				s.ran[e.Name()] = append(s.ran[e.Name()], s.cases[i].run(e))
			}
		}
	}
	return s, nil
})

func mustRun(t *testing.T) *suite {
	t.Helper()
	s, err := results()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCases fails for every case that neither passes nor is refused before it runs.
func TestCases(t *testing.T) {
	s := mustRun(t)
	if len(s.cases) < 2300 {
		t.Errorf("only %d cases", len(s.cases))
	}
	for _, o := range s.ran[embedded] {
		if o.wrong != nil {
			t.Errorf("%s (%s opset %d): %v", o.key(), o.Op, o.Opset, o.wrong)
		}
	}
}

// TestONNXRuntime is TestCases for ONNX Runtime. Of the release that the record was made with, every outcome must be the
// recorded one, and what it computes otherwise than the suites must be listed in deviations; other releases may differ.
func TestONNXRuntime(t *testing.T) {
	orttest.Executor(t)
	s := mustRun(t)
	if s.version != recordedVersion {
		t.Logf("ONNX Runtime %s is not %s, which the record is of", s.version, recordedVersion)
		return
	}
	rec, err := readRecorded()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range s.ran[onnxruntime] {
		if o.wrong != nil && deviations[o.key()] == "" {
			t.Errorf("%s (%s opset %d): %v", o.key(), o.Op, o.Opset, o.wrong)
		}
		if got, want := o.brief(), rec[onnxruntime][o.key()]; got != want && !*update {
			t.Errorf("%s is %q, on record as %q: go generate ./tests/conformance", o.key(), got, want)
		}
	}
	for key := range deviations {
		if !slices.ContainsFunc(s.cases, func(c testCase) bool { return c.key() == key }) {
			t.Errorf("deviation %s: there is no such case", key)
		}
	}
}

// TestRefusals: Compile refuses by a typed error with operator, node and opset, and the reader by one with the file.
func TestRefusals(t *testing.T) {
	for name, outcomes := range mustRun(t).ran {
		for _, o := range outcomes {
			var u *graph.UnsupportedError
			if errors.As(o.refused, &u) && (u.Op == "" || u.Node == "" || u.Opset == 0 || u.Why == "" || u.Source != o.Name+".onnx") {
				t.Errorf("%s: %s: incomplete error %#v", name, o.key(), u)
			}
			if o.refused != nil && !strings.Contains(o.refused.Error(), o.Name) {
				t.Errorf("%s: %s: error %v does not name the file", name, o.key(), o.refused)
			}
		}
	}
}

// TestOnnxGo: onnx-go's suite passes for every operator that the embedded executor has.
func TestOnnxGo(t *testing.T) {
	known := newCoverage().known
	for _, o := range mustRun(t).ran[embedded] {
		if o.Suite == suiteOnnxGo && known[o.Op] && !o.passed {
			t.Errorf("%s (%s opset %d): %v", o.Name, o.Op, o.Opset, o.refused)
		}
	}
}

// coverage joins what ran here with what is on record.
func (s *suite) coverage(rec recorded) *coverage {
	c := newCoverage()
	for _, o := range s.ran[embedded] {
		c.add(o.testCase, embedded, o.reason())
	}
	for i := range s.cases {
		t := &s.cases[i]
		if t.model == nil {
			c.add(t, embedded, rec[embedded][t.key()])
		}
		c.add(t, onnxruntime, rec[onnxruntime][t.key()])
	}
	return c
}

// TestCoverage keeps COVERAGE.md.
func TestCoverage(t *testing.T) {
	s := mustRun(t)
	rec, err := readRecorded()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		rec.update(s.ran)
		if err := rec.write(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(coverageFile, []byte(s.coverage(rec).markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(coverageFile)
	if err != nil {
		t.Fatal(err)
	}
	if want := s.coverage(rec).markdown(); string(have) != want {
		t.Error("internal/onnx/COVERAGE.md is out of date: go generate ./tests/conformance")
	}
}

// TestTotals prints the totals of COVERAGE.md.
func TestTotals(t *testing.T) {
	rec, err := readRecorded()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	mustRun(t).coverage(rec).totalsTable(&b)
	t.Log("\n" + b.String())
}
