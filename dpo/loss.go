package dpo

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Loss scores the pairs of a batch by their implicit rewards times scale. It gives the mean loss and, as [Objective] does,
// the derivatives with respect to the policy's errors in grad, which it overwrites. It changes nothing else; what it keeps
// between batches it changes in [Stateful.Observe] alone.
type Loss interface {
	Evaluate(scale float64, terms []Terms, grad []Grad) (loss float64)
}

// PairLoss is a [Loss] that scores pair by pair. It takes the implicit rewards times scale, and the terms for what else it
// looks at, and gives the value and the derivatives with respect to both rewards.
type PairLoss func(chosen, rejected float64, t Terms) (value, dChosen, dRejected float64)

// Evaluate implements [Loss].
func (l PairLoss) Evaluate(scale float64, terms []Terms, grad []Grad) float64 {
	n := float64(len(terms))
	var mean float64
	for i, t := range terms {
		chosen, rejected := t.ImplicitRewards()
		value, dChosen, dRejected := l(scale*chosen, scale*rejected, t)
		mean += value / n
		grad[i] = Grad{Chosen: -scale * dChosen / n, Rejected: -scale * dRejected / n} // a reward falls as its error grows
	}
	return mean
}

// alone is a loss that looks at the policy's errors alone: what it takes for implicit rewards is minus them, log-likelihoods
// up to a constant.
type alone struct{ Loss }

// Evaluate implements [Loss].
func (l alone) Evaluate(scale float64, terms []Terms, grad []Grad) float64 {
	free := slices.Clone(terms)
	for i := range free {
		free[i].RefChosen, free[i].RefRejected = 0, 0
	}
	return l.Loss.Evaluate(scale, free, grad)
}

// ofMargin is a loss that depends on z = chosen − rejected alone; slope is its derivative with respect to z.
func ofMargin(f func(z, label float64) (value, slope float64)) PairLoss {
	return func(chosen, rejected float64, t Terms) (value, dChosen, dRejected float64) {
		value, slope := f(chosen-rejected, t.Label)
		return value, slope, -slope
	}
}

// LossInfo describes a loss that can be named: --loss NAME.
type LossInfo struct {
	Name, Formula, Paper string
	Warning              string // what speaks against it; "" for most

	Smoothing   bool // takes --label-smoothing
	SoftLabels  bool // looks at Terms.Label
	Scores      bool // needs Terms.ScoreChosen and ScoreRejected: see [CheckScores]
	Groups      bool // looks at Terms.Group
	Batch       bool // the loss of a pair depends on the others of its batch
	NoReference bool // looks at the policy's errors alone; a trainer need not measure the reference

	DefaultSmoothing float64 // of --label-smoothing
	// Scale is what errors are multiplied by where --beta-dpo is not given; 0: what the method says.
	Scale float64
	// SFTWeight is the default of --sft-weight; 0: none.
	SFTWeight float64
	Options   []LossOption

	make func(lossSettings) Loss
}

// LossOption is a number that a loss takes: --loss-option NAME=VALUE.
type LossOption struct {
	Name, What         string
	Default, Low, High float64 // the range includes both ends
}

// lossSettings are the parameters of a loss, complete and valid.
type lossSettings struct {
	smoothing float64
	option    map[string]float64
}

// defaultSmoothing is the share of swapped labels that losses which live by it assume where none is given. TRL's default
// of 0 turns cdpo and robust into the sigmoid loss.
const defaultSmoothing = 0.1

// plain is a loss without parameters.
func plain(l Loss) func(lossSettings) Loss { return func(lossSettings) Loss { return l } }

// Losses lists the losses, the default first. In formulas a and b are beta times the implicit rewards of the chosen and the
// rejected picture, z is a−b, p the label, ε the label smoothing.
func Losses() []LossInfo {
	return []LossInfo{
		infoSigmoid(), infoHinge(), infoIPO(), infoCDPO(), infoRobust(), infoSoft(), infoEXO(),
		infoForwardKL(), infoJS(), infoAlpha(),
		infoNCA(), infoBCO(), infoSPPO(), infoSPPOSoft(), infoAPOZero(), infoAPODown(),
		infoSimPO(), infoCPO(), infoORPO(), infoASFT(),
		infoKTO(), infoAOT(), infoAOTUnpaired(), infoDrDPO(), infoWPO(), infoBetaDPO(),
		infoOmniDPO(), infoMaPPO(), infoRewardRPO(), infoRewardRPOSquared(), infoListwise(), infoMPOSet(),
		infoDiscoPOP(),
	}
}

