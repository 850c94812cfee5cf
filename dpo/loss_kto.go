package dpo

// KTO is what Ethayarajh et al., "KTO: Model Alignment as Prospect Theoretic Optimization", ICML 2024 (arXiv 2402.01306),
// make of pictures that are each desirable or not: weight·σ(−(r−q)) for desirable ones and weight·σ(r−q) for the others,
// where r is the implicit reward times beta and q, a constant to the gradient, what rewards are measured against. As a
// [Loss] it takes chosen pictures for desirable and rejected ones for undesirable, and is the mean over pictures.
// [DiffusionKTO] has pictures without pairs.
type KTO struct {
	Desirable, Undesirable float64 // weights
	Against                KTOAgainst
}

// KTOAgainst says what rewards are measured against.
type KTOAgainst int

const (
	// AgainstBatch is the mean reward of the batch, at least 0: the code of Diffusion-KTO.
	AgainstBatch KTOAgainst = iota
	// AgainstOthers is the mean of Terms.Mismatched, at least 0: the papers' estimate of the divergence, from pictures
	// under prompts of other pictures.
	AgainstOthers
	// AgainstClasses is the mean of the mean reward of desirable and that of undesirable pictures, of either sign: the
	// option "sigmoid" of Diffusion-KTO's code, after BCO.
	AgainstClasses
)

// Evaluate implements [Loss].
func (l KTO) Evaluate(scale float64, terms []Terms, grad []Grad) float64 {
	n := 2 * float64(len(terms))
	good, bad := make([]float64, len(terms)), make([]float64, len(terms))
	for i, t := range terms {
		a, b := t.ImplicitRewards()
		good[i], bad[i] = scale*a, scale*b
	}
	q := l.against(scale, terms, good, bad)
	var mean float64
	for i := range terms {
		up, dUp := l.picture(good[i], q, true)
		down, dDown := l.picture(bad[i], q, false)
		mean += (up + down) / n
		grad[i] = Grad{Chosen: -scale * dUp / n, Rejected: -scale * dDown / n}
	}
	return mean
}

// picture is the loss of one picture and its derivative with respect to the reward.
func (l KTO) picture(reward, against float64, desirable bool) (value, slope float64) {
	z := reward - against
	if slope = sigmoid(z) * sigmoid(-z); desirable {
		return l.Desirable * sigmoid(-z), -l.Desirable * slope
	}
	return l.Undesirable * sigmoid(z), l.Undesirable * slope
}

func (l KTO) against(scale float64, terms []Terms, good, bad []float64) float64 {
	switch l.Against {
	case AgainstOthers:
		others := make([]float64, len(terms))
		for i, t := range terms {
			others[i] = scale * t.Mismatched
		}
		return max(0, meanOf(others))
	case AgainstClasses:
		switch {
		case len(good) == 0:
			return meanOf(bad)
		case len(bad) == 0:
			return meanOf(good)
		}
		return (meanOf(good) + meanOf(bad)) / 2
	}
	n := float64(len(good) + len(bad))
	return max(0, meanOf(good)*float64(len(good))/n+meanOf(bad)*float64(len(bad))/n)
}

// meanOf is 0 of nothing.
func meanOf(v []float64) float64 {
	var mean float64
	for _, x := range v {
		mean += x / float64(len(v))
	}
	return mean
}

// DiffusionKTO is [KTO] of pictures that were never compared: Li et al., "Aligning Diffusion Models by Optimizing Human
// Utility", NeurIPS 2024 (arXiv 2404.04465), with U = σ. Each of the terms is one picture, in PolicyChosen and RefChosen;
// it is desirable where its Label is above ½. Timesteps and noise are drawn for each picture. The authors draw desirable
// pictures with a probability of 0.8.
type DiffusionKTO struct {
	// Beta multiplies an implicit reward, without the half of [DiffusionDPO]: 1000 in the authors' code, 5000 in the paper.
	Beta float64
	KTO
}

// Evaluate implements Objective.
func (o DiffusionKTO) Evaluate(terms []Terms, grad []Grad) float64 {
	n := float64(len(terms))
	var good, bad []float64
	for _, t := range terms {
		reward := o.Beta * (t.RefChosen - t.PolicyChosen)
		if t.Label > 0.5 {
			good = append(good, reward)
		} else {
			bad = append(bad, reward)
		}
	}
	q := o.against(o.Beta, terms, good, bad)
	var mean float64
	for i, t := range terms {
		value, slope := o.picture(o.Beta*(t.RefChosen-t.PolicyChosen), q, t.Label > 0.5)
		mean += value / n
		grad[i] = Grad{Chosen: -o.Beta * slope / n}
	}
	return mean
}

func infoKTO() LossInfo {
	return LossInfo{
		Name: "kto", Formula: "mean of w·σ(q−a) and w'·σ(b−q), q = max(0, mean reward of the batch) held constant", Paper: "Ethayarajh et al., ICML 2024, arXiv 2402.01306; Li et al., NeurIPS 2024, arXiv 2404.04465",
		Batch: true,
		Options: []LossOption{
			{Name: "desirable", What: "weight w of chosen pictures", Default: 1, Low: 0, High: 1000},
			{Name: "undesirable", What: "weight w' of rejected pictures", Default: 1, Low: 0, High: 1000},
		},
		make: func(s lossSettings) Loss {
			return KTO{Desirable: s.option["desirable"], Undesirable: s.option["undesirable"]}
		},
	}
}
