package dpo

func methodRethinking() Method {
	m := methodDPO()
	m.Name, m.Title = "rethinking", "Diffusion-DPO with a reference that moves and noisy levels first"
	m.Paper = "Kang et al., Rethinking Direct Preference Optimization in Diffusion Models, AAAI 2026, arXiv 2505.18736"
	m.Equation = "that of dpo times λ(t) = 1 to 2 by noise; levels drawn from the noisiest on; the policy becomes the reference while it drifts little"
	m.Source = "none found; the paper"
	m.Levels, m.Weighting = "geometric", "inverse-snr"
	m.Refresh, m.DriftBound = 16, 0.005 // SD1.5; the paper has 0.002 for SDXL, and 16, 32 or 64 updates
	return method(m)
}
