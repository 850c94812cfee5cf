package dpo

// NCP is the objective of Gambashidze et al., "Aligning Diffusion Models with Noise-Conditioned Perception", 2024
// (arXiv 2406.17636): Diffusion-DPO on perceptual errors, −log σ(β·margin). An error is the mean squared difference
// of what the middle of the frozen U-Net says to two latents: those one step of DDPM behind the noisy ones by the
// network's output, and those by its target, with the same noise. Trainers measure so for methods with
// Method.Features.
//
// By the identity in place of the network that is κ²·‖output − target‖², with κ the factor of the output in the step:
// steps are small, so errors are far below those of [DiffusionDPO].
type NCP struct {
	// Beta multiplies a margin of mean squared errors of features, without a half: the authors' --beta_dpo.
	Beta float64
	Loss Loss // of the implicit rewards times β; nil: [LossSigmoid]. [LossCPO] with [WithSFT] is the paper's CPO
}

// Evaluate implements Objective.
func (o NCP) Evaluate(terms []Terms, grad []Grad) float64 {
	return evaluate(terms, grad, o.Beta, o.Loss)
}

const (
	ncpPaper  = "Gambashidze et al., Aligning Diffusion Models with Noise-Conditioned Perception, 2024, arXiv 2406.17636"
	ncpSource = "github.com/sakharok13/Aligning-Stable-Diffusion-with-Noise-Conditioned-Perception"
)

func methodNCP() Method {
	return method(Method{
		Name: "ncp", Title: "NCP-DPO, on features of the frozen U-Net", Paper: ncpPaper, Source: ncpSource,
		Equation: "−log σ(β·((ref - policy error of chosen) - (ref - policy error of rejected))), errors of the mid block's features one DDPM step further",
		BetaUnit: "multiplies the margin of mean squared errors of features, without a half",
		Beta:     2500,
		Losses:   lossNames(), Adapters: oneAdapter(), Reference: true, Rejected: true, Features: true, Labels: LabelsHard, Kind: KindPairs, Draws: 1,
		make: func(s Settings, loss Loss) Objective { return NCP{Beta: s.Beta, Loss: loss} },
	})
}

func methodNCPSFT() Method {
	return method(Method{
		Name: "ncp-sft", Title: "Supervised fine-tuning on features of the frozen U-Net (NCP-SFT)", Paper: ncpPaper, Source: ncpSource,
		Equation: "policy error of chosen, of the mid block's features one DDPM step further",
		Adapters: oneAdapter(), Features: true, Labels: LabelsHard, Kind: KindPairs, Draws: 1,
		make: func(Settings, Loss) Objective { return SFT{} },
	})
}
