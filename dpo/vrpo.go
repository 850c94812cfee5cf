package dpo

import "fmt"

// VRPO averages the errors of several draws of timestep and noise before an objective sees them: variance-reduced
// preference optimisation, Zhu et al., "LLaDA 1.5", 2025 (arXiv 2505.19223), for denoising errors in place of
// masked language models. −log σ of a noisy margin is biased by about ½·σ(z)·σ(−z)·Var(z), and the variance falls as 1/n.
//
// Terms come with the draws of a pair side by side: len(terms) is Draws times the number of pairs. Draws of a pair differ
// in their timestep (see [StratifiedTimesteps]) and noise, and policy and reference share both in each. Every draw's
// derivative is 1/n of that of the mean. It depends on the other draws only through numbers, so a trainer may measure all draws
// without gradient first and then go backwards draw by draw: the same gradient in the memory of one draw.
type VRPO struct {
	Objective Objective
	Draws     int // per pair, from 1
}

// Evaluate implements Objective. It panics where len(terms) is no multiple of Draws.
func (o VRPO) Evaluate(terms []Terms, grad []Grad) float64 {
	means := MeanTerms(terms, o.Draws)
	shares := make([]Grad, len(means))
	loss := o.Objective.Evaluate(means, shares)
	n := float64(o.Draws)
	for i := range terms {
		share := shares[i/o.Draws]
		grad[i] = Grad{
			Chosen: share.Chosen / n, Rejected: share.Rejected / n,
			DriftChosen: share.DriftChosen / n, DriftRejected: share.DriftRejected / n,
		}
	}
	return loss
}

// MeanTerms averages every run of so many draws to the terms of one pair. It panics where they do not come out even.
func MeanTerms(terms []Terms, draws int) []Terms {
	if draws < 1 || len(terms)%draws != 0 {
		panic(fmt.Sprintf("dpo: %d terms are not pairs of %d draws each", len(terms), draws))
	}
	n := float64(draws)
	means := make([]Terms, len(terms)/draws)
	for i, t := range terms {
		m := &means[i/draws]
		m.PolicyChosen += t.PolicyChosen / n
		m.PolicyRejected += t.PolicyRejected / n
		m.RefChosen += t.RefChosen / n
		m.RefRejected += t.RefRejected / n
		m.Label += t.Label / n
		m.DriftChosen += t.DriftChosen / n
		m.DriftRejected += t.DriftRejected / n
		m.Dot += t.Dot / n
		m.ScoreChosen += t.ScoreChosen / n
		m.ScoreRejected += t.ScoreRejected / n
		m.Advantage += t.Advantage / n
		m.Mismatched += t.Mismatched / n
		m.Group = t.Group
	}
	return means
}

// StratifiedTimesteps draws one timestep in each of len(dst) equal parts of 0…total−1, in order. uniform gives numbers
// from [0,1), one for each. A timestep picked from dst at random is uniform over all of them; together they spread more
// evenly than independent draws.
func StratifiedTimesteps(dst []int, total int, uniform func() float64) {
	width := float64(total) / float64(len(dst))
	for k := range dst {
		dst[k] = min(int((float64(k)+uniform())*width), total-1) // rounding may reach total
	}
}

func methodVRPO() Method {
	m := methodDPO()
	m.Name, m.Title = "vrpo", "Diffusion-DPO over several draws of timestep and noise (VRPO)"
	m.Paper = "Zhu et al., LLaDA 1.5: Variance-Reduced Preference Optimization for Large Language Diffusion Models, 2025, arXiv 2505.19223"
	m.Equation = "−log σ(½·β·(mean over draws of the margin of dpo))"
	m.Source = "none published"
	m.Draws = 8 // the paper's n
	return method(m)
}
