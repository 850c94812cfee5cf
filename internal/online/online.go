// Package online decides about rounds of making, judging and learning: which round's model is the best one, and whether the
// reward that labels the pictures is being exploited.
package online

import (
	"fmt"
	"math"

	"winnow/rewards/metric"
)

// Round is what one model does on the held-out prompts. Round 0 is the model that the rounds began with.
type Round struct {
	Number int
	// Trained are scores by what labels the training pictures, HeldOut by a reward that nothing is trained on, one for each prompt;
	// NaN where there is none. Both are higher for better pictures.
	Trained, HeldOut []float64
}

// Change is the mean difference of a score between two rounds over the prompts that both have one for, with its 95 % bootstrap
// interval and two-sided p-value.
type Change struct {
	Mean    float64 `json:"mean"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	P       float64 `json:"p"`
	Prompts int     `json:"prompts"`
}

func (c Change) String() string { return fmt.Sprintf("%+.4g [%+.4g, %+.4g]", c.Mean, c.Low, c.High) }

// rises and falls say that the whole interval lies on one side of 0.
func (c Change) rises() bool { return c.Low > 0 }
func (c Change) falls() bool { return c.High < 0 }

// Verdict is what the rounds so far come to.
type Verdict struct {
	Best int // place of the round whose held-out score is the highest; the earliest of equals
	// Trained and HeldOut are the last round against the best one before it.
	Trained, HeldOut Change
	// Against is the number of that round.
	Against int
	// Hacked says that the held-out reward fell while the trained one rose: pictures have become better for the labels only.
	Hacked bool
	// Worse says that the held-out reward fell and the trained one did not rise.
	Worse bool
}

// resamples of the bootstrap; with 2000 the smallest p-value is .001.
const resamples = 2000

// Judge looks at the rounds so far, at least one. The last round is held against the best one before it rather than against its
// neighbour, so that a slow decline adds up.
func Judge(rounds []Round) Verdict {
	last := len(rounds) - 1
	v := Verdict{Best: best(rounds)}
	if last == 0 {
		return v
	}
	before := best(rounds[:last])
	v.Against = rounds[before].Number
	v.Trained = Compare(rounds[last].Trained, rounds[before].Trained)
	v.HeldOut = Compare(rounds[last].HeldOut, rounds[before].HeldOut)
	v.Hacked = v.HeldOut.falls() && v.Trained.rises()
	v.Worse = v.HeldOut.falls() && !v.Hacked
	return v
}

// best is the place of the round with the highest mean held-out score.
func best(rounds []Round) int {
	at, top := 0, math.Inf(-1)
	for i, r := range rounds {
		if m := Mean(r.HeldOut); m > top {
			at, top = i, m
		}
	}
	return at
}

// Mean is the mean of the scores that are numbers; NaN without any.
func Mean(scores []float64) float64 {
	var sum, n float64
	for _, v := range scores {
		if !math.IsNaN(v) {
			sum += v
			n++
		}
	}
	return sum / n
}

// Compare is the change from b to a, which are as long as each other. Prompts that lack a score on either side do not count.
func Compare(a, b []float64) Change {
	var x, y []float64
	for i := range a {
		if !math.IsNaN(a[i]) && !math.IsNaN(b[i]) {
			x, y = append(x, a[i]), append(y, b[i])
		}
	}
	if len(x) == 0 {
		return Change{Mean: math.NaN(), Low: math.NaN(), High: math.NaN(), P: 1}
	}
	d := metric.PairedBootstrap(len(x), resamples, 1, 0.95, metric.MeanOf(x), metric.MeanOf(y))
	return Change{d.Value, d.Low, d.High, d.P, len(x)}
}
