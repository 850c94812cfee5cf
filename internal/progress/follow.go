package progress

import (
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Follower is a long task that tells its state in a few words: behind the bar on a terminal, elsewhere in a line each few
// seconds. Its methods are not safe for concurrent use.
type Follower struct {
	p           *Printer
	label       string
	total, from int
	every       time.Duration
	start, last time.Time
	bar         *progressbar.ProgressBar
}

// barRoom is what the bar, its percentage and its brackets take of a terminal's line at least; the count comes on top.
const barRoom = 22

// redraw is the shortest time between two drawings of a bar.
const redraw = 100 * time.Millisecond

// Follow begins a task of total steps of which done were finished by an earlier run. Lines, where there is no terminal, come
// every so often at most.
func (p *Printer) Follow(label string, total, done int, every time.Duration) *Follower {
	f := &Follower{p: p, label: label, total: max(total, 1), from: max(done, 0), every: every}
	if p.out == nil {
		return f
	}
	f.start = p.now()
	f.last = f.start
	if p.terminal {
		f.bar = progressbar.NewOptions(f.total,
			progressbar.OptionSetWriter(p.out),
			progressbar.OptionSetDescription(label),
			progressbar.OptionSetWidth(10),
			progressbar.OptionShowCount(),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionShowDescriptionAtLineEnd(),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetTheme(theme()))
		_ = f.bar.Set(min(f.from, f.total-1))
	}
	return f
}

// Show says that done steps are finished, and what there is to tell, the most important first: what a narrow terminal has no
// room for is left out. The time that is left comes before it.
func (f *Follower) Show(done int, parts ...string) {
	if f.p.out == nil {
		return
	}
	done = min(max(done, 0), f.total)
	now := f.p.now()
	elapsed := now.Sub(f.start)
	if did := done - f.from; did > 0 && done < f.total {
		left := time.Duration(float64(elapsed) / float64(did) * float64(f.total-done))
		parts = append([]string{"ETA " + Duration(left)}, parts...)
	}
	if f.bar != nil {
		if now.Sub(f.last) < redraw && done < f.total {
			return
		}
		f.last = now
		count := fmt.Sprintf("(%d/%d)", done, f.total)
		f.bar.Describe(fit(parts, f.width()-barRoom-len(count)))
		_ = f.bar.Set(done)
		return
	}
	if now.Sub(f.last) < f.every && done < f.total {
		return
	}
	f.last = now
	parts = append([]string{fmt.Sprintf("%d/%d", done, f.total), Duration(elapsed)}, parts...)
	fmt.Fprintf(f.p.out, "%s: %s\n", f.label, strings.Join(parts, ", "))
}

// Clear takes the bar from the screen until the next Show, so that something else can be printed.
func (f *Follower) Clear() {
	if f.bar != nil {
		_ = f.bar.Clear()
	}
}

// Stop ends the task, finished or not.
func (f *Follower) Stop() {
	f.Clear()
	f.p = &Printer{}
	f.bar = nil
}

// width is the number of columns of the terminal.
func (f *Follower) width() int {
	if file, ok := f.p.out.(*os.File); ok {
		if w, _, err := term.GetSize(int(file.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 80
}

// fit joins as many parts as have room.
func fit(parts []string, room int) string {
	out, used := "", 0
	for _, p := range parts {
		n := utf8.RuneCountInString(p) + 2
		if used+n > room {
			break
		}
		if out != "" {
			out += "  "
		}
		out, used = out+p, used+n
	}
	return out
}

// Duration writes a length of time in at most two units, as people say it: 42s, 3m20s, 5h07m, 2d03h.
func Duration(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	days, hours, minutes, seconds := d/(24*time.Hour), d/time.Hour%24, d/time.Minute%60, d/time.Second%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd%02dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh%02dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm%02ds", minutes, seconds)
	}
	return fmt.Sprintf("%ds", seconds)
}
