package sampling

import (
	"fmt"
	"math"
)

// Prediction says what the network predicts (diffusers' prediction_type).
type Prediction string

// The predictions. With x = α·x₀ + σ·ε and α² + σ² = 1:
const (
	Epsilon     Prediction = "epsilon"      // ε
	VPrediction Prediction = "v_prediction" // α·ε − σ·x₀, Salimans and Ho 2022, arXiv 2202.00512
	CleanSample Prediction = "sample"       // x₀
)

// linear is the combination x·(first) + output·(second).
type linear struct{ x, out float64 }

// data gives x₀ from x and the model output on a variance-preserving level with the given ᾱ.
func (p Prediction) data(alphaBar float64) (linear, error) {
	a, s := math.Sqrt(alphaBar), math.Sqrt(1-alphaBar)
	switch p {
	case Epsilon:
		return linear{1 / a, -s / a}, nil
	case VPrediction:
		return linear{a, -s}, nil
	case CleanSample:
		return linear{0, 1}, nil
	}
	return linear{}, p.unknown()
}

// epsilon gives ε from x and the model output on a variance-preserving level.
func (p Prediction) epsilon(alphaBar float64) (linear, error) {
	a, s := math.Sqrt(alphaBar), math.Sqrt(1-alphaBar)
	switch p {
	case Epsilon:
		return linear{0, 1}, nil
	case VPrediction:
		return linear{s, a}, nil
	case CleanSample:
		return linear{1 / s, -a / s}, nil
	}
	return linear{}, p.unknown()
}

// dataSigma gives x₀ from x = x₀ + σ·ε (unscaled, as the Euler family keeps it) and the model output.
func (p Prediction) dataSigma(sigma float64) (linear, error) {
	switch p {
	case Epsilon:
		return linear{1, -sigma}, nil
	case VPrediction:
		return linear{1 / (sigma*sigma + 1), -sigma / math.Sqrt(sigma*sigma+1)}, nil
	case CleanSample:
		return linear{0, 1}, nil
	}
	return linear{}, p.unknown()
}

func (p Prediction) unknown() error {
	return fmt.Errorf("sampling: prediction_type %q is not supported; supported: %s, %s, %s",
		string(p), Epsilon, VPrediction, CleanSample)
}
