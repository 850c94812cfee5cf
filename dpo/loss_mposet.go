package dpo

import "math"

// LossMPOSet is −log Σ⁺ w·e^r + log Σ w·e^r over the pictures of a prompt, where r are implicit rewards times beta: the
// second sum runs over all of them, the first over those whose score is above the prompt's mean. w is |score −
// mean|^power. Gupta et al., "Multi-Preference Optimization: Generalizing DPO via Set-Level Contrasts", 2024 (arXiv
// 2412.04628), in a form of our own: the paper weighs inside the exponent, and the two sides differently. Two pictures are
// a pair of the sigmoid loss. A prompt whose scores are all equal has no loss.
//
// MPO is not [MaPO], and not [LossMaPPO].
func LossMPOSet(power float64) Loss {
	return groupLoss(func(pictures []member, slopes []float64) float64 {
		if unscored(pictures, slopes) {
			return math.NaN()
		}
		n := float64(len(pictures))
		var mean, rewards float64
		for _, m := range pictures {
			mean += m.score / n
			rewards += m.reward / n
		}
		all, above := make([]float64, len(pictures)), make([]float64, len(pictures))
		some := false
		for k, m := range pictures {
			all[k], above[k] = m.reward+power*math.Log(math.Abs(m.score-mean)), math.Inf(-1)
			if power == 0 {
				all[k] = m.reward // also where the score is the mean
			}
			if m.score > mean {
				above[k], some = all[k], true
			}
		}
		if !some {
			return 0 * rewards // a NaN shows
		}
		loss := softmax(all) - softmax(above)
		for k := range slopes {
			slopes[k] = all[k] - above[k]
		}
		return loss
	})
}

func infoMPOSet() LossInfo {
	return LossInfo{
		Name: "mpo-set", Formula: "−log Σ⁺ w·e^r + log Σ w·e^r, ⁺ over scores above the prompt's mean, w = |score − mean|^power", Paper: "Gupta et al., 2024, arXiv 2412.04628, in a form of our own",
		Scores: true, Groups: true, Batch: true,
		Options: []LossOption{{Name: "power", What: "of the distance from the mean score", Default: 1, Low: 0, High: 10}},
		make:    func(s lossSettings) Loss { return LossMPOSet(s.option["power"]) },
	}
}
