package rewards

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"math"
	"os"
	"slices"
	"sort"
)

// Reference is the distribution of a reward's scores on a fixed set of pictures and prompts, which brings scores of different
// rewards to one scale.
type Reference struct {
	Reward    string    `json:"reward"`
	Set       string    `json:"set,omitempty"` // the pictures and prompts
	Count     int       `json:"count"`
	Mean      float64   `json:"mean"`
	Std       float64   `json:"std"`
	Quantiles []float64 `json:"quantiles"` // 101: of 0 %, 1 %, … 100 %
}

const quantiles = 101

// NewReference describes scores: population standard deviation, quantiles by linear interpolation.
func NewReference(reward, set string, scores []float64) (Reference, error) {
	if err := finite(scores); err != nil {
		return Reference{}, err
	}
	if len(scores) < 2 {
		return Reference{}, fmt.Errorf("rewards: a reference of %d scores; give at least 2", len(scores))
	}
	r := Reference{Reward: reward, Set: set, Count: len(scores)}
	for _, s := range scores {
		r.Mean += s / float64(len(scores))
	}
	for _, s := range scores {
		r.Std += (s - r.Mean) * (s - r.Mean) / float64(len(scores))
	}
	r.Std = math.Sqrt(r.Std)
	sorted := slices.Sorted(slices.Values(scores))
	for q := range quantiles {
		at := float64(q) / (quantiles - 1) * float64(len(sorted)-1)
		low := int(at)
		high := min(low+1, len(sorted)-1)
		r.Quantiles = append(r.Quantiles, sorted[low]+(at-float64(low))*(sorted[high]-sorted[low]))
	}
	return r, r.check("reference")
}

// ReadReference reads what NewReference made, stored as JSON.
func ReadReference(path string) (Reference, error) {
	var r Reference
	data, err := os.ReadFile(path)
	if err != nil {
		return r, fmt.Errorf("rewards: reference %w", err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("rewards: %s is not a reference distribution: %w", path, err)
	}
	return r, r.check(path)
}

func (r Reference) check(source string) error {
	switch {
	case len(r.Quantiles) != quantiles || !slices.IsSorted(r.Quantiles):
		return fmt.Errorf("rewards: %s: quantiles are %d numbers; want %d in ascending order", source, len(r.Quantiles), quantiles)
	case !(r.Std > 0) || math.IsInf(r.Std, 0) || math.IsNaN(r.Mean) || math.IsInf(r.Mean, 0):
		return fmt.Errorf("rewards: %s: mean %v and std %v; the scores must differ and be finite", source, r.Mean, r.Std)
	}
	return finite(r.Quantiles)
}

// Transforms of a score by a reference.
const (
	TransformNone   = ""
	TransformZ      = "z"      // (score - mean) / std
	TransformCDF    = "cdf"    // share of the reference below, 0 to 1
	TransformMinMax = "minmax" // 0 at the 1 % quantile, 1 at the 99 % quantile; not cut
)

// Apply transforms a score. An unknown name is an *ArgumentError.
func (r Reference) Apply(transform string, score float64) (float64, error) {
	switch transform {
	case TransformNone:
		return score, nil
	case TransformZ:
		return (score - r.Mean) / r.Std, nil
	case TransformCDF:
		return r.cdf(score), nil
	case TransformMinMax:
		low, high := r.Quantiles[1], r.Quantiles[quantiles-2]
		if low == high {
			return 0, errors.New("rewards: minmax: the 1 % and 99 % quantiles of the reference are equal; use z or cdf")
		}
		return (score - low) / (high - low), nil
	}
	return 0, &ArgumentError{fmt.Sprintf("there is no transform %q; known are %s, %s, %s", transform, TransformZ, TransformCDF, TransformMinMax)}
}

// cdf interpolates between quantiles; among equal quantiles it takes the middle.
func (r Reference) cdf(score float64) float64 {
	q := r.Quantiles
	first := sort.SearchFloat64s(q, score)
	last := sort.Search(len(q), func(i int) bool { return q[i] > score })
	switch {
	case last == 0:
		return 0
	case first == len(q):
		return 1
	case first < last: // equal to quantiles first to last-1
		return float64(first+last-1) / 2 / (quantiles - 1)
	}
	return (float64(first-1) + (score-q[first-1])/(q[first]-q[first-1])) / (quantiles - 1)
}

type transformed struct {
	scorer    Scorer
	reference Reference
	transform string
}

// Transform is a reward whose scores are brought to the scale of a reference.
func Transform(s Scorer, r Reference, transform string) Scorer { return transformed{s, r, transform} }

// Score transforms each score.
func (t transformed) Score(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
	return t.ScoreSamples(ctx, samplesOf(prompt, images))
}

// ScoreSamples is Score for pictures that each have a prompt of their own.
func (t transformed) ScoreSamples(ctx context.Context, samples []Sample) ([]float64, error) {
	scores, err := ScoreSamples(ctx, t.scorer, samples)
	if err != nil {
		return nil, err
	}
	return t.reference.applyAll(t.transform, scores)
}

func (r Reference) applyAll(transform string, scores []float64) ([]float64, error) {
	out := make([]float64, len(scores))
	for i, s := range scores {
		var err error
		if out[i], err = r.Apply(transform, s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Disagreement is how far the members of an ensemble are apart on each picture: the standard deviation of their scores,
// which must be on one scale (see Transform). Alarm lists the pictures where it exceeds the limit.
type Disagreement struct {
	Spread []float64
	Alarm  []int
}

// Ensemble is the weighted mean of rewards, and where they disagree by more than limit.
func Ensemble(ctx context.Context, prompt string, images []image.Image, limit float64, terms ...Term) ([]float64, Disagreement, error) {
	var scores [][]float64
	var weights []float64
	for _, t := range terms {
		some, err := Sum(Term{t.Scorer, 1}).Score(ctx, prompt, images)
		if err != nil {
			return nil, Disagreement{}, err
		}
		scores, weights = append(scores, some), append(weights, t.Weight)
	}
	mean, spread, err := meanAndSpread(scores, weights)
	if err != nil {
		return nil, Disagreement{}, err
	}
	d := Disagreement{Spread: spread}
	for i, s := range spread {
		if s > limit {
			d.Alarm = append(d.Alarm, i)
		}
	}
	return mean, d, nil
}

// meanAndSpread are weighted mean and standard deviation over scores[member][picture].
func meanAndSpread(scores [][]float64, weights []float64) (mean, spread []float64, err error) {
	if len(scores) == 0 {
		return nil, nil, &ArgumentError{"an ensemble of no rewards"}
	}
	mean, spread = make([]float64, len(scores[0])), make([]float64, len(scores[0]))
	total := 0.0
	for k, w := range weights {
		if !(w > 0) {
			return nil, nil, &ArgumentError{fmt.Sprintf("the weight %v of an ensemble's member is not above 0", w)}
		}
		total += w
		for i, s := range scores[k] { // the running form does not cancel
			delta := s - mean[i]
			mean[i] += delta * w / total
			spread[i] += w * delta * (s - mean[i])
		}
	}
	for i, q := range spread {
		spread[i] = math.Sqrt(max(q, 0) / total)
	}
	return mean, spread, nil
}
