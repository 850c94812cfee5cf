package progress

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func follow(out *bytes.Buffer, step time.Duration) *Printer {
	p := New(out, false)
	clock := time.Unix(0, 0)
	p.now = func() time.Time { clock = clock.Add(step); return clock }
	return p
}

func TestFollower_linesEveryFewSeconds(t *testing.T) {
	var out bytes.Buffer
	p := follow(&out, 4*time.Second)
	f := p.Follow("training", 1000, 990, 10*time.Second)
	for step := 991; step <= 1000; step++ {
		f.Show(step, "loss 0.69", "3 pairs/s")
	}
	f.Stop()
	f.Show(1000, "after the end")
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	want := []string{
		"training: 993/1000, 12s, ETA 28s, loss 0.69, 3 pairs/s",
		"training: 996/1000, 24s, ETA 16s, loss 0.69, 3 pairs/s",
		"training: 999/1000, 36s, ETA 4s, loss 0.69, 3 pairs/s",
		"training: 1000/1000, 40s, loss 0.69, 3 pairs/s", // the last step always has its line
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFollower_quiet(t *testing.T) {
	var out bytes.Buffer
	f := New(&out, true).Follow("training", 10, 0, 0)
	f.Show(5, "loss 1")
	f.Clear()
	f.Stop()
	if out.Len() != 0 {
		t.Errorf("quiet wrote %q", out.String())
	}
}

// The line of a bar fits into 80 columns, the most important part stays.
func TestFollower_barFits(t *testing.T) {
	var out bytes.Buffer
	p := follow(&out, time.Second)
	p.terminal = true
	f := p.Follow("training", 100000, 5000, 0)
	f.Show(99999, "loss 0.6912", "accuracy 0.53", "margin +0.0012", "grad 0.012", "3.4 pairs/s", "1.2 GiB")
	f.Stop()
	text := out.String()
	if !strings.Contains(text, "(99999/100000)") || !strings.Contains(text, "loss 0.6912") || strings.Contains(text, "GiB") {
		t.Errorf("bar: %q", text)
	}
	for _, line := range strings.Split(text, "\r") {
		if n := len([]rune(line)); n > 80 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 41600 * time.Millisecond: "42s", 200 * time.Second: "3m20s", 5*time.Hour + 7*time.Minute: "5h07m", 51 * time.Hour: "2d03h",
		59*time.Minute + 59700*time.Millisecond: "1h00m",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
