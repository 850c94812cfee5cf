// Package cli runs the command line in-process on the scripts of this folder:
// exit codes, both streams, and what is left on disk.
//
// A script is a txtar file: commands first, then the files of its folder.
//
//	winnow ARG…          run; the next line must be "exit N"
//	exit N               code of the last run
//	stdout RE, stderr RE the stream of the last run matches; with ! before: it does not
//	empty stdout|stderr  nothing was written
//	json TYPE…           each line of stdout is one strict JSON object of that type, in order
//	exists F, absent F   of a file or folder; "tidy F" a folder holds no temporary file
//	same F G             two files are equal
//	copy FROM TO         a file or folder; ${tests} is this module's tests folder
//	truncate F N         cut a file to N bytes
//	replace F OLD NEW    all occurrences; in ONNX files of equal length
//	nan F                fill one weight of an ONNX file with NaN
//	remove F             a file or folder
//	tensors F NAME=DTYPE:2x3… a safetensors file of small numbers that all differ
//	golden NAME F        an image of tests/golden/images/decode.json
//	bomb F               a tiny PNG that claims 60,000 × 60,000 pixels
//	interrupt MS         the next run is told to stop that many milliseconds after it began
package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"winnow/internal/cli"
)

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("*.txtar")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	tests, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(file, ".txtar"), func(t *testing.T) {
			script, content := parseTxtar(string(data))
			dir := t.TempDir()
			t.Chdir(dir)
			for name, text := range content {
				mustDo(t, os.MkdirAll(filepath.Dir(name), 0o755))
				mustDo(t, os.WriteFile(name, []byte(text), 0o644))
			}
			s := &state{t: t, name: file, tests: tests}
			for i, line := range strings.Split(script, "\n") {
				s.line = i + 1
				if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
					s.exec(strings.ReplaceAll(line, "${tests}", tests))
				}
			}
			s.settled()
		})
	}
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// parseTxtar splits "-- name --" sections off the script.
func parseTxtar(text string) (script string, files map[string]string) {
	files = map[string]string{}
	name := ""
	for _, line := range strings.SplitAfter(text, "\n") {
		trimmed := strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(trimmed, "-- ") && strings.HasSuffix(trimmed, " --") && len(trimmed) > 6 {
			name = strings.TrimSpace(trimmed[3 : len(trimmed)-3])
			files[name] = ""
			continue
		}
		if name == "" {
			script += line
		} else {
			files[name] += line
		}
	}
	return script, files
}

// state is one running script.
type state struct {
	t              *testing.T
	name, tests    string
	line           int
	code           int
	stdout, stderr string
	unchecked      bool // the last run's exit code has not been asserted
	interrupted    bool // the next run is
	interrupt      time.Duration
}

func (s *state) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s:%d: %s\n--- exit %d\n--- stdout\n%s--- stderr\n%s", s.name, s.line, fmt.Sprintf(format, args...), s.code, s.stdout, s.stderr)
}

func (s *state) must(err error) {
	s.t.Helper()
	if err != nil {
		s.fail("%v", err)
	}
}

// settled insists that every run's exit code is asserted.
func (s *state) settled() {
	if s.unchecked {
		s.fail("the run before this line has no exit line")
	}
}

func (s *state) exec(line string) {
	s.t.Helper()
	word, rest, _ := strings.Cut(line, " ")
	word, negated := strings.CutPrefix(word, "!")
	args := fields(rest)
	if word != "exit" {
		s.settled()
	}
	switch word {
	case "winnow":
		s.run(args)
	case "exit":
		want, err := strconv.Atoi(rest)
		s.must(err)
		s.unchecked = false
		if s.code != want {
			s.fail("exit %d, want %d", s.code, want)
		}
	case "stdout", "stderr":
		stream := map[string]string{"stdout": s.stdout, "stderr": s.stderr}[word]
		if regexp.MustCompile("(?m)"+rest).MatchString(stream) == negated {
			s.fail("%s and %q: want a match: %v", word, rest, !negated)
		}
	case "empty":
		if stream := map[string]string{"stdout": s.stdout, "stderr": s.stderr}[rest]; stream != "" {
			s.fail("%s is not empty", rest)
		}
	case "json":
		s.json(args)
	default:
		s.file(word, args)
	}
}

// fields splits at spaces; single and double quotes hold a word together.
func fields(s string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`"([^"]*)"|'([^']*)'|(\S+)`).FindAllStringSubmatch(s, -1) {
		out = append(out, m[1]+m[2]+m[3])
	}
	return out
}

func (s *state) run(args []string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	var out, errs bytes.Buffer
	if s.interrupted {
		if s.interrupt == 0 {
			cancel()
		}
		timer := time.AfterFunc(s.interrupt, cancel)
		defer timer.Stop()
		s.interrupted = false
	}
	s.code = cli.Run(ctx, args, &out, &errs)
	s.stdout, s.stderr, s.unchecked = out.String(), errs.String(), true
	if strings.Contains(s.stderr, "goroutine ") || strings.Contains(s.stderr, "panic") {
		s.fail("a panic reached the user")
	}
}

// json decodes stdout strictly: one object per line, nothing else.
func (s *state) json(types []string) {
	s.t.Helper()
	var got []string
	for line := range strings.Lines(s.stdout) {
		dec := json.NewDecoder(strings.NewReader(line))
		var object map[string]any
		if err := dec.Decode(&object); err != nil || dec.More() {
			s.fail("line is not one JSON object: %q, %v", line, err)
		}
		kind, _ := object["type"].(string)
		got = append(got, kind)
		if kind == "error" && (object["message"] == "" || object["code"] == nil) {
			s.fail("error without message or code: %q", line)
		}
	}
	if !slices.Equal(got, types) {
		s.fail("types %q, want %q", got, types)
	}
}
