package progress

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

func lines(p *Printer, out *bytes.Buffer, total int) []string {
	task := p.Start("steps", total)
	for i := range total {
		task.Set(i + 1)
	}
	task.Stop()
	task.Set(total) // after the end: nothing
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

func TestTask_oneLinePerTenth(t *testing.T) {
	var out bytes.Buffer
	p := New(&out, false)
	clock := time.Unix(0, 0)
	p.now = func() time.Time { clock = clock.Add(time.Second / 2); return clock }
	got := lines(p, &out, 40)
	if len(got) != 10 || got[0] != "steps: 10% (4/40, 2s)" || got[9] != "steps: 100% (40/40, 20s)" {
		t.Errorf("%d lines: %q", len(got), got)
	}
	out.Reset()
	if got := lines(p, &out, 3); len(got) != 1 || got[0] != "steps: 60% (2/3, 1s)" {
		t.Errorf("lines of a task of three half seconds: %q", got)
	}
	out.Reset()
	if got := lines(New(&out, false), &out, 50); len(got) != 1 || got[0] != "" {
		t.Errorf("lines of a moment: %q", got)
	}
	out.Reset()
	p.now = func() time.Time { clock = clock.Add(2 * time.Second); return clock }
	task := p.Start("none", 0)
	task.Set(-5)
	task.Set(7)
	if s := out.String(); !strings.HasPrefix(s, "none: 100% (1/1") || strings.Count(s, "\n") != 1 {
		t.Errorf("empty task: %q", s)
	}
}

func TestTask_quiet(t *testing.T) {
	var out bytes.Buffer
	if got := lines(New(&out, true), &out, 20); len(got) != 1 || got[0] != "" {
		t.Errorf("quiet wrote %q", got)
	}
	lines(New(nil, false), &out, 5)
	lines(&Printer{}, &out, 5)
	if out.Len() != 0 {
		t.Errorf("silent printers wrote %q", out.String())
	}
}

func TestTask_barOnATerminal(t *testing.T) {
	var out bytes.Buffer
	p := New(&out, false)
	p.terminal = true
	task := p.Start("drawing", 5)
	task.Set(3)
	task.Stop()
	if s := out.String(); !strings.Contains(s, "drawing") || !strings.Contains(s, "\r") || strings.Contains(s, "\x1b[3") {
		t.Errorf("bar: %q", s)
	}
}

func TestIsTerminal(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if IsTerminal(f) || IsTerminal(&bytes.Buffer{}) {
		t.Error("a file passes for a terminal")
	}
}
