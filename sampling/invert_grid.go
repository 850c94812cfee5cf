package sampling

import (
	"fmt"
	"math"
)

// InversionGrid holds the noise levels that an inversion climbs, cleanest first: level 0 is that of clean latents, level k is at
// Timesteps[k−1]: where a DDIM run of n steps stands before its step n−k, counted from 0. Latents at level k are Signal[k]·x₀ + Noise[k]·ε. It is immutable and safe for concurrent use.
type InversionGrid struct {
	Timesteps     []float64 // what the network is asked for, ascending; n of them
	Signal, Noise []float64 // of levels 0 … n
	Prediction    Prediction
}

// InversionGrid places n levels as a run of n steps of the scheduler does. They are those of diffusers' DDIMInverseScheduler, but that
// each level is reached from the one below it; diffusers subtracts the integer ratio T/n instead, which differs for trailing spacing
// when n does not divide T. A flow scheduler has the levels of a run of n steps. Level 0 has ᾱ = 1, or ᾱ₀ where a DDIM or PNDM configuration says set_alpha_to_one: false.
func (s *Scheduler) InversionGrid(n int) (*InversionGrid, error) {
	if total := s.config.NumTrainTimesteps; n < 1 || n > total {
		return nil, fmt.Errorf("sampling: %d inversion levels; the scheduler can do 1 to %d", n, total)
	}
	if s.config.Class == classFlow {
		return s.flowInversionGrid(n)
	}
	timesteps, err := wholeGrid(s, n)
	if err != nil {
		return nil, err
	}
	clean := 1.0
	if class := s.config.Class; (class == classDDIM || class == classPNDM) && !s.config.SetAlphaToOne {
		clean = s.schedule.AlphaBar(0)
	}
	g := &InversionGrid{Prediction: s.config.PredictionType}
	g.add(math.Sqrt(clean), math.Sqrt(1-clean))
	for k := len(timesteps) - 1; k >= 0; k-- {
		t := timesteps[k]
		if at := len(g.Timesteps); at > 0 && float64(t) <= g.Timesteps[at-1] {
			return nil, fmt.Errorf("sampling: %s: timestep %d comes twice in a grid of %d levels; use fewer", s.config.Class, t, n)
		}
		a := s.schedule.AlphaBar(t)
		g.Timesteps = append(g.Timesteps, float64(t))
		g.add(math.Sqrt(a), math.Sqrt(1-a))
	}
	return g, nil
}

// flowInversionGrid has the levels of a run of n steps of a flow scheduler.
func (s *Scheduler) flowInversionGrid(n int) (*InversionGrid, error) {
	p, err := s.Plan(n, nil)
	if err != nil {
		return nil, err
	}
	var sigmas, timesteps []float64
	for k := n - 1; k >= 0; k-- {
		_, sigma := p.Level(k)
		sigmas, timesteps = append(sigmas, sigma), append(timesteps, p.Timesteps[k])
	}
	return FlowInversionGrid(sigmas, timesteps)
}

// FlowInversionGrid is the grid of a network that predicts the velocity of a straight path. sigmas rise from above 0 to at most 1, and
// timesteps are what the network is asked for there, 1000·σ in diffusers. Level 0 is σ = 0.
func FlowInversionGrid(sigmas, timesteps []float64) (*InversionGrid, error) {
	if len(sigmas) == 0 || len(sigmas) != len(timesteps) {
		return nil, fmt.Errorf("sampling: %d sigmas and %d timesteps; want as many of one as of the other, at least one", len(sigmas), len(timesteps))
	}
	g := &InversionGrid{Prediction: FlowPrediction}
	g.add(1, 0)
	last := 0.0
	for k, sigma := range sigmas {
		if !(sigma > last && sigma <= 1) {
			return nil, fmt.Errorf("sampling: sigma %v after %v; want them to rise, above 0 and at most 1", sigma, last)
		}
		last = sigma
		g.Timesteps = append(g.Timesteps, timesteps[k])
		g.add(1-sigma, sigma)
	}
	return g, nil
}

func (g *InversionGrid) add(signal, noise float64) {
	g.Signal, g.Noise = append(g.Signal, signal), append(g.Noise, noise)
}

// Len is the number of levels above the clean one.
func (g *InversionGrid) Len() int { return len(g.Timesteps) }

