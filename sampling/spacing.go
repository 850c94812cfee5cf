package sampling

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// Spacing says how the timesteps of a run are placed in the trained range (diffusers' timestep_spacing, table 2 of
// arXiv 2305.08891).
type Spacing string

// The spacings.
const (
	Leading  Spacing = "leading"  // multiples of T/n plus the steps offset; misses the noisiest timesteps
	Trailing Spacing = "trailing" // from T−1 down in steps of T/n
	Linspace Spacing = "linspace" // both ends included
)

// linspace is numpy.linspace in float64: n values, both ends included.
func linspace(start, stop float64, n int) []float64 {
	out := make([]float64, n)
	if n == 1 {
		out[0] = start
		return out
	}
	step := (stop - start) / float64(n-1)
	for i := range out {
		out[i] = float64(float64(i)*step) + start
	}
	out[n-1] = stop
	return out
}

// grid places n timesteps, noisiest first. Leading and trailing grids hold whole numbers; linspace holds fractions
// unless whole is set. The fractions are float32 values, as in diffusers.
func grid(c *Config, n int, whole bool) ([]float64, error) {
	total := c.NumTrainTimesteps
	out := make([]float64, n)
	switch c.TimestepSpacing {
	case Linspace:
		for i, t := range linspace(0, float64(total-1), n) {
			if whole {
				t = math.RoundToEven(t)
			}
			out[n-1-i] = float64(float32(t))
		}
	case Leading:
		ratio := total / n
		for i := range out {
			out[n-1-i] = float64(i*ratio + c.StepsOffset)
		}
	case Trailing:
		return trailing(float64(total), float64(total)/float64(n)), nil
	default:
		return nil, c.unsupported("timestep_spacing", string(c.TimestepSpacing), "leading, trailing, linspace")
	}
	return out, nil
}

// trailing counts down from start in (fractional) steps, rounding half to even, and takes one off. The number of
// entries and the increment, a difference of the first two, are those of numpy.arange(start, 0, −step).
func trailing(start, step float64) []float64 {
	out := make([]float64, int(math.Ceil(start/step)))
	delta := (start - step) - start
	for i := range out {
		out[i] = math.RoundToEven(start+float64(float64(i)*delta)) - 1
	}
	return out
}

// karras places n sigmas as in Karras 2022, equation 5, with ρ = 7: dense where the noise is low.
func karras(sigmaMin, sigmaMax float64, n int) []float64 {
	const rho = 7.0
	lo, hi := math.Pow(sigmaMin, 1/rho), math.Pow(sigmaMax, 1/rho)
	out := linspace(0, 1, n)
	for i, ramp := range out {
		out[i] = math.Pow(hi+float64(ramp*(lo-hi)), rho)
	}
	return out
}

// exponential places n sigmas evenly in log σ.
func exponential(sigmaMin, sigmaMax float64, n int) []float64 {
	out := linspace(math.Log(sigmaMax), math.Log(sigmaMin), n)
	for i, v := range out {
		out[i] = math.Exp(v)
	}
	return out
}

// betaSpaced places n sigmas at the quantiles of a Beta(0.6, 0.6) distribution (Lee 2024, arXiv 2407.12173).
func betaSpaced(sigmaMin, sigmaMax float64, n int) []float64 {
	const shape = 0.6
	out := linspace(0, 1, n)
	for i, v := range out {
		out[i] = sigmaMin + mathext.InvRegIncBeta(shape, shape, 1-v)*(sigmaMax-sigmaMin)
	}
	return out
}
