package rewards

import (
	"context"
	"fmt"
	"image"

	"winnow/internal/miniworld"
)

// Checker is the exact checker of the embedded model's world: it knows what a prompt of that world asserts, and sees what is on a picture.
const Checker = "checker"

// checker is the reward Checker.
type checker struct{}

func (checker) Close() error { return nil }

func (checker) Info() Info {
	return Info{
		Name: Checker, Model: "embedded", Version: "1", Formula: "share of assertions that hold + 0.3·clean", Width: miniworld.Size, Height: miniworld.Size,
		AcrossPrompts: true, ReadsPrompt: true,
	}
}

// CheckPrompt refuses what is no caption of the world.
func (checker) CheckPrompt(prompt string) error {
	if _, err := miniworld.ParseCaption(prompt); err != nil {
		return &ArgumentError{fmt.Sprintf("the checker reads captions of the embedded model's world only: %v", err)}
	}
	return nil
}

func (c checker) Score(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
	return c.ScoreSamples(ctx, samplesOf(prompt, images))
}

func (c checker) ScoreSamples(_ context.Context, samples []Sample) ([]float64, error) {
	scores := make([]float64, len(samples))
	for i, s := range samples {
		spec, err := miniworld.ParseCaption(s.Prompt)
		if err != nil {
			return nil, c.CheckPrompt(s.Prompt)
		}
		r, err := miniworld.Check(s.Image, spec)
		if err != nil {
			return nil, err
		}
		scores[i] = r.Score
	}
	return scores, nil
}