// namesOf are the names of the losses that are so, in the order of [Losses].
func namesOf(are func(LossInfo) bool) []string {
	var names []string
	for _, l := range Losses() {
		if are(l) {
			names = append(names, l.Name)
		}
	}
	return names
}

// lossNames are the names of all losses, the default first.
func lossNames() []string { return namesOf(func(LossInfo) bool { return true }) }

// stepLosses are the names of those for steps of a sampler: nobody keeps their scores, and densities of steps without a
// reference say more about the noise that was drawn than about the policy.
func stepLosses() []string {
	return namesOf(func(l LossInfo) bool { return !l.Scores && !l.NoReference })
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
// losses that smooth, and the only value that others take. options are by the names of Options; what is missing there
// has its default.
func (l LossInfo) New(smoothing float64, options map[string]float64) (Loss, error) {
	switch {
	case smoothing != 0 && !l.Smoothing:
		return nil, fmt.Errorf("dpo: --label-smoothing: loss %s does not smooth labels; %s do", l.Name, strings.Join(namesOf(func(l LossInfo) bool { return l.Smoothing }), ", "))
	case smoothing == 0:
		smoothing = l.DefaultSmoothing
	case !(smoothing > 0 && smoothing < 0.5):
		return nil, fmt.Errorf("dpo: --label-smoothing %g: must be above 0 and below 0.5, the probability that a label is swapped", smoothing)
	}
	complete := map[string]float64{}
	for _, o := range l.Options {
		complete[o.Name] = o.Default
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if err := l.checkOption(name, options[name]); err != nil {
			return nil, err
		}
		complete[name] = options[name]
	}
	return l.make(lossSettings{smoothing, complete}), nil
}

func (l LossInfo) checkOption(name string, v float64) error {
	var names []string
	for _, o := range l.Options {
		if o.Name == name {
			if !(v >= o.Low && v <= o.High) {
				return fmt.Errorf("dpo: --loss-option %s=%g: must be from %g to %g; the default of loss %s is %g", name, v, o.Low, o.High, l.Name, o.Default)
			}
			return nil
		}
		names = append(names, o.Name)
	}
	if names == nil {
		return fmt.Errorf("dpo: --loss-option %s: loss %s has no options; leave the flag out", name, l.Name)
	}
	return fmt.Errorf("dpo: --loss-option %s: loss %s has no such option; it has %s", name, l.Name, strings.Join(names, ", "))
}

// ParseLossOptions reads settings of the form NAME=VALUE.
func ParseLossOptions(settings []string) (map[string]float64, error) {
	var out map[string]float64
	for _, s := range settings {
		name, value, ok := strings.Cut(s, "=")
		v, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("dpo: --loss-option %s: want NAME=NUMBER, as in gamma=1", s)
		}
		if out == nil {
			out = map[string]float64{}
		}
		out[name] = v
	}
	return out, nil
}

// CheckScores refuses terms without scores for losses that need them.
func (l LossInfo) CheckScores(terms []Terms) error {
	for i, t := range terms {
		if l.Scores && (math.IsNaN(t.ScoreChosen) || math.IsNaN(t.ScoreRejected)) {
			return fmt.Errorf("dpo: --loss %s: pair %d has no scores, and this loss learns from them; label the pairs by a reward (winnow label --reward), or take a loss without scores, such as sigmoid", l.Name, i+1)
		}
	}
	return nil
}

// evaluate is the mean loss of implicit rewards times scale, and its derivative. A nil loss is the sigmoid loss.
func evaluate(terms []Terms, grad []Grad, scale float64, loss Loss) float64 {
	if loss == nil {
		loss = LossSigmoid()
	}
	return loss.Evaluate(scale, terms, grad)
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
