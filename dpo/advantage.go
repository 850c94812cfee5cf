package dpo

import "math"

// What rewards of a prompt are measured by, in numbers that published code agrees on.
const (
	// BufferedRewards is how many of a prompt's last rewards DDPO keeps.
	BufferedRewards = 32
	// EnoughRewards is how many of them make statistics of their own.
	EnoughRewards = 16
	// MaxAdvantage bounds advantages on either side.
	MaxAdvantage = 5
)

// Advantages are rewards less their mean, over their standard deviation, within ±[MaxAdvantage]. Mean and deviation are those
// of among; eps is added to the deviation, so that equal rewards give 0.
func Advantages(rewards, among []float64, eps float64) []float64 {
	mean, deviation := moments(among)
	out := make([]float64, len(rewards))
	for i, r := range rewards {
		out[i] = clamp((r-mean)/(deviation+eps), -MaxAdvantage, MaxAdvantage)
	}
	return out
}

// moments are the mean and the population's standard deviation.
func moments(v []float64) (mean, deviation float64) {
	n := float64(len(v))
	for _, x := range v {
		mean += x / n
	}
	for _, x := range v {
		deviation += (x - mean) * (x - mean) / n
	}
	return mean, math.Sqrt(deviation)
}
