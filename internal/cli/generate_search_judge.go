package cli

import (
	"context"
	"image"

	"winnow/rewards"
	"winnow/sampling"
	"winnow/vlmjudge"
)

// comparing is the judge that a search asks to compare pictures.
func (g *generation) comparing() (*rewards.Tournament, error) {
	t, ok := g.reward.Rewards()[0].(*rewards.Tournament)
	info, err := sampling.FindSearch(g.search.method)
	switch {
	case err != nil:
		return nil, err
	case !ok || g.reward.Info().Name != t.Info().Name: // weighted, or one of several
		return nil, usagef("--search by a sum needs scores of single pictures, and the judge compares them; take %s in its place", rewards.VQAScore)
	case info.Gradient:
		return nil, usagef("--search %s climbs the gradient of a reward, and a judge has none", info.Name)
	}
	return t, nil
}

// asked is whom one search asks. A judge that compares remembers pictures of that search.
type asked struct {
	verify verifier
	recall func(ctx context.Context, prompt string, images []image.Image, scores []float64) error
	series *vlmjudge.Series
}

// asked begins a search for a picture of a prompt.
func (s *searchRun) asked(prompt string) (asked, error) {
	if s.pairs == nil {
		return asked{verify: s.verify}, nil
	}
	series, err := s.pairs.Series(prompt)
	return asked{
		verify: func(ctx context.Context, _ string, images []image.Image) ([]float64, error) {
			return series.Score(ctx, images)
		},
		recall: func(_ context.Context, _ string, images []image.Image, scores []float64) error {
			return series.Recall(images, scores)
		},
		series: series,
	}, err
}

// counts is what was asked of a judge that compares; nil without one.
func (a asked) counts() *vlmjudge.SeriesCounts {
	if a.series == nil {
		return nil
	}
	c := a.series.Counts()
	return &c
}
