package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"winnow/internal/monitor"
)

// rawSteps is the number of steps up to which curves are drawn as they are.
const rawSteps = 40

// curve is one metric by step, smoothed where steps are many.
func (t *Training) curve(name, metric string) Line {
	l := Line{Name: name}
	l.X, l.Y = monitor.Series(t.Metrics, metric)
	if len(l.X) > rawSteps {
		l.Y, l.Low, l.High = monitor.Smooth(l.Y, max(5, len(l.X)/12))
	}
	return l
}

// curves are the metrics by step.
func (t *Training) curves() Section {
	s := Section{Title: "Curves"}
	add := func(c LineChart, lines ...Line) {
		for _, l := range lines {
			if len(l.X) > 0 {
				c.Lines = append(c.Lines, l)
			}
		}
		if c.X = "step"; len(c.Lines) > 0 {
			s.Charts = append(s.Charts, c)
		}
	}
	loss := LineChart{Title: "Loss", Note: "Falls slowly and unevenly; small changes are normal."}
	if t.Chance != 0 {
		loss.Levels = []Mark{{fmt.Sprintf("%.3f, a policy that equals the reference", t.Chance), t.Chance}}
	}
	add(loss, t.curve("", monitor.Loss))
	add(LineChart{
		Title: "Reward accuracy", Y: "share of pairs", Levels: []Mark{{"0.5, chance", 0.5}},
		Note: "Pairs whose chosen picture has the higher implicit reward. Should rise above chance; near 1 the pairs are learned by heart.",
	}, t.curve("", monitor.Accuracy))
	add(LineChart{
		Title: "Implicit rewards", Note: "Chosen and rejected should part. When both fall, the policy widens the margin by getting worse at both.",
	}, t.curve("chosen", monitor.Chosen), t.curve("rejected", monitor.Rejected), t.curve("margin", monitor.Margins))
	add(LineChart{
		Title: "Gradient norm", Note: "Before clipping. Single peaks are normal; a climb that does not end is divergence.",
	}, t.curve("", monitor.GradNorm))
	rate := Line{}
	rate.X, rate.Y = monitor.Series(t.Metrics, monitor.Rate)
	add(LineChart{Title: "Learning rate"}, rate)
	for _, reward := range t.previewRewards() {
		l := Line{Points: true}
		l.X, l.Y = monitor.Series(t.Metrics, PreviewPrefix+reward)
		add(LineChart{Title: "Preview pictures: " + reward, Y: "mean score", Note: "Scores of the preview prompts while training. Few pictures: look for a trend, not for single points."}, l)
	}
	add(LineChart{Title: "Reward", Y: "mean reward", Note: "Of what the policy's own samples would become."}, t.curve("", monitor.Reward))
	add(LineChart{
		Title: "Saturated pairs", Y: "share of pairs", Note: "Pairs that are told apart so clearly that they no longer teach anything.",
	}, t.curve("", monitor.Saturated))
	add(LineChart{
		Title: "Drift of the chosen", Y: "error, policy − reference", Note: "Above zero, the policy has become worse at the pictures that it should make.",
	}, t.curve("", monitor.ChosenDrift))
	return s
}

// previewRewards lists the rewards of preview pictures in the order of the log.
func (t *Training) previewRewards() []string {
	var out []string
	seen := map[string]bool{}
	for _, m := range t.Metrics {
		for _, v := range m.Values {
			if reward, ok := strings.CutPrefix(v.Name, PreviewPrefix); ok && !seen[reward] {
				seen[reward] = true
				out = append(out, reward)
			}
		}
	}
	return out
}

// meanings say what a metric is, for people who have not met it.
var meanings = []struct{ metric, name, meaning string }{
	{monitor.Loss, "loss", "what training makes small"},
	{monitor.Accuracy, "reward accuracy", "share of pairs told apart rightly; chance is 0.5"},
	{monitor.Margins, "reward margin", "implicit reward of the chosen minus that of the rejected"},
	{monitor.Chosen, "reward of the chosen", "above zero: better at them than the reference"},
	{monitor.Rejected, "reward of the rejected", "below zero: worse at them than the reference, as it should be"},
	{monitor.GradNorm, "gradient norm", "size of a step before the learning rate and clipping"},
	{monitor.Saturated, "saturated pairs", "share that no longer teaches anything"},
	{monitor.ChosenDrift, "drift of the chosen", "error of the policy minus the reference's; should not be above zero"},
	{monitor.Reward, "reward", "of what the policy's own samples would become; should rise"},
	{monitor.RewardSpread, "reward spread", "best minus worst of the samples that are compared"},
	{monitor.Clipped, "clipped steps", "share that has moved as far as it may since the paths were drawn"},
	{monitor.Rate, "learning rate", ""},
	{monitor.PairsPerSecond, "pairs per second", ""},
	{monitor.Memory, "memory, MiB", "held by the process"},
}

// numbers compares the first and the last tenth of the steps.
func (t *Training) numbers() Section {
	if len(t.Metrics) == 0 {
		return Section{}
	}
	s := Section{
		Title: "Numbers", Note: "Means over the first and the last tenth of the steps: single steps vary too much to be compared.",
		Table: &Table{Head: []string{"metric", "first steps", "last steps", "what it is"}},
	}
	row := func(metric, name, meaning string) {
		_, v := monitor.Series(t.Metrics, metric)
		if len(v) == 0 {
			return
		}
		if metric == monitor.Memory {
			for i := range v {
				v[i] /= 1 << 20
			}
		}
		n := max(1, len(v)/10)
		first, last := mean(v[:n]), mean(v[len(v)-n:])
		s.Table.Rows = append(s.Table.Rows, []string{name, significant(first), significant(last), meaning})
	}
	for _, m := range meanings {
		row(m.metric, m.name, m.meaning)
	}
	for _, reward := range t.previewRewards() {
		row(PreviewPrefix+reward, "preview: "+reward, "mean score of the preview pictures")
	}
	return s
}

// significant writes four digits, without an exponent where people would not write one.
func significant(v float64) string {
	if !finite(v) {
		return "–"
	}
	if a := math.Abs(v); a >= 1e-3 && a < 1e7 {
		v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

func mean(v []float64) float64 {
	sum, n := 0.0, 0
	for _, x := range v {
		if finite(x) {
			sum, n = sum+x, n+1
		}
	}
	return sum / float64(n)
}
