package vlmjudge

import (
	"errors"
	"fmt"
	"math"
)

// VQAScore is the probability of an answer ("Yes" and the end of the text, say) to the question whether the picture
// shows the prompt, as the published scorer of that name defines it: the geometric mean of the probabilities of the
// answer's tokens, exp(−mean cross-entropy), in 0..1. It is not P(yes)/(P(yes)+P(no)). logprobs are the natural
// logarithms of the tokens' probabilities, each given the ones before it. (Lin et al., arXiv 2404.01291, section 3, and
// the code of t2v_metrics.)
func VQAScore(logprobs []float64) (float64, error) {
	if len(logprobs) == 0 {
		return math.NaN(), errors.New("vlmjudge: VQAScore of an answer without tokens")
	}
	var sum float64
	for k, l := range logprobs {
		if !(l <= 0) {
			return math.NaN(), fmt.Errorf("vlmjudge: token %d of the answer has log-probability %v, want 0 or less", k, l)
		}
		sum += l
	}
	return math.Exp(sum / float64(len(logprobs))), nil
}
