// Package progress shows how far long work is: a bar on a terminal, elsewhere at
// most one line per tenth of the work and per second, so that log files stay
// short, and nothing when told to be quiet. It writes to the error stream only; results never mix in.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Printer makes tasks that write to one stream. The zero value is quiet.
type Printer struct {
	out      io.Writer
	terminal bool
	now      func() time.Time
}

// New returns a printer on out. It is quiet when told so or when out is nil,
// and draws bars when out is a terminal that can move its cursor.
func New(out io.Writer, quiet bool) *Printer {
	if quiet || out == nil {
		return &Printer{}
	}
	return &Printer{out: out, terminal: IsTerminal(out) && os.Getenv("TERM") != "dumb", now: time.Now}
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Task is one piece of work with a known number of steps. Its methods may be
// called from several goroutines.
type Task struct {
	mu    sync.Mutex
	p     *Printer
	label string
	total int
	shown int // tenths that have been printed
	start time.Time
	last  time.Time // of the last line
	bar   *progressbar.ProgressBar
}

// minInterval lies between two lines: work of a moment says nothing.
const minInterval = time.Second

// Start begins a task of total steps.
func (p *Printer) Start(label string, total int) *Task {
	t := &Task{p: p, label: label, total: max(total, 1)}
	if p.out == nil {
		return t
	}
	t.start = p.now()
	t.last = t.start
	if p.terminal {
		t.bar = progressbar.NewOptions(t.total,
			progressbar.OptionSetWriter(p.out),
			progressbar.OptionSetDescription(label),
			progressbar.OptionSetWidth(24),
			progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(80*time.Millisecond),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetTheme(theme()))
		_ = t.bar.RenderBlank()
	}
	return t
}

// theme draws with plain characters: they show in every font, and without
// colour, so NO_COLOR needs no second look.
func theme() progressbar.Theme {
	return progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " ", BarStart: "[", BarEnd: "]"}
}

// Set says that done steps are finished.
func (t *Task) Set(done int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.p.out == nil {
		return
	}
	done = min(max(done, 0), t.total)
	if t.bar != nil {
		_ = t.bar.Set(done)
		return
	}
	tenths := done * 10 / t.total
	now := t.p.now()
	if tenths <= t.shown || now.Sub(t.last) < minInterval {
		return
	}
	t.shown, t.last = tenths, now
	fmt.Fprintf(t.p.out, "%s: %d%% (%d/%d, %s)\n", t.label, tenths*10, done, t.total, now.Sub(t.start).Round(100*time.Millisecond))
}

// Stop ends the task, finished or not, and removes its bar from the screen.
func (t *Task) Stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bar != nil {
		_ = t.bar.Clear()
		t.bar = nil
	}
	t.p = &Printer{}
}
