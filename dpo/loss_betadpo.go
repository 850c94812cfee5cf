package dpo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// BetaDPO is −log σ(f·z) over a part of the batch, with one factor f for all: Wu et al., "β-DPO: Direct Preference
// Optimization with Dynamic β", NeurIPS 2024 (arXiv 2407.08639). Gaps are margins times beta; their mean M and standard
// deviation S move from batch to batch. Share of the pairs is drawn, without replacement, by weights e^(−½((gap−M)/S)²),
// which leaves outliers out, and f = max(0.01, 1 + A·(mean gap of those − M)): the larger the gaps, the closer to the
// reference. Both are constants to the gradient.
//
// It follows github.com/junkangwu/beta-DPO but for two things. The first batch sets M and S, where the authors start them
// at 0, so that batches of equal gaps have f = 1 from the first one on. And draws depend on the number of the batch alone,
// so that a run can be repeated.
type BetaDPO struct {
	A        float64 // from 0; 0 leaves beta as it is
	Momentum float64 // from 0, below 1
	Share    float64 // of the pairs, above 0, at most 1

	batches, mean, deviation float64
}

// leastFactor is the authors' least beta of 0.001 over their beta of 0.1.
const leastFactor = 0.01

// moved are mean and deviation of gaps after a batch.
func (l *BetaDPO) moved(gaps []float64) (mean, deviation float64) {
	n := float64(len(gaps))
	var now, square float64
	for _, g := range gaps {
		now += g / n
	}
	for _, g := range gaps {
		square += (g - now) * (g - now) / max(n-1, 1)
	}
	if l.batches == 0 {
		return now, math.Sqrt(square)
	}
	return l.Momentum*l.mean + (1-l.Momentum)*now, l.Momentum*l.deviation + (1-l.Momentum)*math.Sqrt(square)
}

// keep draws the pairs that are learnt from, in the order of the batch.
func (l *BetaDPO) keep(gaps []float64, mean, deviation float64) []int {
	// The smallest of exponential waiting times, divided by weights, are a draw by weights without replacement.
	draws := rand.New(rand.NewPCG(0xbe7a, uint64(l.batches)))
	wait := make([]float64, len(gaps))
	for i, g := range gaps {
		if g = (g - mean) / deviation; deviation == 0 {
			g = 0
		}
		wait[i] = math.Log(draws.ExpFloat64()) + g*g/2
	}
	kept := ranked(wait)[:int(math.Ceil(l.Share*float64(len(gaps))))]
	slices.Sort(kept)
	return kept
}

func scaledMargins(scale float64, terms []Terms) []float64 {
	gaps := make([]float64, len(terms))
	for i, t := range terms {
		gaps[i] = scale * t.Margin()
	}
	return gaps
}

// Evaluate implements [Loss].
func (l *BetaDPO) Evaluate(scale float64, terms []Terms, grad []Grad) float64 {
	gaps := scaledMargins(scale, terms)
	mean, deviation := l.moved(gaps)
	kept := l.keep(gaps, mean, deviation)
	clear(grad)
	n := float64(len(kept))
	factor := 1.0
	for _, i := range kept {
		factor += l.A * (gaps[i] - mean) / n
	}
	factor = max(leastFactor, factor)
	var loss float64
	for _, i := range kept {
		z := factor * gaps[i]
		slope := scale * factor * sigmoid(-z) / n
		loss += softplus(-z) / n
		grad[i] = Grad{Chosen: slope, Rejected: -slope}
	}
	return loss
}

// Observe implements [Stateful].
func (l *BetaDPO) Observe(scale float64, terms []Terms) {
	l.mean, l.deviation = l.moved(scaledMargins(scale, terms))
	l.batches++
}

// State implements [Stateful]: the number of batches, mean and standard deviation of their gaps.
func (l *BetaDPO) State() []float64 { return []float64{l.batches, l.mean, l.deviation} }

// Restore implements [Stateful].
func (l *BetaDPO) Restore(state []float64) error {
	if len(state) != 3 || !(state[0] >= 0) || !(state[2] >= 0) || math.IsNaN(state[1]) {
		return fmt.Errorf("dpo: %v is no state of beta-dpo, which is a count, a mean and a standard deviation; the checkpoint is of another loss or damaged", state)
	}
	l.batches, l.mean, l.deviation = state[0], state[1], state[2]
	return nil
}

func infoBetaDPO() LossInfo {
	return LossInfo{
		Name: "beta-dpo", Formula: "−log σ(f·z) of a share of the batch, f = max(0.01, 1 + a·(mean z of those − moving mean of z)) held constant", Paper: "Wu et al., NeurIPS 2024, arXiv 2407.08639",
		Batch: true,
		Options: []LossOption{
			{Name: "a", What: "how far beta follows the gaps", Default: 0.6, Low: 0, High: 1000},
			{Name: "momentum", What: "of the moving mean", Default: 0.9, Low: 0, High: 0.9999},
			{Name: "share", What: "of a batch that is learnt from", Default: 0.8, Low: 0.01, High: 1},
		},
		make: func(s lossSettings) Loss {
			return &BetaDPO{A: s.option["a"], Momentum: s.option["momentum"], Share: s.option["share"]}
		},
	}
}
