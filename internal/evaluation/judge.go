package evaluation

import (
	"context"
	"image"
	"math"

	"winnow/vlmjudge"
)

// Judge compares two pictures in both orders; *vlmjudge.Judge does.
type Judge interface {
	Compare(ctx context.Context, prompt string, a, b image.Image) (vlmjudge.Comparison, error)
}

// pseudoWins is what Bradley-Terry adds to each comparison, so that a picture that wins all has a finite strength.
const pseudoWins = 0.5

// JudgeAll lets a judge compare every pair of pictures. scores are log-odds: for two pictures those of the first being better,
// shared between both; for more the strengths of Bradley-Terry over the probabilities.
func JudgeAll(ctx context.Context, j Judge, prompt string, images []image.Image) (scores []float64, verdicts []Verdict, err error) {
	n := len(images)
	wins := make([][]float64, n)
	for i := range wins {
		wins[i] = make([]float64, n)
	}
	for a := range n {
		for b := a + 1; b < n; b++ {
			c, err := j.Compare(ctx, prompt, images[a], images[b])
			if err != nil {
				return nil, nil, err
			}
			wins[a][b], wins[b][a] = c.LogitMean, 1-c.LogitMean
			verdicts = append(verdicts, verdictOf(a, b, c))
		}
	}
	if n == 2 {
		return pairScores(wins[0][1]), verdicts, nil
	}
	scores, err = vlmjudge.BradleyTerry(wins, pseudoWins)
	return scores, verdicts, err
}

// limit keeps the log-odds of a judge that is certain finite.
const limit = 1e-6

func pairScores(p float64) []float64 {
	p = min(max(p, limit), 1-limit)
	odds := math.Log(p / (1 - p))
	return []float64{odds / 2, -odds / 2}
}

func verdictOf(a, b int, c vlmjudge.Comparison) Verdict {
	v := Verdict{First: a, Second: b, ShownFirst: c.AFirst.P, ShownSecond: 1 - c.BFirst.P}
	if c.AFirst.Abstained {
		v.ShownFirst = math.NaN()
	}
	if c.BFirst.Abstained {
		v.ShownSecond = math.NaN()
	}
	return v
}
