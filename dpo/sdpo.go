package dpo

// SDPO is Diffusion-SDPO, "safeguarded": it wraps an objective and takes weight off the rejected picture where its
// gradient works against the chosen one, so that the chosen picture's error does not rise to first order. Fu et al.,
// "Diffusion-SDPO: Safeguarded Direct Preference Optimization for Diffusion Models", 2025 (arXiv 2511.03317). The
// derivative with respect to PolicyRejected is multiplied by λ = clip((1−Mu)·‖g_w‖²/⟨g_w, g_l⟩, 0, 1), 1 where the product
// is not above 0; g are the gradients of both errors in the network's output. Their norm is PolicyChosen and their product
// Dot, up to a common factor. The loss is the objective's, and λ is a constant to the gradient.
type SDPO struct {
	Objective Objective
	// Mu is the share of the chosen picture's descent that is kept: 0.9 for SD1.5 and 0.6 for SDXL in the authors' code.
	Mu float64
}

// Evaluate implements Objective. It needs Terms.Dot.
func (o SDPO) Evaluate(terms []Terms, grad []Grad) float64 {
	loss := o.Objective.Evaluate(terms, grad)
	for i, t := range terms {
		grad[i].Rejected *= safeguard(t, o.Mu)
	}
	return loss
}

// safeguard is λ.
func safeguard(t Terms, mu float64) float64 {
	if t.Dot <= 0 {
		return 1
	}
	return max(0, min(1, (1-mu)*t.PolicyChosen/t.Dot))
}

func methodSDPO() Method {
	m := methodDPO()
	m.Name, m.Title = "sdpo", "Diffusion-DPO that holds the chosen pictures (SDPO)"
	m.Paper = "Fu et al., Diffusion-SDPO: Safeguarded Direct Preference Optimization for Diffusion Models, 2025, arXiv 2511.03317"
	m.Equation = "that of dpo; the derivative of rejected times min(1, (1−μ)·policy error of chosen / product of both errors)"
	m.Source = "github.com/AIDC-AI/Diffusion-SDPO"
	m.SDPO = 0.9 // SD1.5; the paper has 0.6 for SDXL
	return method(m)
}
