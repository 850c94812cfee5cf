package minibench

import (
	"context"
	"fmt"
	"math"

	"winnow/diffusion"
	"winnow/internal/miniworld"
	"winnow/rewards"
	"winnow/rewards/metric"
)

// MinGap is the difference of checker scores from which on one picture is better than another: below it, pictures differ in
// how clean their edges are and in nothing that a prompt says.
const MinGap = 0.03

// gaps cut the pairs of RewardReport.ByGap.
var gaps = []float64{MinGap, 0.1, 0.2, 0.4, math.Inf(1)}

// RewardReport says how well a reward orders pictures of one prompt, with the checker's score as the truth.
type RewardReport struct {
	Prompts  int    `json:"prompts"`
	Pictures int    `json:"pictures_per_prompt"`
	Pairs    int    `json:"pairs"`         // whose checker scores differ by more than MinGap
	Accuracy Figure `json:"pair_accuracy"` // share of the pairs that the reward orders as the checker does; 95 % bootstrap over prompts
	ByGap    []Gap  `json:"by_gap"`
	// Temperature is the τ for which σ(difference of rewards/τ) is the most probable probability of the checker's order, over Pairs.
	Temperature float64 `json:"temperature"`
	// Mean checker score of the first picture of each prompt, of the one that the reward chooses, and of the best.
	First  Figure `json:"first"`
	Chosen Figure `json:"chosen"`
	Best   Figure `json:"best"`
}

// Gap is the accuracy on pairs whose checker scores differ by From to To.
type Gap struct {
	From     float64 `json:"from"`
	To       float64 `json:"to,omitempty"` // 0: no limit
	Accuracy float64 `json:"pair_accuracy"`
	Pairs    int     `json:"pairs"`
}

// RunReward draws groups of pictures, count for each prompt, lets the reward score them, and hands every picture to keep, which
// may be nil.
func RunReward(ctx context.Context, p *diffusion.Pipeline, s rewards.Scorer, prompts []miniworld.Prompt, count int, opt Options,
	keep func(prompt int, im diffusion.Image, checker, score float64) error,
) (RewardReport, error) {
	var every []miniworld.Prompt
	for _, q := range prompts {
		for range count {
			every = append(every, q)
		}
	}
	truth, score := make([][]float64, len(prompts)), make([][]float64, len(prompts))
	err := Draw(ctx, p, every, opt, func(i int, im diffusion.Image, r miniworld.Result) error {
		v, err := rewards.ScoreSamples(ctx, s, []rewards.Sample{{Prompt: every[i].Text, Image: im.NRGBA}})
		if err != nil {
			return fmt.Errorf("prompt %q: %w", every[i].Text, err)
		}
		k := i / count
		truth[k], score[k] = append(truth[k], r.Score), append(score[k], v[0])
		if keep == nil {
			return nil
		}
		return keep(k, im, r.Score, v[0])
	})
	if err != nil {
		return RewardReport{}, err
	}
	return summariseReward(truth, score), nil
}

func summariseReward(truth, score [][]float64) RewardReport {
	r := RewardReport{Prompts: len(truth), Pictures: len(truth[0])}
	counts := make([]metric.Count, len(truth))
	byGap := make([]metric.Count, len(gaps)-1)
	var first, chosen, best, margins, ones []float64
	for k := range truth {
		top, most := 0, 0
		for i := range truth[k] {
			for j := range truth[k] {
				gap := truth[k][i] - truth[k][j]
				if gap <= MinGap {
					continue
				}
				margins, ones = append(margins, score[k][i]-score[k][j]), append(ones, 1)
				right := 0.0
				if score[k][i] > score[k][j] {
					right = 1
				}
				counts[k].Right += right
				counts[k].Total++
				for g := range byGap {
					if gap > gaps[g] && gap <= gaps[g+1] {
						byGap[g].Right += right
						byGap[g].Total++
					}
				}
			}
			if score[k][i] > score[k][top] {
				top = i
			}
			if truth[k][i] > truth[k][most] {
				most = i
			}
		}
		r.Pairs += int(counts[k].Total)
		first, chosen, best = append(first, truth[k][0]), append(chosen, truth[k][top]), append(best, truth[k][most])
	}
	r.Temperature = metric.FitTemperature(margins, ones)
	iv := metric.Bootstrap(len(counts), resamples, 1, 0.95, metric.SharesOf(counts))
	r.Accuracy = Figure{iv.Value, iv.Low, iv.High}
	for g, c := range byGap {
		if c.Total == 0 {
			continue
		}
		gap := Gap{From: gaps[g], To: gaps[g+1], Accuracy: c.Share(), Pairs: int(c.Total)}
		if math.IsInf(gap.To, 1) {
			gap.To = 0
		}
		r.ByGap = append(r.ByGap, gap)
	}
	r.First, r.Chosen, r.Best = Interval(first), Interval(chosen), Interval(best)
	return r
}
