package rewards

import (
	"context"
	"errors"
	"fmt"
	"image"
	"strings"
	"sync"

	"winnow/vlmjudge"
)

// Tournament is the reward Judge.
type Tournament struct {
	judged
	rank         vlmjudge.RankOptions
	first        *Model  // a cheaper reward; nil: none
	unit         float64 // of its scores, in log-odds
	onPair       func(done, pairs int)
	onTournament func(prompt string, members []int, t vlmjudge.Tournament)
	mu           sync.Mutex
	sum          vlmjudge.Tournament
}

// OpenTournament opens the reward Judge, as OpenReward does.
func OpenTournament(ctx context.Context, opt *Options) (*Tournament, error) {
	if err := opt.Rank.Check(); err != nil {
		return nil, &ArgumentError{strings.TrimPrefix(err.Error(), "vlmjudge: ")}
	}
	t := &Tournament{rank: opt.Rank, onPair: opt.OnPair, onTournament: opt.OnTournament, unit: 1}
	if t.rank.Schedule == vlmjudge.Cascade && opt.First == "" {
		return nil, &ArgumentError{"the schedule cascade asks about pairs that a cheaper reward leaves open; name that reward"}
	}
	var err error
	if t.judged, err = openJudged(ctx, opt); err != nil {
		return nil, err
	}
	if opt.First != "" {
		name, folder, _ := strings.Cut(opt.First, "=")
		if t.first, err = Open(ctx, name, folder, opt); err != nil {
			return nil, errors.Join(err, t.judge.Close())
		}
		if name == Mini {
			t.unit = MiniTemperature
		}
	}
	return t, nil
}

// Close closes the judge and the cheaper reward.
func (t *Tournament) Close() error {
	if t.first != nil {
		return errors.Join(t.first.Close(), t.judge.Close())
	}
	return t.judge.Close()
}

// Judge is the one that is asked.
func (t *Tournament) Judge() *vlmjudge.Judge { return t.judge }

// Info says, in Relative, that scores compare pictures that were scored together.
func (t *Tournament) Info() Info {
	info := t.info(Judge, 0)
	info.Formula, info.Relative = "log-strength by Bradley-Terry over every pair, both orders", true
	switch {
	case t.rank.Schedule == "":
		info.Formula = "log-strength by Bradley-Terry over every pair of few pictures, chosen pairs of many, both orders"
	case t.rank.Schedule != vlmjudge.AllPairs:
		info.Formula = fmt.Sprintf("log-strength by Bradley-Terry over pairs chosen by the schedule %s, both orders", t.rank.Schedule)
	}
	if t.rank.Calls > 0 {
		info.Formula += fmt.Sprintf(", at most %d questions", t.rank.Calls)
	}
	if t.mini != nil {
		info.Formula += fmt.Sprintf("; probabilities are sigmoids of differences of the embedded reward by %g", MiniTemperature)
	}
	if t.first != nil {
		info.Formula += ", starting from " + t.first.Info().Name
	}
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

// MaxPairs is the number of pairs that a tournament of n pictures needs at most.
func (t *Tournament) MaxPairs(n int) int {
	pairs, err := vlmjudge.MaxPairs(n, t.rank)
	if err != nil {
		return 0 // OpenTournament has refused such options
	}
	return pairs
}

// Tournament compares pictures of a prompt. done, where given, is called after each pair, by one goroutine at a time.
func (t *Tournament) Tournament(ctx context.Context, prompt string, images []image.Image, done func()) (vlmjudge.Tournament, error) {
	o := t.rank
	o.OnPair = done
	if t.first != nil && len(images) > 1 {
		scores, err := t.first.Score(ctx, prompt, images)
		if err != nil {
			return vlmjudge.Tournament{}, err
		}
		o.Prior = scores
		for i := range o.Prior {
			o.Prior[i] /= t.unit
		}
	}
	return t.judge.Tournament(ctx, prompt, images, o)
}

// Score compares the pictures.
func (t *Tournament) Score(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
	return t.ScoreSamples(ctx, samplesOf(prompt, images))
}

// ScoreSamples compares the pictures of each prompt with each other. A picture that is alone with its prompt has the score 0.
func (t *Tournament) ScoreSamples(ctx context.Context, samples []Sample) ([]float64, error) {
	var prompts []string
	groups, pairs := map[string][]int{}, 0
	for i, s := range samples {
		if groups[s.Prompt] == nil {
			prompts = append(prompts, s.Prompt)
		}
		groups[s.Prompt] = append(groups[s.Prompt], i)
	}
	for _, members := range groups {
		pairs += t.MaxPairs(len(members))
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
		result, err := t.Tournament(ctx, prompt, images, onPair)
		if err != nil {
			return nil, fmt.Errorf("rewards: comparing the pictures of %q: %w", prompt, err)
		}
		for k, i := range members {
			scores[i] = result.Strengths[k]
		}
		t.mu.Lock()
		t.sum = t.sum.Add(result)
		t.mu.Unlock()
		if t.onTournament != nil {
			t.onTournament(prompt, members, result)
		}
	}
	return scores, nil
}
