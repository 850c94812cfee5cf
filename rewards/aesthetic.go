package rewards

import "math"

// Aesthetic is LAION's improved aesthetic predictor, version 2: a linear head on the feature of CLIP ViT-L/14, about 1 to 10.
// It does not read the prompt and is easily deceived by saturated pictures: a guard beside others, not a goal.
const Aesthetic = "aesthetic-v2"

var aesthetic = spec{name: Aesthetic, folder: Aesthetic, kind: kindHead, formula: "w·image/|image| + b"}

// score of an image feature, in double precision.
func (h head) score(feature []float32) float64 {
	var dot, square float64
	for i, v := range feature {
		dot += h.Weight[i] * float64(v)
		square += float64(v) * float64(v)
	}
	if square == 0 { // as the original divides by 1 then
		square = 1
	}
	return dot/math.Sqrt(square) + h.Bias
}
