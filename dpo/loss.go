package dpo

import (
	"fmt"
	"math"
	"strings"
)

// Loss scores one pair by its implicit rewards times beta, chosen and rejected, and the label of [Terms]. It gives the
// value and the derivatives with respect to both rewards.
type Loss func(chosen, rejected, label float64) (value, dChosen, dRejected float64)

// ofMargin is a loss that depends on z = chosen − rejected alone; slope is its derivative with respect to z.
func ofMargin(f func(z, label float64) (value, slope float64)) Loss {
	return func(chosen, rejected, label float64) (value, dChosen, dRejected float64) {
		value, slope := f(chosen-rejected, label)
		return value, slope, -slope
	}
}

// LossInfo describes a loss that can be named: --loss NAME.
type LossInfo struct {
	Name, Formula, Paper string
	Smoothing            bool // takes --label-smoothing
	SoftLabels           bool // looks at Terms.Label
	make                 func(smoothing float64) Loss
}

// defaultSmoothing is the share of swapped labels that losses assume where none is given. TRL's default of 0 turns both
// losses into the sigmoid loss.
const defaultSmoothing = 0.1

// plain is a loss without parameters.
func plain(l Loss) func(float64) Loss { return func(float64) Loss { return l } }

// Losses lists the losses, the default first. In formulas z is beta times the margin, p the label, ε the label smoothing.
func Losses() []LossInfo {
	return []LossInfo{
		{"sigmoid", "−log σ(z)", "Rafailov et al., NeurIPS 2023, arXiv 2305.18290", false, false, plain(LossSigmoid())},
		{"hinge", "max(0, 1−z)", "Zhao et al. (SLiC-HF), arXiv 2305.10425", false, false, plain(LossHinge())},
		{"ipo", "(z−½)²", "Azar et al., AISTATS 2024, arXiv 2310.12036", false, false, plain(LossIPO())},
		{"cdpo", "−(1−ε)·log σ(z) − ε·log σ(−z)", "Mitchell, A note on DPO with noisy preferences, 2023", true, false, LossCDPO},
		{"robust", "(−(1−ε)·log σ(z) + ε·log σ(−z))/(1−2ε)", "Chowdhury et al., ICML 2024, arXiv 2403.00409", true, false, LossRobust},
		{"soft", "−p·log σ(z) − (1−p)·log σ(−z)", "cross-entropy with the label of each pair", false, true, plain(LossSoft())},
	}
}

// lossNames are the names of all losses, the default first.
func lossNames() []string {
	var names []string
	for _, l := range Losses() {
		names = append(names, l.Name)
	}
	return names
}

// FindLoss describes a loss.
func FindLoss(name string) (LossInfo, error) {
	for _, l := range Losses() {
		if l.Name == name {
			return l, nil
		}
	}
	return LossInfo{}, fmt.Errorf("dpo: --loss: there is no loss %q; known are %s", name, strings.Join(lossNames(), ", "))
}

// New makes the loss. smoothing is the probability that a label is swapped, above 0 and below ½; 0 is the default of
// losses that smooth, 0.1, and the only value that others take.
func (l LossInfo) New(smoothing float64) (Loss, error) {
	switch {
	case smoothing != 0 && !l.Smoothing:
		return nil, fmt.Errorf("dpo: --label-smoothing: loss %s does not smooth labels; cdpo and robust do", l.Name)
	case smoothing == 0:
		smoothing = defaultSmoothing
	case !(smoothing > 0 && smoothing < 0.5):
		return nil, fmt.Errorf("dpo: --label-smoothing %g: must be above 0 and below 0.5, the probability that a label is swapped", smoothing)
	}
	return l.make(smoothing), nil
}

// evaluate is the mean loss of implicit rewards times scale, and its derivative. A nil loss is the sigmoid loss.
func evaluate(terms []Terms, grad []Grad, scale float64, loss Loss) float64 {
	if loss == nil {
		loss = LossSigmoid()
	}
	n := float64(len(terms))
	var mean float64
	for i, t := range terms {
		chosen, rejected := t.ImplicitRewards()
		value, dChosen, dRejected := loss(scale*chosen, scale*rejected, t.Label)
		mean += value / n
		grad[i] = Grad{Chosen: -scale * dChosen / n, Rejected: -scale * dRejected / n} // a reward falls as its error grows
	}
	return mean
}

// softplus is log(1+eˣ) without overflow.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func sigmoid(x float64) float64 {
	if x < 0 {
		e := math.Exp(x)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(-x))
}
