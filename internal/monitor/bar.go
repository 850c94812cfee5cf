package monitor

import (
	"fmt"
	"io"
	"math"
	"time"

	"winnow/internal/progress"
)

// lineEvery is the time between two lines where there is no terminal.
const lineEvery = 10 * time.Second

// shownSteps is the number of steps that the numbers on the screen are means of: those of single steps jump too much to be read.
const shownSteps = 20

// Bar shows how far a run is, and its loss, reward accuracy, margin, gradient norm, speed and memory: a bar on a terminal, elsewhere
// a line every ten seconds, nothing when told to be quiet. It is not safe for concurrent use.
type Bar struct {
	task *progress.Follower
	mean map[string]*window
}

// NewBar begins with done of total steps finished by an earlier run.
func NewBar(out io.Writer, quiet bool, total, done int) *Bar {
	b := &Bar{task: progress.New(out, quiet).Follow("training", total, done, lineEvery), mean: map[string]*window{}}
	for _, item := range barItems {
		b.mean[item.name] = &window{size: shownSteps}
	}
	return b
}

// barItems are the numbers on the screen, the most important first.
var barItems = []struct {
	name string
	text func(v float64) string
}{
	{Loss, func(v float64) string { return fmt.Sprintf("loss %.4f", v) }},
	{Accuracy, func(v float64) string { return fmt.Sprintf("accuracy %.2f", v) }},
	{Margins, func(v float64) string { return fmt.Sprintf("margin %+.3g", v) }},
	{GradNorm, func(v float64) string { return fmt.Sprintf("grad %.3g", v) }},
	{PairsPerSecond, func(v float64) string { return fmt.Sprintf("%.3g pairs/s", v) }},
	{Memory, bytesText},
}

// Step shows the numbers of a step that is done.
func (b *Bar) Step(m Metrics) {
	var parts []string
	for _, item := range barItems {
		v, ok := m.Get(item.name)
		if !ok {
			continue
		}
		w := b.mean[item.name]
		w.add(v)
		if v = mean(w.Values); item.name == Memory {
			v = w.Values[len(w.Values)-1]
		}
		if !math.IsNaN(v) {
			parts = append(parts, item.text(v))
		}
	}
	b.task.Show(m.Step, parts...)
}

// Clear takes the bar from the screen until the next step, so that a warning can be printed.
func (b *Bar) Clear() { b.task.Clear() }

// Stop ends the bar, whether the run is finished or not.
func (b *Bar) Stop() { b.task.Stop() }

func bytesText(v float64) string {
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if v < 1024 {
			return fmt.Sprintf("%.0f %s", v, unit)
		}
		v /= 1024
	}
	return fmt.Sprintf("%.1f GiB", v)
}
