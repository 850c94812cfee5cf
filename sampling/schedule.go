package sampling

import (
	"fmt"
	"math"
)

// NoiseSchedule is the training-time map from timestep to noise level of a variance-preserving diffusion:
// x_t = √ᾱ_t·x₀ + √(1−ᾱ_t)·ε for t in 0 … Len()−1, or of a straight path: x_t = (1−σ_t)·x₀ + σ_t·ε. It is immutable.
type NoiseSchedule struct {
	flow     []float32 // σ_t of a straight path, else nil
	alphaBar []float32 // cumulative products of 1−β, float32 as diffusers keeps them
	levels   []float64 // k-diffusion sigmas √((1−ᾱ)/ᾱ): float32 values, kept wide
	logs     []float64 // their float32 logarithms
}

// NewNoiseSchedule makes a schedule from the values ᾱ_t. They must lie in [0, 1] and must not rise.
func NewNoiseSchedule(alphaBar []float64) (*NoiseSchedule, error) {
	table := make([]float32, len(alphaBar))
	for i, a := range alphaBar {
		table[i] = float32(a)
	}
	return newSchedule(table)
}

func newSchedule(alphaBar []float32) (*NoiseSchedule, error) {
	if len(alphaBar) == 0 {
		return nil, fmt.Errorf("sampling: a noise schedule needs at least one timestep")
	}
	s := &NoiseSchedule{
		alphaBar: alphaBar,
		levels:   make([]float64, len(alphaBar)),
		logs:     make([]float64, len(alphaBar)),
	}
	prev := float32(1)
	for t, a := range alphaBar {
		if !(a >= 0 && a <= prev) {
			return nil, fmt.Errorf("sampling: noise schedule: alphas_cumprod[%d] = %v after %v; "+
				"the values must fall from at most 1 to at least 0: check the betas", t, a, prev)
		}
		prev = a
		sigma := sqrt32((1 - a) / a)
		s.levels[t] = float64(sigma)
		s.logs[t] = float64(float32(math.Log(float64(sigma))))
	}
	return s, nil
}

// Len is the number of training timesteps.
func (s *NoiseSchedule) Len() int { return len(s.alphaBar) }

// AlphaBar is ᾱ_t, the share of signal variance at timestep t, of a straight path (1−σ)²/((1−σ)²+σ²). It panics when t is outside 0 … Len()−1.
func (s *NoiseSchedule) AlphaBar(t int) float64 { return float64(s.alphaBar[t]) }

// At gives what the network is asked for at timestep t: t itself, or on a straight path T·σ_t.
func (s *NoiseSchedule) At(t int) float64 {
	if s.flow != nil {
		return float64(s.flow[t] * float32(len(s.flow)))
	}
	return float64(t)
}

// Sigma is k-diffusion's noise level √((1−ᾱ)/ᾱ) at a timestep, which may lie between two training timesteps (linear
// interpolation) and is clamped to the trained range.
func (s *NoiseSchedule) Sigma(t float64) float64 { return interpolate(t, s.levels) }

// Timestep is the inverse of Sigma: the timestep whose noise level is sigma, by linear interpolation of log σ, clamped
// to the trained range.
func (s *NoiseSchedule) Timestep(sigma float64) float64 {
	logSigma := math.Log(math.Max(sigma, 1e-10))
	low := 0
	for low < len(s.logs)-2 && logSigma >= s.logs[low+1] {
		low++
	}
	if len(s.logs) == 1 {
		return 0
	}
	w := (s.logs[low] - logSigma) / (s.logs[low] - s.logs[low+1])
	w = min(max(w, 0), 1)
	return (1-w)*float64(low) + w*float64(low+1)
}

// interpolate reads table at a fractional index as numpy.interp does.
func interpolate(at float64, table []float64) float64 {
	last := len(table) - 1
	if at <= 0 || last == 0 {
		return table[0]
	}
	if at >= float64(last) {
		return table[last]
	}
	j := int(at)
	return float64((table[j+1]-table[j])*(at-float64(j))) + table[j] // the conversion forbids a fused multiply-add
}

func sqrt32(x float32) float32 { return float32(math.Sqrt(float64(x))) }

