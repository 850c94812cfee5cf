package sampling

import (
	"fmt"
	"math"
)

// MinSNRWeight is the factor of the squared error at signal share ᾱ that min-SNR-γ weighting gives (Hang et al. 2023,
// arXiv 2303.09556; diffusers' training scripts, snr_gamma), with SNR = ᾱ/(1−ᾱ): min(SNR, γ)/SNR for ε, min(SNR, γ)/(SNR+1) for v and
// min(SNR, γ) for x₀. γ > 0 is usually 5. At ᾱ = 0 (zero terminal SNR) the weight of ε is its limit, 1, where the scripts get NaN
// or add 1 to the SNR of a v-prediction by hand.
func (p Prediction) MinSNRWeight(alphaBar, gamma float64) (float64, error) {
	if !(alphaBar >= 0 && alphaBar <= 1) || !(gamma > 0) {
		return 0, fmt.Errorf("sampling: min-SNR weight of ᾱ %v and γ %v: want ᾱ in [0, 1] and γ above 0", alphaBar, gamma)
	}
	noise := 1 - alphaBar
	switch p {
	case Epsilon:
		if alphaBar == 0 {
			return 1, nil
		}
		return min(1, gamma*(noise/alphaBar)), nil
	case VPrediction:
		return min(alphaBar, gamma*noise), nil // SNR + 1 = 1/(1−ᾱ)
	case CleanSample:
		if noise == 0 {
			return gamma, nil
		}
		return min(alphaBar/noise, gamma), nil
	}
	return math.NaN(), p.unknown()
}
