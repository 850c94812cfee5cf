package dpo

// methodKTO learns from pictures that are desirable or not: the chosen and the rejected ones of pairs, and those that were labelled by
// themselves, of which a trainer gives it one of each sort as if they were a pair.
func methodKTO() Method {
	return method(Method{
		Name: "kto", Title: "Diffusion-KTO",
		Paper:    "Li et al., Aligning Diffusion Models by Optimizing Human Utility, NeurIPS 2024, arXiv 2404.04465",
		Equation: "mean over pictures of 1 − σ(±β·((ref - policy error) − q)), q = max(0, mean of the batch), + for chosen",
		Source:   "github.com/jacklishufan/diffusion-kto",
		BetaUnit: "multiplies the difference of mean squared errors, without a half", Beta: 1000, // the code; the paper has 5000
		Losses:   []string{"kto"},
		Adapters: oneAdapter(), Reference: true, Rejected: true, Independent: true, Labels: LabelsHard, Kind: KindPairs, Draws: 1,
		make: func(s Settings, loss Loss) Objective { return Implicit{Beta: s.Beta, Loss: loss} },
	})
}

// Implicit is a loss of implicit rewards times Beta, without the half of [DiffusionDPO].
type Implicit struct {
	Beta float64
	Loss Loss
}

// Evaluate implements Objective.
func (o Implicit) Evaluate(terms []Terms, grad []Grad) float64 {
	return evaluate(terms, grad, o.Beta, o.Loss)
}
