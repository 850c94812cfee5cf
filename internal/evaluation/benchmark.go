package evaluation

import (
	"math"

	"gonum.org/v1/gonum/stat"

	"winnow/rewards/metric"
)

// chunk is the number of pictures of which HPSv2 averages the scores before it looks at their spread.
const chunk = 80

// Style is the scores of one style (category) of a generator benchmark.
type Style struct {
	Name     string `json:"name"` // "" for all
	Pictures int    `json:"pictures"`
	Mean     Number `json:"mean"`
	Low      Number `json:"low"` // 95 % bootstrap over prompts
	High     Number `json:"high"`
	Median   Number `json:"median"`
	// ChunkMean and ChunkStd are the mean and the population standard deviation of the means of 80 pictures in order, the last
	// chunk as it is: HPSv2 prints these, times 100 (tgxs002/HPSv2, hpsv2/evaluation.py).
	ChunkMean Number `json:"chunk_mean"`
	ChunkStd  Number `json:"chunk_std"`
	Chunks    int    `json:"chunks"`
}

// Benchmark describes the scores of one model's pictures by style, in the order that styles appear in; the last entry is all
// of them, with the chunks of every style. values has the scores of each prompt's pictures; NaN, and prompts without pictures,
// are left out.
func Benchmark(categories []string, values [][]float64) []Style {
	var order []string
	byStyle := map[string][][]float64{}
	for i, name := range categories {
		if _, ok := byStyle[name]; !ok {
			order = append(order, name)
		}
		byStyle[name] = append(byStyle[name], values[i])
	}
	var out []Style
	var chunks []float64
	for _, name := range order {
		s, mine := style(name, byStyle[name])
		chunks = append(chunks, mine...)
		out = append(out, s)
	}
	all, _ := style("", values)
	all.setChunks(chunks)
	if len(out) == 1 && out[0].Name == "" {
		return []Style{all}
	}
	return append(out, all)
}

func style(name string, values [][]float64) (Style, []float64) {
	var flat, perPrompt []float64
	for _, prompt := range values {
		var mine []float64
		for _, v := range prompt {
			if !math.IsNaN(v) {
				mine = append(mine, v)
			}
		}
		if len(mine) > 0 {
			perPrompt = append(perPrompt, mean(mine))
		}
		flat = append(flat, mine...)
	}
	s := Style{Name: name, Pictures: len(flat), Mean: Number(mean(flat)), Median: Number(median(flat)), Low: Number(math.NaN()), High: Number(math.NaN())}
	if len(perPrompt) > 1 {
		iv := metric.Bootstrap(len(perPrompt), resamples, seed, level, metric.MeanOf(perPrompt))
		s.Low, s.High = Number(iv.Low), Number(iv.High)
	}
	var chunks []float64
	for first := 0; first < len(flat); first += chunk {
		chunks = append(chunks, mean(flat[first:min(first+chunk, len(flat))]))
	}
	s.setChunks(chunks)
	return s, chunks
}

func (s *Style) setChunks(means []float64) {
	s.Chunks, s.ChunkMean, s.ChunkStd = len(means), Number(mean(means)), Number(math.NaN())
	if len(means) > 0 {
		s.ChunkStd = Number(stat.PopStdDev(means, nil))
	}
}
