package dpo

// LossCPO is −log σ(z) of the policy's errors alone, contrastive preference optimisation: Xu et al., ICML 2024 (arXiv
// 2401.08417). The paper adds the supervised term of [WithSFT] with a weight of 1.
func LossCPO() Loss { return alone{LossSigmoid()} }

func infoCPO() LossInfo {
	return LossInfo{
		Name: "cpo", Formula: "−log σ(z) + weight·error of chosen", Paper: "Xu et al., ICML 2024, arXiv 2401.08417",
		NoReference: true, Scale: likelihoodScale, SFTWeight: 1, make: plain(LossCPO()),
	}
}
