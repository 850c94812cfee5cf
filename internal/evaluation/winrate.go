package evaluation

import (
	"math"
	"slices"

	"winnow/rewards/metric"
)

// WinRate compares two models by one scorer.
type WinRate struct {
	Scorer   string `json:"scorer"`
	Prompts  int    `json:"prompts"`  // with scores of both models
	Pictures int    `json:"pictures"` // of each model
	Missing  int    `json:"missing"`  // prompts left out
	// Rate is the share of the comparisons that A wins, ties counting half: of each prompt's pictures the i-th of A with the
	// i-th of B, then the mean over prompts.
	Rate       Figure   `json:"rate"`
	Difference Figure   `json:"difference"` // mean score of A − that of B
	Wins       int      `json:"wins"`       // prompts on which A wins more often than B
	Ties       int      `json:"ties"`
	Losses     int      `json:"losses"`
	P          Number   `json:"p"` // exact sign test over prompts, two-sided, ties left out
	MeanA      Number   `json:"mean_a"`
	MeanB      Number   `json:"mean_b"`
	MedianA    Number   `json:"median_a"`
	MedianB    Number   `json:"median_b"`
	Categories []Figure `json:"categories,omitempty"` // Rate of each; Metric is the category
}

// Contest is one prompt and what a scorer gives the pictures of both models, in order; NaN where it gives nothing.
type Contest struct {
	Prompt, Category string
	A, B             []float64
}

// Wins is the share of a prompt's comparisons that A wins; NaN where a picture has no score, or the numbers of pictures differ.
func (c *Contest) Wins() float64 {
	if len(c.A) == 0 || len(c.A) != len(c.B) {
		return math.NaN()
	}
	count := metric.WinRate(c.A, c.B)
	for i := range c.A {
		if math.IsNaN(c.A[i]) || math.IsNaN(c.B[i]) {
			return math.NaN()
		}
	}
	return count.Share()
}

// NewWinRate computes the win rate of A over B.
func NewWinRate(scorer string, contests []Contest) WinRate {
	r := WinRate{Scorer: scorer}
	var rates, differences, allA, allB []float64
	byCategory := map[string][]float64{}
	var categories []string
	for i := range contests {
		c := &contests[i]
		wins := c.Wins()
		if math.IsNaN(wins) {
			r.Missing++
			continue
		}
		switch {
		case wins > 0.5:
			r.Wins++
		case wins < 0.5:
			r.Losses++
		default:
			r.Ties++
		}
		rates = append(rates, wins)
		differences = append(differences, mean(c.A)-mean(c.B))
		allA, allB = append(allA, c.A...), append(allB, c.B...)
		if c.Category != "" {
			if _, ok := byCategory[c.Category]; !ok {
				categories = append(categories, c.Category)
			}
			byCategory[c.Category] = append(byCategory[c.Category], wins)
		}
	}
	r.Prompts, r.Pictures = len(rates), len(allA)
	r.Rate, r.Difference = meanFigure("win_rate", rates), meanFigure("difference", differences)
	r.P = Number(metric.McNemar(r.Wins, r.Losses))
	r.MeanA, r.MeanB, r.MedianA, r.MedianB = Number(mean(allA)), Number(mean(allB)), Number(median(allA)), Number(median(allB))
	for _, name := range categories {
		r.Categories = append(r.Categories, meanFigure(name, byCategory[name]))
	}
	return r
}

// meanFigure is the mean of one number a prompt.
func meanFigure(name string, values []float64) Figure {
	f := Figure{Metric: name, Of: len(values), Unit: "prompts", Value: Number(math.NaN()), Low: Number(math.NaN()), High: Number(math.NaN())}
	if len(values) > 0 {
		iv := metric.Bootstrap(len(values), resamples, seed, level, metric.MeanOf(values))
		f.Value, f.Low, f.High = Number(iv.Value), Number(iv.Low), Number(iv.High)
	}
	return f
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(x))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
