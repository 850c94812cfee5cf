package minibench

import (
	"context"
	"fmt"
	"math"
	"slices"

	"winnow/diffusion"
	"winnow/internal/miniworld"
	"winnow/rewards"
	"winnow/rewards/metric"
	"winnow/vlmjudge"
)

// JudgeGroup is the pictures of one prompt.
type JudgeGroup struct {
	Prompt  string    `json:"prompt"`
	Checker []float64 `json:"checker"` // scores, the truth
	Reward  []float64 `json:"reward"`  // of the embedded reward
}

// JudgeGroups draws groups of pictures for RunJudges, count for each prompt.
func JudgeGroups(ctx context.Context, p *diffusion.Pipeline, s rewards.Scorer, prompts []miniworld.Prompt, count int, opt Options) ([]JudgeGroup, error) {
	groups := make([]JudgeGroup, len(prompts))
	_, err := RunReward(ctx, p, s, prompts, count, opt, func(k int, _ diffusion.Image, checker, score float64) error {
		g := &groups[k]
		g.Prompt, g.Checker, g.Reward = prompts[k].Text, append(g.Checker, checker), append(g.Reward, score)
		return nil
	})
	return groups, err
}

// JudgeOptions says how to compare ways to ask a judge.
type JudgeOptions struct {
	Judge       SimulatedJudge
	Calls       []int // questions a group
	Repeats     int   // judges with other noise for each group, whose figures are averaged; 0: 5
	Temperature float64
	OnGroup     func(done, total int)
}

// Ways to ask besides vlmjudge's schedules.
const (
	Selection = "selection" // which of all pictures is best?
	Pointwise = "pointwise" // a mark for each picture
	ByReward  = "reward"    // nobody is asked
)

// JudgeReport is one way to ask at one budget, against the order of the checker's scores.
type JudgeReport struct {
	Method   string  `json:"method"`
	Answers  string  `json:"answers"` // "probabilities" or "votes"
	Budget   int     `json:"budget"`  // questions a group
	Groups   int     `json:"groups"`
	Calls    float64 `json:"calls"`    // spent, mean
	Pictures float64 `json:"pictures"` // shown in them, mean
	Tau      Figure  `json:"kendall_tau_b"`
	Regret   Figure  `json:"top1_regret"` // of the checker's score, from the best picture of a group to the one ranked first
	// Paired differences to other methods at the same budget, by "METHOD, ANSWERS". Regret less than 0 is better.
	OverTau    map[string]Difference `json:"tau_over,omitempty"`
	OverRegret map[string]Difference `json:"regret_over,omitempty"`

	tau, regret []float64 // by group; tau NaN where the checker's scores are all equal
}

func (r *JudgeReport) key() string { return r.Method + ", " + r.Answers }

// Answers of a judge.
const (
	Probabilities = "probabilities"
	VotesOnly     = "votes"
)

// RunJudges compares ways to ask a simulated judge at equal numbers of questions. Schedules that end early spend the rest as Active does.
// The cascade alone is told the embedded reward.
func RunJudges(ctx context.Context, groups []JudgeGroup, o JudgeOptions) ([]JudgeReport, error) {
	if o.Repeats == 0 {
		o.Repeats = 5
	}
	centre, pictures := 0.0, 0.0
	for _, g := range groups {
		for _, v := range g.Checker {
			centre, pictures = centre+v, pictures+1
		}
	}
	centre /= pictures
	methods := append(vlmjudge.Schedules(), Selection, Pointwise)
	out := []JudgeReport{{Method: ByReward, Answers: Probabilities}}
	for _, calls := range o.Calls {
		for _, method := range methods {
			for _, answers := range []string{Probabilities, VotesOnly} {
				out = append(out, JudgeReport{Method: method, Answers: answers, Budget: calls})
			}
		}
	}
	for k := range groups {
		for i := range out {
			if err := out[i].group(ctx, &groups[k], k, centre, o); err != nil {
				return nil, fmt.Errorf("prompt %q: %w", groups[k].Prompt, err)
			}
		}
		if o.OnGroup != nil {
			o.OnGroup(k+1, len(groups))
		}
	}
	for i := range out {
		out[i].summarise(len(groups))
	}
	compareJudged(out)
	return out, nil
}

