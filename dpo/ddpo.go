package dpo

func methodDDPO() Method {
	return method(Method{
		Name: "ddpo", Title: "DDPO",
		Paper:    "Black et al., Training Diffusion Models with Reinforcement Learning, ICLR 2024, arXiv 2305.13301",
		Equation: "max(−A·ρ, −A·clip(ρ)), A = advantage of the path over the prompt's last ones, ρ = density over that when the path was drawn",
		Source:   "github.com/kvablack/ddpo-pytorch",
		Clip:     1e-4,
		Adapters: oneAdapter(), Labels: LabelsHard, Kind: KindPaths,
		Own:  Own{Steps: 50, Guidance: 5, Paths: 4, Inner: 2},
		make: func(s Settings, _ Loss) Objective { return PPO{Clip: s.Clip} },
	})
}
