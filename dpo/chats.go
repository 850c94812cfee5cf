package dpo

// CHATS is the objective of Fu et al., "CHATS: Combining Human-Aligned Optimization and Test-Time Sampling for
// Text-to-Image Generation", ICML 2025 (arXiv 2502.12579): −log σ(β·(chosen + rejected implicit reward)).
//
// The sum is no slip. Two networks learn: the first fits the chosen pictures, the second the rejected ones, both better
// than the reference, and only the sampler steers away from the second. PolicyChosen is measured with the first network,
// PolicyRejected with the second, which sees no prompt in half of the batches, the reference's rejected side with it.
type CHATS struct {
	// Beta multiplies a sum of differences of mean squared errors, without the half of [DiffusionDPO].
	Beta float64
}

// Evaluate implements Objective.
func (o CHATS) Evaluate(terms []Terms, grad []Grad) float64 {
	sum := LossSigmoid()
	return evaluate(terms, grad, o.Beta, PairLoss(func(chosen, rejected float64, t Terms) (value, dChosen, dRejected float64) {
		value, dChosen, dRejected = sum(chosen, -rejected, t)
		return value, dChosen, -dRejected
	}))
}

func methodCHATS() Method {
	return method(Method{
		Name: "chats", Title: "CHATS",
		Paper:    "Fu et al., CHATS: Combining Human-Aligned Optimization and Test-Time Sampling for Text-to-Image Generation, ICML 2025, arXiv 2502.12579",
		Equation: "−log σ(β·((ref - first policy error of chosen) + (ref - second policy error of rejected)))",
		Source:   "github.com/AIDC-AI/CHATS",
		BetaUnit: "multiplies the sum of both differences of mean squared errors, without a half",
		Beta:     1000,
		Adapters: []string{"chosen", "rejected"}, Reference: true, Rejected: true, Labels: LabelsHard, Kind: KindPairs, Draws: 1,
		NullRejected: 0.5,
		make:         func(s Settings, _ Loss) Objective { return CHATS{Beta: s.Beta} },
	})
}