// group adds the figures of one group.
func (r *JudgeReport) group(ctx context.Context, g *JudgeGroup, number int, centre float64, o JudgeOptions) error {
	tau, regret := 0.0, 0.0
	for repeat := range o.Repeats {
		q := questions{SimulatedJudge: o.Judge, truth: g.Checker, centre: centre, key: uint64(number)<<20 | uint64(repeat)<<1}
		q.Votes = r.Answers == VotesOnly
		scores, calls, shown, err := q.by(ctx, r, g, o)
		if err != nil {
			return err
		}
		tau += kendall(g.Checker, scores) / float64(o.Repeats)
		regret += regretOf(g.Checker, scores) / float64(o.Repeats)
		r.Calls += float64(calls) / float64(o.Repeats)
		r.Pictures += float64(shown) / float64(o.Repeats)
	}
	r.tau, r.regret = append(r.tau, tau), append(r.regret, regret)
	return nil
}

// by gives scores, the questions asked and the pictures shown in them.
func (q questions) by(ctx context.Context, r *JudgeReport, g *JudgeGroup, o JudgeOptions) (scores []float64, calls, shown int, err error) {
	switch r.Method {
	case ByReward:
		return g.Reward, 0, 0, nil
	case Selection:
		return q.selects(r.Budget), r.Budget, r.Budget * len(q.truth), nil
	case Pointwise:
		return q.rates(r.Budget), r.Budget, r.Budget, nil
	}
	options := vlmjudge.RankOptions{Schedule: r.Method, Calls: r.Budget, Spend: true, Seed: q.Seed ^ q.key}
	if r.Method == vlmjudge.Cascade {
		for _, v := range g.Reward {
			options.Prior = append(options.Prior, v/o.Temperature)
		}
	}
	t, err := vlmjudge.Rank(ctx, len(q.truth), q, options)
	return t.Strengths, t.Calls, 2 * t.Calls, err
}

// kendall is tau-b; 0 where all scores are equal, NaN where the truth is.
func kendall(truth, scores []float64) float64 {
	rank := make([]float64, len(truth))
	for i, v := range truth {
		rank[i] = -v
	}
	tau := metric.KendallTauB([]metric.Group{{Rank: rank, Score: scores}})
	if math.IsNaN(tau) && slices.Max(truth) > slices.Min(truth) {
		return 0
	}
	return tau
}

// regretOf is how much the picture ranked first lacks to the best, the mean over pictures that share the first place.
func regretOf(truth, scores []float64) float64 {
	top, sum, first := slices.Max(scores), 0.0, 0.0
	for i, s := range scores {
		if s == top {
			sum, first = sum+truth[i], first+1
		}
	}
	return slices.Max(truth) - sum/first
}

// summarise turns sums into means. Groups without an order of their own tell nothing of tau.
func (r *JudgeReport) summarise(groups int) {
	r.Groups = groups
	r.Calls, r.Pictures = r.Calls/float64(groups), r.Pictures/float64(groups)
	r.tau = slices.DeleteFunc(r.tau, math.IsNaN)
	r.Tau, r.Regret = Interval(r.tau), Interval(r.regret)
}

// compareJudged compares all methods with selection and pointwise scoring at the same budget.
func compareJudged(all []JudgeReport) {
	for i := range all {
		r := &all[i]
		if r.Method == ByReward {
			continue
		}
		r.OverTau, r.OverRegret = map[string]Difference{}, map[string]Difference{}
		for k := range all {
			base := &all[k]
			if k == i || base.Budget != r.Budget || base.Method != Selection && base.Method != Pointwise {
				continue
			}
			r.OverTau[base.key()], r.OverRegret[base.key()] = paired(r.tau, base.tau), paired(r.regret, base.regret)
		}
	}
}

func paired(a, b []float64) Difference {
	d := metric.PairedBootstrap(len(a), resamples, 1, 0.95, metric.MeanOf(a), metric.MeanOf(b))
	return Difference{Figure{d.Value, d.Low, d.High}, d.P}
}
