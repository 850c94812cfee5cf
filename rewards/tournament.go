package rewards

import (
	"context"
	"fmt"
	"image"
	"sync"

	"winnow/vlmjudge"
)

// Tournament is the reward Judge.
type Tournament struct {
	judged
	onPair func(done, pairs int)
	mu     sync.Mutex
	sum    vlmjudge.Tournament
}

// Info says, in Relative, that scores compare pictures that were scored together.
func (t *Tournament) Info() Info {
	info := t.info(Judge, 0)
	info.Formula, info.Relative = "log-strength by Bradley-Terry over every pair, both orders", true
	return info
}

// Counts sums what the judge did in all tournaments so far.
func (t *Tournament) Counts() vlmjudge.Tournament {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sum
}

// Series scores pictures of a prompt that come one after another, as a search makes them.
func (t *Tournament) Series(prompt string) (*vlmjudge.Series, error) {
	return t.judge.Series(prompt, vlmjudge.SeriesOptions{})
}

// Score compares every pair of pictures.
func (t *Tournament) Score(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
	return t.ScoreSamples(ctx, samplesOf(prompt, images))
}

// ScoreSamples compares every pair of pictures of the same prompt. A picture that is alone with its prompt has the score 0.
func (t *Tournament) ScoreSamples(ctx context.Context, samples []Sample) ([]float64, error) {
	var prompts []string
	groups, pairs := map[string][]int{}, 0
	for i, s := range samples {
		if groups[s.Prompt] == nil {
			prompts = append(prompts, s.Prompt)
		}
		pairs += len(groups[s.Prompt])
		groups[s.Prompt] = append(groups[s.Prompt], i)
	}
	done := 0
	onPair := func() {
		if done++; t.onPair != nil {
			t.onPair(done, pairs)
		}
	}
	scores := make([]float64, len(samples))
	for _, prompt := range prompts {
		members := groups[prompt]
		images := make([]image.Image, len(members))
		for k, i := range members {
			images[k] = samples[i].seen()
		}
		result, err := t.judge.Tournament(ctx, prompt, images, onPair)
		if err != nil {
			return nil, fmt.Errorf("rewards: comparing the pictures of %q: %w", prompt, err)
		}
		for k, i := range members {
			scores[i] = result.Strengths[k]
		}
		t.mu.Lock()
		t.sum = t.sum.Add(result)
		t.mu.Unlock()
	}
	return scores, nil
}
