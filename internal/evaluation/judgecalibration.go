package evaluation

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"math"

	"winnow/rewards/metric"
	"winnow/vlmjudge"
)

// Methods of calibration of a judge.
const (
	Temperature = "temperature" // σ(logit(P)/T) of both orders together
	Platt       = "platt"       // σ(a·logit(P) + b) of every single answer, b for a preference for a place
)

// JudgeCalibration is a fit of a judge's probabilities to people's choices, with figures of pairs that it was not fitted on.
type JudgeCalibration struct {
	Method string         `json:"method"`
	Scale  float64        `json:"scale"`
	Shift  float64        `json:"shift"`
	Pairs  int            `json:"pairs"`
	Folds  int            `json:"folds"`
	Before JudgeFigures   `json:"before"`
	After  JudgeFigures   `json:"after"` // of Method, by cross-validation
	Tried  []JudgeFigures `json:"tried"` // of every method, by cross-validation
}

// JudgeFigures are how good probabilities are. Both orders of a pair are combined by the mean of their log-odds.
type JudgeFigures struct {
	Method  string  `json:"method"`
	ECE     float64 `json:"ece"` // 15 bins of equal mass, over the confidence
	Brier   float64 `json:"brier"`
	LogLoss float64 `json:"log_loss"`
	Correct float64 `json:"correct"` // share, ½ for a tie
}

// judgedPair is a pair with log-odds of what is shown first, in both orders, and the human choice of the first picture, 0 or 1.
type judgedPair struct {
	fold           int
	aFirst, bFirst float64
	label          float64
}

// calibrationFolds are parts of prompts; each is judged by what was fitted on the others.
const calibrationFolds = 5

// CalibrateJudge fits the answers of a judge to the decided pairs. method is Temperature, Platt, or "" for the one with the smaller
// cross-validated log loss.
func (c *Scorer) CalibrateJudge(method string) (*JudgeCalibration, error) {
	if method != "" && method != Temperature && method != Platt {
		return nil, fmt.Errorf("no method of calibration is called %q; there are %s and %s", method, Temperature, Platt)
	}
	pairs := c.judgedPairs()
	if len(pairs) < enoughPairs {
		return nil, fmt.Errorf("%d decided pairs with answers; a calibration needs %d at least", len(pairs), enoughPairs)
	}
	r := &JudgeCalibration{Pairs: len(pairs), Folds: calibrationFolds, Before: judgeFigures("none", pairs, func(judgedPair) float64 { return 1 })}
	for _, name := range []string{Temperature, Platt} {
		var scale [calibrationFolds]float64
		for k := range scale {
			var others []judgedPair
			for _, p := range pairs {
				if p.fold != k {
					others = append(others, p)
				}
			}
			if len(others) == 0 {
				return nil, errors.New("the pairs are of too few prompts to calibrate by some and check by others")
			}
			scale[k], _ = fitJudge(name, others)
		}
		r.Tried = append(r.Tried, judgeFigures(name, pairs, func(p judgedPair) float64 { return scale[p.fold] }))
	}
	r.After = r.Tried[0]
	for _, f := range r.Tried[1:] {
		if f.Method == method || method == "" && f.LogLoss < r.After.LogLoss {
			r.After = f
		}
	}
	r.Method = cmp.Or(method, r.After.Method)
	r.Scale, r.Shift = fitJudge(r.Method, pairs)
	return r, nil
}

func (c *Scorer) judgedPairs() (pairs []judgedPair) {
	for i := range c.set.entries {
		e := &c.set.entries[i]
		for _, v := range c.verdicts[i] {
			label := e.prefers(v.first, v.second)
			if (label != 0 && label != 1) || math.IsNaN(v.shownFirst) || math.IsNaN(v.shownSecond) {
				continue
			}
			pairs = append(pairs, judgedPair{foldOf(c.set.prompts.list[e.prompt]), vlmjudge.Logit(v.shownFirst), vlmjudge.Logit(1 - v.shownSecond), label})
		}
	}
	return pairs
}

// foldOf cuts prompts into folds.
func foldOf(prompt string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(prompt))
	sum := h.Sum32()
	return int((sum ^ sum>>16) % calibrationFolds)
}

// both is the log-odds of the first picture by both orders.
func (p judgedPair) both() float64 { return (p.aFirst - p.bFirst) / 2 }

func fitJudge(method string, pairs []judgedPair) (scale, shift float64) {
	var x, y []float64
	if method == Platt {
		for _, p := range pairs {
			x, y = append(x, p.aFirst, p.bFirst), append(y, p.label, 1-p.label)
		}
		return metric.FitPlatt(x, y)
	}
	for _, p := range pairs {
		x, y = append(x, p.both()), append(y, p.label)
	}
	return 1 / metric.FitTemperature(x, y), 0
}

// judgeFigures are those of log-odds times a scale: a shift of single answers cancels between the orders.
func judgeFigures(method string, pairs []judgedPair, scale func(judgedPair) float64) JudgeFigures {
	f := JudgeFigures{Method: method}
	var probability, label, confidence, right []float64
	n := float64(len(pairs))
	for _, p := range pairs {
		odds := scale(p) * p.both()
		q := 1 / (1 + math.Exp(-odds))
		probability, label = append(probability, q), append(label, p.label)
		// Rounded, so that odds that are alike but for their last digits stay ties, whatever bin they fall into.
		confidence = append(confidence, math.Round(1e9/(1+math.Exp(-math.Abs(odds))))/1e9)
		hit := 0.5
		if p.both() != 0 {
			hit = 1 - math.Abs(math.Round(q)-p.label)
		}
		right = append(right, hit)
		f.Correct += hit / n
		f.LogLoss -= math.Log(max(math.Abs(1-p.label-q), 1e-15)) / n
	}
	f.ECE, f.Brier = metric.ECEMass(confidence, right, eceBins), metric.Brier(probability, label)
	return f
}
