package report

import (
	"fmt"
	"math"
	"strings"

	"winnow/internal/monitor"
)

// short answers what people ask of a run first, in words.
func (t *Training) short() Section {
	s := Section{Title: "In short", Table: &Table{}}
	add := func(question, answer string) {
		if answer != "" {
			s.Table.Rows = append(s.Table.Rows, []string{question, answer})
		}
	}
	for _, w := range t.WinRates {
		add("Are its pictures better by "+w.Reward+"?", w.answer())
	}
	if len(t.WinRates) == 0 {
		add("Are its pictures better?", t.previewed())
	}
	add("Did it learn the preferences?", t.learned())
	add("Is anything suspicious?", t.suspicious())
	if len(s.Table.Rows) == 0 {
		return Section{}
	}
	return s
}

// answer says a win rate in words.
func (w WinRate) answer() string {
	verdict := map[string]string{"better": "Yes", "worse": "No, they are worse", "cannot be told apart": "Not clearly"}[w.verdict()]
	value, bounds := interval(100*w.Rate, 100*w.Low, 100*w.High, 0)
	if bounds = strings.Trim(strings.ReplaceAll(bounds, ", ", " to "), "[]"); bounds != "" {
		bounds = "95 % interval " + bounds + ", "
	}
	return fmt.Sprintf("%s: they win %s %% of the comparisons (%s%d prompts).", verdict, value, bounds, w.Prompts)
}

// previewed goes by the pictures of the preview, which are few.
func (t *Training) previewed() string {
	var parts []string
	rose, all := map[string]int{}, map[string]int{}
	var names []string
	for _, p := range t.Previews {
		for _, c := range p.Scores {
			if !finite(c.Before, c.After) {
				continue
			}
			if all[c.Reward] == 0 {
				names = append(names, c.Reward)
			}
			if all[c.Reward]++; c.After > c.Before {
				rose[c.Reward]++
			}
		}
	}
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%s rose for %d of %d preview prompts.", name, rose[name], all[name]))
	}
	if len(parts) == 0 {
		return "Not measured. Compare the two models on prompts that were not trained on, with winnow eval win-rate."
	}
	return strings.Join(parts, " ") + " That is too few to be sure: winnow eval win-rate compares the models on many prompts."
}

// learned looks at the last fifth of the steps.
func (t *Training) learned() string {
	_, v := monitor.Series(t.Metrics, monitor.Accuracy)
	n := len(v) / 5
	if n < 5 {
		return ""
	}
	last := v[len(v)-n:]
	m, squares := mean(last), 0.0
	for _, x := range last {
		squares += (x - m) * (x - m)
	}
	half := 1.96 * math.Sqrt(squares/float64(n-1)/float64(n))
	if !finite(m, half) {
		return ""
	}
	figures := fmt.Sprintf("in the last %d steps it told %.0f %% of the training pairs apart rightly (95 %% interval %.0f to %.0f; chance: 50)", n, 100*m, 100*max(m-half, 0), 100*min(m+half, 1))
	switch {
	case m > 0.97:
		return "By heart: " + figures + ". More steps add little; more pairs would."
	case m-half > 0.5:
		return "Yes: " + figures + "."
	case m+half < 0.5:
		return "The wrong way round: " + figures + ". Look whether chosen and rejected are swapped in the data."
	}
	return "Not clearly: " + figures + ". More steps, a higher learning rate or a higher beta may help."
}

// suspicious names what warnings do not: they stand above.
func (t *Training) suspicious() string {
	var parts []string
	tail := func(metric string) float64 {
		_, v := monitor.Series(t.Metrics, metric)
		return mean(v[len(v)-(len(v)+9)/10:])
	}
	if v := tail(monitor.Saturated); v > 0.5 {
		parts = append(parts, fmt.Sprintf("%.0f %% of the pairs are saturated at the end: β or the learning rate is high, or the pairs are few.", 100*v))
	}
	if chosen, rejected := tail(monitor.Chosen), tail(monitor.Rejected); chosen < 0 && rejected < chosen {
		parts = append(parts, "The policy is worse than the reference at the chosen pictures, too, only less than at the rejected: look at the pictures for lost quality.")
	}
	if len(parts) == 0 && len(t.Metrics) == 0 {
		return ""
	}
	if warnings := t.warnings(); warnings > 0 {
		parts = append(parts, fmt.Sprintf("See the %s above.", plural(warnings, "warning")))
	}
	if len(parts) == 0 {
		return "No."
	}
	return strings.Join(parts, " ")
}

func (t *Training) warnings() int {
	n := 0
	if t.Stopped != "" {
		n++
	}
	for _, f := range t.Flags {
		if f.Level == "warn" {
			n++
		}
	}
	return n
}

func plural(n int, what string) string {
	if n == 1 {
		return what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
