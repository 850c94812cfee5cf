package rewards

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
)

// Scorer is a reward: how well each picture fits the prompt, higher is better.
// It returns exactly one finite score per picture, in order.
type Scorer interface {
	Score(ctx context.Context, prompt string, images []image.Image) ([]float64, error)
}

// Ranked is one picture's place. Pictures with equal scores share a rank, and
// the rank behind a tie counts everyone before it: 1, 1, 3.
type Ranked struct {
	Index int // of the picture in the list that was scored
	Rank  int // from 1
	Score float64
}

// Rank scores the pictures and orders them, best first.
func Rank(ctx context.Context, s Scorer, prompt string, images []image.Image) ([]Ranked, error) {
	scores, err := s.Score(ctx, prompt, images)
	if err != nil {
		return nil, err
	}
	if len(scores) != len(images) {
		return nil, fmt.Errorf("rewards: %d scores for %d pictures", len(scores), len(images))
	}
	return Order(scores)
}

// NotFiniteError is a score that is NaN or infinite.
type NotFiniteError struct {
	Index int // of the picture, from 0
	Score float64
}

// Error names the picture by its number, from 1.
func (e *NotFiniteError) Error() string {
	return fmt.Sprintf("rewards: the score of picture %d is %v", e.Index+1, e.Score)
}

// Order ranks scores that are already there, best first; equal scores keep
// their order. A score that is not finite is a *NotFiniteError.
func Order(scores []float64) ([]Ranked, error) {
	out := make([]Ranked, len(scores))
	for i, s := range scores {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return nil, &NotFiniteError{Index: i, Score: s}
		}
		out[i] = Ranked{Index: i, Score: s}
	}
	slices.SortStableFunc(out, func(a, b Ranked) int { return cmp.Compare(b.Score, a.Score) })
	for i := range out {
		out[i].Rank = i + 1
		if i > 0 && out[i].Score == out[i-1].Score {
			out[i].Rank = out[i-1].Rank
		}
	}
	return out, nil
}

// Term is one part of a weighted sum.
type Term struct {
	Scorer Scorer
	Weight float64
}

type sum []Term

// Sum is the weighted sum of rewards. The weights must bring the rewards to one
// scale: a CLIP score spans tens, other rewards span tenths.
func Sum(terms ...Term) Scorer { return sum(terms) }

// Score adds the terms; a term that fails fails the sum.
func (s sum) Score(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
	return s.ScoreSamples(ctx, samplesOf(prompt, images))
}

// ScoreSamples is Score for pictures that each have a prompt of their own.
func (s sum) ScoreSamples(ctx context.Context, samples []Sample) ([]float64, error) {
	if len(s) == 0 {
		return nil, errors.New("rewards: a sum of no rewards")
	}
	total := make([]float64, len(samples))
	for _, t := range s {
		part, err := ScoreSamples(ctx, t.Scorer, samples)
		if err != nil {
			return nil, err
		}
		for i, v := range part {
			total[i] += t.Weight * v
		}
	}
	return total, nil
}
