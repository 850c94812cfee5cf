package dpo

// SFT is supervised fine-tuning on the chosen pictures: the mean of PolicyChosen, which is the denoising loss of Ho et
// al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020 (arXiv 2006.11239), equation 14. It has no beta and looks
// at neither the reference nor the rejected picture. It is the baseline of preference methods, and the start of some.
type SFT struct{}

// Evaluate implements Objective.
func (SFT) Evaluate(terms []Terms, grad []Grad) float64 {
	n := float64(len(terms))
	var mean float64
	for i, t := range terms {
		mean += t.PolicyChosen / n
		grad[i] = Grad{Chosen: 1 / n}
	}
	return mean
}

func methodSFT() Method {
	return method(Method{
		Name: "sft", Title: "Supervised fine-tuning on the chosen pictures",
		Paper:    "Ho et al., Denoising Diffusion Probabilistic Models, NeurIPS 2020, arXiv 2006.11239",
		Equation: "policy error of chosen, equation 14",
		Source:   "github.com/huggingface/diffusers, examples/text_to_image",
		Adapters: oneAdapter(), Labels: LabelsHard, Kind: KindPairs, Draws: 1,
		make: func(Settings, Loss) Objective { return SFT{} },
	})
}
