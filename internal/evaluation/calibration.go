package evaluation

import (
	"hash/fnv"
	"math"

	"winnow/rewards/metric"
)

// Calibration is what a scorer's margins are worth as probabilities: P(first preferred) = σ(margin/τ).
type Calibration struct {
	Temperature Number `json:"temperature"` // τ of all decided pairs
	// ECE, Brier and LogLoss are of pairs that τ was not fitted on: prompts are cut in two halves by a hash, and each is judged with
	// the τ of the other.
	ECE     Number        `json:"ece"` // 15 bins of equal mass, over the confidence
	Brier   Number        `json:"brier"`
	LogLoss Number        `json:"log_loss"`
	Pairs   int           `json:"pairs"`
	Curve   []Reliability `json:"curve"`
}

// Reliability is one bin of confidence, ½ to 1.
type Reliability struct {
	Confidence Number `json:"confidence"` // mean
	Right      Number `json:"right"`      // share
	Pairs      int    `json:"pairs"`
}

// enoughPairs is from where on calibration means anything.
const enoughPairs = 50

// bins of confidence in the ECE, and in the curve, which is read by eye.
const (
	eceBins   = 15
	curveBins = 8
)

func (c *Scorer) calibrate() *Calibration {
	all, _ := c.set.choices()
	var margins, labels [2][]float64
	for _, x := range all {
		if m := c.margin(x); x.decided() && !math.IsNaN(m) {
			half := halfOf(c.set.Prompt(int(x.record)))
			margins[half], labels[half] = append(margins[half], m), append(labels[half], x.human)
		}
	}
	r := &Calibration{Pairs: len(margins[0]) + len(margins[1])}
	if min(len(margins[0]), len(margins[1])) < enoughPairs/2 {
		return nil
	}
	r.Temperature = Number(metric.FitTemperature(append(append([]float64{}, margins[0]...), margins[1]...), append(append([]float64{}, labels[0]...), labels[1]...)))
	var first, human, confidence, right []float64
	loss := 0.0
	for half := range 2 {
		tau := metric.FitTemperature(margins[1-half], labels[1-half])
		for i, m := range margins[half] {
			p := 1 / (1 + math.Exp(-m/tau))
			first, human = append(first, p), append(human, labels[half][i])
			// Rounded, so that margins that are alike but for their last digits stay ties, whatever bin they fall into.
			confidence = append(confidence, math.Round(1e9/(1+math.Exp(-math.Abs(m)/tau)))/1e9)
			hit := 0.5
			if m != 0 {
				hit = 1 - math.Abs(math.Round(p)-labels[half][i])
			}
			right = append(right, hit)
			loss -= math.Log(max(math.Abs(1-labels[half][i]-p), 1e-15)) / float64(r.Pairs)
		}
	}
	r.ECE, r.Brier = Number(metric.ECEMass(confidence, right, eceBins)), Number(metric.Brier(first, human))
	r.LogLoss, r.Curve = Number(loss), curveOf(confidence, right)
	return r
}

// halfOf cuts prompts in two halves.
func halfOf(prompt string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(prompt))
	sum := h.Sum32()
	return int((sum ^ sum>>16) & 1)
}

func curveOf(confidence, right []float64) []Reliability {
	out := make([]Reliability, curveBins)
	for i, p := range confidence {
		b := &out[min(int((p-0.5)*2*curveBins), curveBins-1)]
		b.Confidence += Number(p)
		b.Right += Number(right[i])
		b.Pairs++
	}
	kept := out[:0]
	for _, b := range out {
		if b.Pairs > 0 {
			b.Confidence /= Number(b.Pairs)
			b.Right /= Number(b.Pairs)
			kept = append(kept, b)
		}
	}
	return kept
}
