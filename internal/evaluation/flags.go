package evaluation

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"winnow/rewards/metric"
)

// Flag is a reason to distrust a figure: a sign that a scorer, or a model trained on it, gained without being better.
type Flag struct {
	Scorer string `json:"scorer,omitempty"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

// bias is from where on a share is far from another: 10 points.
const bias = 0.1

// Flags looks for signs that scorers like a look more than people do, do worse than chance, or give scores that are out of
// all proportion. looks are the pictures of records, by number; nil where they are not at hand.
func (s *Set) Flags(looks map[int][]Look) []Flag {
	all, by := s.choices()
	lists := by.members
	var out []Flag
	for _, c := range s.scorers {
		for _, p := range properties {
			if f, ok := c.lookFlag(p, looks, all, lists); ok {
				out = append(out, f)
			}
		}
		if f, ok := c.chanceFlag(all, lists); ok {
			out = append(out, f)
		}
		if f, ok := c.outlierFlag(); ok {
			out = append(out, f)
		}
	}
	return out
}

// lookFlag compares how often a scorer and the people choose the picture that has more of a property.
func (c *Scorer) lookFlag(p property, looks map[int][]Look, all []choice, lists [][]int32) (Flag, bool) {
	var scorer, people []metric.Count
	for _, list := range lists {
		var mine, theirs metric.Count
		for _, at := range list {
			x := all[at]
			l, ok := looks[int(x.record)]
			m := c.margin(x)
			if !ok || !x.decided() || math.IsNaN(m) || m == 0 {
				continue
			}
			more := p.of(l[x.first]) - p.of(l[x.second])
			if more == 0 || math.IsNaN(more) {
				continue
			}
			mine.Total++
			theirs.Total++
			if (m > 0) == (more > 0) {
				mine.Right++
			}
			if (x.human == 1) == (more > 0) {
				theirs.Right++
			}
		}
		if mine.Total > 0 {
			scorer, people = append(scorer, mine), append(people, theirs)
		}
	}
	if len(scorer) < 2 {
		return Flag{}, false
	}
	d := metric.PairedBootstrap(len(scorer), resamples, seed, level, metric.SharesOf(scorer), metric.SharesOf(people))
	every := make([]int, len(scorer))
	for i := range every {
		every[i] = i
	}
	share, human := metric.SharesOf(scorer)(every), metric.SharesOf(people)(every)
	if math.Abs(share-0.5) < bias || math.Abs(d.Value) < bias || d.Low <= 0 && d.High >= 0 || (share > 0.5) != (d.Value > 0) {
		return Flag{}, false
	}
	verb := "prefers"
	if share < 0.5 {
		verb = "shuns"
	}
	return Flag{
		Scorer: c.Name, Title: fmt.Sprintf("%s %s %s pictures", c.Name, verb, p.more),
		Detail: fmt.Sprintf("It chooses the %s picture in %.0f %% of the decided pairs, people in %.0f %% (difference %+.0f points, 95 %% interval %+.0f to %+.0f). "+
			"A model trained on it may gain by this alone.", p.more, 100*share, 100*human, 100*d.Value, 100*d.Low, 100*d.High),
	}, true
}

// chanceFlag finds scorers that choose against the people.
func (c *Scorer) chanceFlag(all []choice, lists [][]int32) (Flag, bool) {
	var counts []metric.Count
	for _, list := range lists {
		var n metric.Count
		for _, at := range list {
			x := all[at]
			m := c.margin(x)
			if !x.decided() || math.IsNaN(m) {
				continue
			}
			n.Total++
			switch {
			case x.right(m):
				n.Right++
			case m == 0:
				n.Right += 0.5
			}
		}
		if n.Total > 0 {
			counts = append(counts, n)
		}
	}
	if len(counts) < 2 {
		return Flag{}, false
	}
	iv := metric.Bootstrap(len(counts), resamples, seed, level, metric.SharesOf(counts))
	if iv.High >= 0.5 {
		return Flag{}, false
	}
	return Flag{
		Scorer: c.Name, Title: c.Name + " does worse than chance",
		Detail: fmt.Sprintf("It agrees with people on %.0f %% of the decided pairs (95 %% interval %.0f to %.0f). Are its scores costs, or of other pictures?",
			100*iv.Value, 100*iv.Low, 100*iv.High),
	}, true
}

// far is how many robust standard deviations from the median a score is out of all proportion.
const far = 8

// outlierFlag finds scores that no other picture comes near to.
func (c *Scorer) outlierFlag() (Flag, bool) {
	var flat []float64
	for _, v := range c.values {
		flat = append(flat, v...)
	}
	n, middle, spread := outliers(flat)
	if n == 0 {
		return Flag{}, false
	}
	return Flag{
		Scorer: c.Name, Title: fmt.Sprintf("%s gives %d of %d pictures scores out of all proportion", c.Name, n, len(flat)),
		Detail: fmt.Sprintf("They are more than %d robust standard deviations (%.4g) from the median %.4g. Averages over them mean little; look at the pictures.", far, spread, middle),
	}, true
}

func outliers(x []float64) (n int, middle, spread float64) {
	if len(x) < 20 {
		return 0, 0, 0
	}
	middle = median(x)
	deviations := make([]float64, len(x))
	for i, v := range x {
		deviations[i] = math.Abs(v - middle)
	}
	const normal = 1.4826 // makes the median deviation of a normal distribution its standard deviation
	if spread = normal * median(deviations); spread == 0 {
		return 0, middle, 0
	}
	for _, d := range deviations {
		if d > far*spread {
			n++
		}
	}
	return n, middle, spread
}

// WinRateFlags looks for signs that a win is not what it seems: scorers that contradict each other, pictures of A with another
// look than those of B, and pictures of A that are the same for different prompts. looksA and looksB are by prompt; nil where
// the pictures are not at hand.
func WinRateFlags(results []WinRate, looksA, looksB [][]Look) []Flag {
	var out []Flag
	var gains, losses []string
	for _, r := range results {
		if r.Rate.Low > 0.5 {
			gains = append(gains, r.Scorer)
		}
		if r.Rate.High < 0.5 {
			losses = append(losses, r.Scorer)
		}
	}
	if len(gains) > 0 && len(losses) > 0 {
		out = append(out, Flag{
			Title:  "scorers contradict each other",
			Detail: fmt.Sprintf("A wins by %s and loses by %s, both beyond their 95 %% intervals. If A was trained on the former, it may have learnt what they reward instead of better pictures.", strings.Join(gains, ", "), strings.Join(losses, ", ")),
		})
	}
	for _, p := range properties {
		if f, ok := shiftFlag(p, looksA, looksB); ok {
			out = append(out, f)
		}
	}
	for i, looks := range [][][]Look{looksA, looksB} {
		if f, ok := sameFlag(string(rune('A'+i)), looks); ok {
			out = append(out, f)
		}
	}
	return out
}

// shiftFlag finds a look that A's pictures have more of on nearly every prompt.
func shiftFlag(p property, a, b [][]Look) (Flag, bool) {
	var shares []float64
	for i := range min(len(a), len(b)) {
		wins, n := 0.0, 0.0
		for k := range min(len(a[i]), len(b[i])) {
			n++
			switch x, y := p.of(a[i][k]), p.of(b[i][k]); {
			case x > y:
				wins++
			case x == y:
				wins += 0.5
			}
		}
		if n > 0 {
			shares = append(shares, wins/n)
		}
	}
	if len(shares) < 10 {
		return Flag{}, false
	}
	const most = 0.75
	iv := metric.Bootstrap(len(shares), resamples, seed, level, metric.MeanOf(shares))
	switch {
	case iv.Low > most:
		return Flag{Title: "A's pictures are " + p.more, Detail: fmt.Sprintf("than B's, on %.0f %% of the prompts. Rewards that like the look would prefer them for it.", 100*iv.Value)}, true
	case iv.High < 1-most:
		return Flag{Title: "B's pictures are " + p.more, Detail: fmt.Sprintf("than A's, on %.0f %% of the prompts. Rewards that like the look would prefer them for it.", 100-100*iv.Value)}, true
	}
	return Flag{}, false
}

// sameFlag finds pictures that are the same for different prompts.
func sameFlag(name string, looks [][]Look) (Flag, bool) {
	const many = 0.05
	same, total := 0, 0
	for i := range looks {
		for _, l := range looks[i] {
			total++
			if slices.ContainsFunc(looks[:i], func(other []Look) bool { return slices.ContainsFunc(other, l.alike) }) {
				same++
			}
		}
	}
	if total < 10 || float64(same) < many*float64(total) {
		return Flag{}, false
	}
	return Flag{
		Title:  fmt.Sprintf("%s draws the same picture for different prompts", name),
		Detail: fmt.Sprintf("%d of its %d pictures are nearly equal to one of an earlier prompt. The model may have collapsed.", same, total),
	}, true
}