// direction is what carries latents from level to level, by x and the network's output at level k: the noise ε, or the velocity where
// that is predicted.
func (g *InversionGrid) direction(k int) (linear, error) {
	if g.Prediction == FlowPrediction {
		return linear{0, 1}, nil
	}
	return g.Prediction.epsilon(g.alphaBar(k))
}

// move is a step between two levels: x·(first) + direction·(second).
func (g *InversionGrid) move(from, to int) (carry, push float64) {
	if g.Prediction == FlowPrediction {
		return 1, g.Noise[to] - g.Noise[from]
	}
	carry = g.Signal[to] / g.Signal[from]
	return carry, g.Noise[to] - carry*g.Noise[from]
}

// deviation is that of the noise which DDPM draws from level k to the one below it (Ho et al. 2020, β̃; Song et al. 2021, equation 16 with η = 1), in
// the units of latents at level k. A straight path is taken for the variance-preserving one that it is up to a factor.
func (g *InversionGrid) deviation(k int) float64 {
	power := func(k int) float64 { return g.Signal[k]*g.Signal[k] + g.Noise[k]*g.Noise[k] }
	bar := func(k int) float64 { return g.Signal[k] * g.Signal[k] / power(k) }
	low, high := bar(k-1), bar(k)
	return math.Sqrt((1 - low) / (1 - high) * (1 - high/low) * power(k))
}

// down is the DDIM step from level k to the one below it, by x and the network's output. It goes by way of x₀, as level k may have no
// signal to divide by.
func (g *InversionGrid) down(k int) (linear, error) {
	if g.Prediction == FlowPrediction {
		return linear{1, g.Noise[k-1] - g.Noise[k]}, nil
	}
	data, err := g.Prediction.data(g.alphaBar(k))
	if err != nil {
		return linear{}, err
	}
	eps, err := g.Prediction.epsilon(g.alphaBar(k))
	a, s := g.Signal[k-1], g.Noise[k-1]
	return linear{a*data.x + s*eps.x, a*data.out + s*eps.out}, err
}

func (g *InversionGrid) alphaBar(k int) float64 { return g.Signal[k] * g.Signal[k] }

// Target writes what the network should have answered for images that were inverted exactly to their levels: the noise that turned
// clean into x, expressed as the grid's prediction type. images is how many there are; clean holds their latents at level 0, x at
// levels[i], which must be 1 or more. The slices have equal length, and dst may be x or clean.
//
//	ε = (x − signal·clean)/noise                  SmPO-Diffusion, ICML 2025
//	v = signal·ε − noise·clean     x₀ = clean     velocity = ε − clean
//
// Levels are the grid's own, so signal and noise are exactly those of x. (SmPO's code takes ᾱ at the drawn timestep although x is at
// the grid time below it.)
func (g *InversionGrid) Target(dst, x, clean []float32, levels []int) error {
	size, err := g.sizes(len(x), levels)
	if err != nil {
		return err
	}
	if len(dst) != len(x) || len(clean) != len(x) {
		return fmt.Errorf("sampling: inversion target of %d numbers from %d and %d", len(dst), len(x), len(clean))
	}
	for i, level := range levels {
		if level == 0 {
			return fmt.Errorf("sampling: image %d is still clean (level 0): it has no noise to aim at", i)
		}
		g.target(dst[i*size:(i+1)*size], x[i*size:(i+1)*size], clean[i*size:(i+1)*size], level)
	}
	return nil
}

func (g *InversionGrid) target(dst, x, clean []float32, level int) {
	a, s := g.Signal[level], g.Noise[level]
	for i := range dst {
		data := float64(clean[i])
		eps := (float64(x[i]) - a*data) / s
		switch g.Prediction {
		case VPrediction:
			dst[i] = float32(a*eps - s*data)
		case CleanSample:
			dst[i] = clean[i]
		case FlowPrediction:
			dst[i] = float32(eps - data)
		default:
			dst[i] = float32(eps)
		}
	}
}

// sizes checks a batch and gives the numbers of one image.
func (g *InversionGrid) sizes(n int, levels []int) (int, error) {
	if len(levels) == 0 || n == 0 || n%len(levels) != 0 {
		return 0, fmt.Errorf("sampling: %d numbers cannot be %d images of equal size", n, len(levels))
	}
	for i, level := range levels {
		if level < 0 || level > g.Len() {
			return 0, fmt.Errorf("sampling: image %d: no level %d in a grid of levels 0 to %d", i, level, g.Len())
		}
	}
	return n / len(levels), nil
}
