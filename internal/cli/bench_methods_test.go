package cli

import (
	"testing"

	"winnow/internal/minibench"
)

// A trial is chosen by the labelling reward over all guidance scales; of equals the earlier one.
func TestMethodsBench_best(t *testing.T) {
	trial := func(plain, guided float64) *task {
		return &task{run: minibench.MethodRun{Scores: map[string]minibench.Scores{
			"1": {"reward": {plain - 1, plain + 1}, "score": {9, 9}}, "3": {"reward": {guided, guided}, "score": {0, 0}},
		}}}
	}
	b := &methodsBench{protocol: &minibench.Protocol{Guidance: []float64{1, 3}}}
	for want, trials := range [][]*task{
		{trial(2, 2), trial(3, 0.5), trial(1, 3)},
		{trial(3, 0.5), trial(2, 2), trial(1, 2.5)},
		{trial(0, 2), trial(3, -2), trial(-1, 4)},
	} {
		if got := b.best(trials); got != want {
			t.Errorf("case %d: trial %d", want, got)
		}
	}
}
