package dpo

func methodFlowGRPO() Method {
	return method(Method{
		Name: "flow-grpo", Title: "Flow-GRPO",
		Paper:    "Liu et al., Flow-GRPO: Training Flow Matching Models via Online RL, NeurIPS 2025, arXiv 2505.05470",
		Equation: "max(−A·ρ, −A·clip(ρ)) + KL weight·KL(policy, ref), A = advantage of the path over its prompt's group, ρ = density over that when the path was drawn",
		Source:   "github.com/yifan123/flow_grpo; its divergence leaves out the length of a step, ours has it",
		Clip:     1e-4,
		Adapters: oneAdapter(), Labels: LabelsHard, Kind: KindPaths,
		Own:  Own{Steps: 10, Guidance: 4.5, Paths: 8, Inner: 1, Group: true, KL: true},
		make: func(s Settings, _ Loss) Objective { return PPO{Clip: s.Clip, KL: s.KL} },
	})
}