// alphaBars computes diffusers' alphas_cumprod for a configuration, in its precision.
func alphaBars(c *Config) ([]float32, error) {
	betas, err := betas(c)
	if err != nil {
		return nil, err
	}
	if c.RescaleBetasZeroSNR {
		betas = rescaleZeroSNR(betas)
	}
	return cumulative(betas), nil
}

// cumulative gives ∏(1−β). Torch keeps the running product in double precision and rounds each entry to float32.
func cumulative(betas []float32) []float32 {
	out := make([]float32, len(betas))
	product := 1.0
	for i, b := range betas {
		product *= float64(1 - b)
		out[i] = float32(product)
	}
	return out
}

// betas gives the noise variances of the training steps (diffusers' beta_schedule).
func betas(c *Config) ([]float32, error) {
	n := c.NumTrainTimesteps
	switch {
	case c.TrainedBetas != nil:
		out := make([]float32, len(c.TrainedBetas))
		for i, b := range c.TrainedBetas {
			out[i] = float32(b)
		}
		return out, nil
	case c.BetaSchedule == "linear":
		return linspace32(c.BetaStart, c.BetaEnd, n), nil
	case c.BetaSchedule == "scaled_linear":
		out := linspace32(math.Sqrt(c.BetaStart), math.Sqrt(c.BetaEnd), n)
		for i := range out {
			out[i] *= out[i]
		}
		return out, nil
	case c.BetaSchedule == "squaredcos_cap_v2":
		return betasFor(n, cosineAlphaBar), nil
	case c.BetaSchedule == "laplace" && c.Class == classDDPM:
		return betasFor(n, laplaceAlphaBar), nil
	case c.BetaSchedule == "sigmoid" && c.Class == classDDPM:
		out := linspace32(-6, 6, n)
		for i, v := range out {
			sigmoid := float32(1 / (1 + math.Exp(-float64(v))))
			out[i] = float32(sigmoid*float32(c.BetaEnd-c.BetaStart)) + float32(c.BetaStart)
		}
		return out, nil
	}
	return nil, c.unsupported("beta_schedule", c.BetaSchedule, "linear, scaled_linear, squaredcos_cap_v2 (DDPM also laplace, sigmoid)")
}

// linspace32 is torch.linspace in float32: both ends are exact, the halves are counted from their own end, and each
// product and sum is rounded once.
func linspace32(start, end float64, n int) []float32 {
	out := make([]float32, n)
	if n == 1 {
		out[0] = float32(start)
		return out
	}
	first, last := float32(start), float32(end)
	step := float64((last - first) / float32(n-1))
	for i := range out {
		if i < n/2 {
			out[i] = float32(math.FMA(step, float64(i), float64(first)))
		} else {
			out[i] = float32(math.FMA(-step, float64(n-1-i), float64(last)))
		}
	}
	return out
}

// betasFor discretises a continuous ᾱ(t), t in [0, 1], with β ≤ 0.999 (Nichol and Dhariwal 2021, arXiv 2102.09672).
func betasFor(n int, alphaBar func(t float64) float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		t1, t2 := float64(i)/float64(n), float64(i+1)/float64(n)
		out[i] = float32(min(1-alphaBar(t2)/alphaBar(t1), 0.999))
	}
	return out
}

func cosineAlphaBar(t float64) float64 {
	c := math.Cos((t + 0.008) / 1.008 * math.Pi / 2)
	return c * c
}

func laplaceAlphaBar(t float64) float64 {
	logSNR := -0.5 * math.Copysign(1, 0.5-t) * math.Log(1-2*math.Abs(0.5-t)+1e-6)
	snr := math.Exp(logSNR)
	return math.Sqrt(snr / (1 + snr))
}

// rescaleZeroSNR shifts and scales √ᾱ so that the last timestep is pure noise (Lin 2024, arXiv 2305.08891,
// algorithm 1).
func rescaleZeroSNR(betas []float32) []float32 {
	root := cumulative(betas)
	for i, a := range root {
		root[i] = sqrt32(a)
	}
	first, last := root[0], root[len(root)-1]
	scale := first / (first - last)
	for i, r := range root {
		r = (r - last) * scale
		root[i] = r * r
	}
	out := make([]float32, len(root))
	out[0] = 1 - root[0]
	for i := 1; i < len(root); i++ {
		out[i] = 1 - root[i]/root[i-1]
	}
	return out
}
