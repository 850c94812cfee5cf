package optim

import (
	"math"

	"winnow/internal/kernel"
)

// ClipGradNorm multiplies all gradients by limit/(norm + 1e-6) where that is below 1, as torch.nn.utils.clip_grad_norm_ does, and
// returns the norm: the root of the sum of their squares, in float64. A norm that is not finite is
// returned and nothing is changed, so that the caller can leave the step out and say why. limit ≤ 0 only measures.
func ClipGradNorm(params []*Param, limit float64) (norm float64) {
	squares := 0.0
	for _, p := range params {
		squares += sumSquares(p.Grad)
	}
	norm = math.Sqrt(squares)
	factor := limit / (norm + 1e-6)
	if limit <= 0 || !(factor < 1) || math.IsInf(norm, 0) {
		return norm
	}
	for _, p := range params {
		kernel.MulScalar(p.Grad, p.Grad, float32(factor))
	}
	return norm
}
