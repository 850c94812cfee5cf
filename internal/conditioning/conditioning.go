// Package conditioning writes reward values into prompts: Rewards-in-Context (Yang et al., "Rewards-in-Context: Multi-objective Alignment of
// Foundation Models with Dynamic Preference Adjustment", ICML 2024, arXiv 2402.10207). A model that is fine-tuned on pictures whose prompts say
// how each reward likes them can be asked for high values of some and less of others, without being trained again.
package conditioning

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Reward is one of the values that a prompt carries.
type Reward struct {
	Name string `json:"name"` // as prompts say it: one word
	// Low and High are the raw scores that are written as 0 and 1: the 5th and 95th percentile of the pictures that were learnt from.
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Scale says how scores become words. It is kept in a file beside the set that was made by it.
type Scale struct {
	Type    string   `json:"type"` // "conditioning"
	Rewards []Reward `json:"rewards"`
}

// scaleType is Scale.Type.
const scaleType = "conditioning"

// NewScale finds the ranges of rewards from their scores of the same pictures; scores that are NaN do not count.
func NewScale(names []string, scores [][]float64) (*Scale, error) {
	s := &Scale{Type: scaleType}
	for i, name := range names {
		var v []float64
		for _, x := range scores[i] {
			if !math.IsNaN(x) {
				v = append(v, x)
			}
		}
		if len(v) == 0 {
			return nil, fmt.Errorf("conditioning: no picture has a score by %s", name)
		}
		slices.Sort(v)
		r := Reward{Name: Word(name), Low: quantile(v, 0.05), High: quantile(v, 0.95)}
		if !(r.High > r.Low) {
			return nil, fmt.Errorf("conditioning: %s gives nearly all pictures the same score, %v; leave it out", name, r.Low)
		}
		s.Rewards = append(s.Rewards, r)
	}
	return s, s.check()
}

// Word is a reward's name as prompts say it: text encoders split at other characters.
func Word(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, name)
}

// quantile interpolates between neighbours of a sorted list.
func quantile(v []float64, q float64) float64 {
	at := q * float64(len(v)-1)
	i := int(at)
	if i+1 >= len(v) {
		return v[len(v)-1]
	}
	return v[i] + (at-float64(i))*(v[i+1]-v[i])
}

func (s *Scale) check() error {
	if s.Type != scaleType || len(s.Rewards) == 0 {
		return errors.New("conditioning: is no file of winnow data condition")
	}
	seen := map[string]bool{}
	for _, r := range s.Rewards {
		switch {
		case r.Name == "" || Word(r.Name) != r.Name:
			return fmt.Errorf("conditioning: %q is no name of a reward in a prompt; want small letters and digits", r.Name)
		case seen[r.Name]:
			return fmt.Errorf("conditioning: two rewards are called %s in prompts", r.Name)
		case !(r.High > r.Low) || math.IsInf(r.High-r.Low, 0):
			return fmt.Errorf("conditioning: %s has no range: %v to %v", r.Name, r.Low, r.High)
		}
		seen[r.Name] = true
	}
	return nil
}

// Read reads the file of a scale.
func Read(path string) (*Scale, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &Scale{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// Normalise brings raw scores to 0 … 1, those beyond the range to its ends.
func (s *Scale) Normalise(scores []float64) []float64 {
	out := make([]float64, len(s.Rewards))
	for i, r := range s.Rewards {
		out[i] = min(1, max(0, (scores[i]-r.Low)/(r.High-r.Low)))
	}
	return out
}

// Suffix is what values of 0 … 1 add to a prompt, one decimal each as in the paper: ", mini 0.8, aesthetic 0.3".
func (s *Scale) Suffix(values []float64) string {
	var b strings.Builder
	for i, r := range s.Rewards {
		fmt.Fprintf(&b, ", %s %.1f", r.Name, values[i])
	}
	return b.String()
}

// Ray is the point of 0 … 1 values that a preference for rewards asks for: min(1, K·w) of each of K rewards whose weights w add up to 1. Equal
// weights ask for the best of all; weight that one reward has beyond the others' is what these give up. It is the mapping of the paper's
// section 3.3 for two rewards (the whole range below half of the weight, the best from there on), for any number.
func (s *Scale) Ray(weights map[string]float64) ([]float64, error) {
	sum := 0.0
	for name, w := range weights {
		if !(w >= 0) || math.IsInf(w, 0) {
			return nil, fmt.Errorf("conditioning: the weight of %s is %v; want 0 or more", name, w)
		}
		if !slices.ContainsFunc(s.Rewards, func(r Reward) bool { return r.Name == Word(name) }) {
			return nil, fmt.Errorf("conditioning: %s is none of the rewards in prompts: %s", name, strings.Join(s.names(), ", "))
		}
		sum += w
	}
	if len(weights) == 0 { // no preference
		return slices.Repeat([]float64{1}, len(s.Rewards)), nil
	}
	if sum == 0 {
		return nil, errors.New("conditioning: all weights are 0")
	}
	out := make([]float64, len(s.Rewards))
	for name, w := range weights {
		for i, r := range s.Rewards {
			if r.Name == Word(name) {
				out[i] = min(1, float64(len(s.Rewards))*w/sum)
			}
		}
	}
	return out, nil
}

func (s *Scale) names() []string {
	var out []string
	for _, r := range s.Rewards {
		out = append(out, r.Name)
	}
	return out
}

// ParseWeights reads NAME=WEIGHT of --preference.
func ParseWeights(values []string) (map[string]float64, error) {
	out := map[string]float64{}
	for _, v := range values {
		name, number, ok := strings.Cut(v, "=")
		w, err := strconv.ParseFloat(number, 64)
		if !ok || err != nil || name == "" {
			return nil, fmt.Errorf("%q: want NAME=WEIGHT, as in mini=0.7", v)
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("%s comes twice", name)
		}
		out[name] = w
	}
	return out, nil
}
