package rewards

import (
	"context"
	"fmt"
	"image"
)

// Sample is a picture and the prompt that it should fit.
type Sample struct {
	Prompt string
	Image  image.Image
	// Upright is the picture as people see it, where the file stores it turned; nil: as Image. Judges look at it; reward
	// models see what is stored, as they were trained.
	Upright image.Image
}

// SampleScorer is a reward that scores pictures of different prompts in one call.
type SampleScorer interface {
	ScoreSamples(ctx context.Context, samples []Sample) ([]float64, error)
}

// ScoreSamples gives one score per sample, in order. Rewards that are not a SampleScorer are called once for each run of
// samples with the same prompt.
func ScoreSamples(ctx context.Context, s Scorer, samples []Sample) (scores []float64, err error) {
	if many, ok := s.(SampleScorer); ok {
		scores, err = many.ScoreSamples(ctx, samples)
	} else {
		scores, err = scoreRuns(ctx, s, samples)
	}
	if err == nil && len(scores) != len(samples) {
		err = fmt.Errorf("rewards: %d scores for %d pictures", len(scores), len(samples))
	}
	return scores, err
}

func scoreRuns(ctx context.Context, s Scorer, samples []Sample) (scores []float64, err error) {
	for first := 0; first < len(samples); {
		prompt, images := samples[first].Prompt, []image.Image(nil)
		for ; first < len(samples) && samples[first].Prompt == prompt; first++ {
			images = append(images, samples[first].Image)
		}
		some, err := s.Score(ctx, prompt, images)
		if err != nil {
			return nil, err
		}
		scores = append(scores, some...)
	}
	return scores, nil
}

func samplesOf(prompt string, images []image.Image) []Sample {
	samples := make([]Sample, len(images))
	for i, img := range images {
		samples[i] = Sample{Prompt: prompt, Image: img}
	}
	return samples
}
