package sampling

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Interval limits guidance to a part of a run (Kynkäänniemi et al. 2024, arXiv 2404.07724): outside it the prediction for
// the prompt stands alone, which costs one network evaluation instead of two.
type Interval struct {
	// Low and High are noise levels σ (noise over signal, as in [Plan.Sigmas]); a step with Low < σ ≤ High is guided. High may
	// be +Inf.
	Low, High float64
	// Share makes them shares of the run instead, 0 at its noisy start and 1 at its end; a step whose middle lies between
	// them is guided.
	Share bool
}

// Contains reports whether step i of a plan is guided.
func (v Interval) Contains(p *Plan, i int) bool {
	if v.Share {
		at := (float64(i) + 0.5) / float64(p.Len())
		return v.Low <= at && at <= v.High
	}
	return v.Low < p.Sigmas[i] && p.Sigmas[i] <= v.High
}

// Check reports bounds that cannot be meant.
func (v Interval) Check() error {
	switch {
	case math.IsNaN(v.Low) || math.IsNaN(v.High) || v.Low < 0 || v.High <= v.Low:
		return fmt.Errorf("want two bounds, the lower one first and not negative")
	case v.Share && v.High > 1:
		return fmt.Errorf("want shares from 0%% to 100%%")
	}
	return nil
}

// ParseInterval reads what String writes: "0.28,5.42" for noise levels, "10%,80%" for shares of the run.
func ParseInterval(text string) (Interval, error) {
	low, high, ok := strings.Cut(text, ",")
	if !ok {
		return Interval{}, fmt.Errorf("want LOW,HIGH as noise levels, as in 0.28,5.42, or as shares of the steps, as in 10%%,80%%")
	}
	a, shareA, errA := bound(low)
	b, shareB, errB := bound(high)
	switch {
	case errA != nil:
		return Interval{}, errA
	case errB != nil:
		return Interval{}, errB
	case shareA != shareB:
		return Interval{}, fmt.Errorf("one bound is a share and the other a noise level; write %% behind both or neither")
	}
	v := Interval{Low: a, High: b, Share: shareA}
	return v, v.Check()
}

func bound(text string) (value float64, share bool, err error) {
	text = strings.TrimSpace(text)
	number, share := strings.CutSuffix(text, "%")
	if value, err = strconv.ParseFloat(number, 64); err != nil {
		return 0, share, fmt.Errorf("%q is no number", text)
	}
	if share {
		value /= 100
	}
	return value, share, nil
}

// String is the form that ParseInterval reads.
func (v Interval) String() string {
	if v.Share {
		return percent(v.Low) + "," + percent(v.High)
	}
	return fmt.Sprintf("%g,%g", v.Low, v.High)
}

func percent(v float64) string { return strconv.FormatFloat(v*100, 'g', 15, 64) + "%" }
