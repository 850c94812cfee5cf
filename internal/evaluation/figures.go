package evaluation

import (
	"fmt"
	"math"

	"winnow/datasets"
	"winnow/rewards/metric"
)

// seed makes every interval repeatable.
const seed = 1

// average is a figure that is a mean over groups, of those that have a value. Groups of one prompt are drawn together.
func (p *part) average(name string, of func([]metric.Group) float64) Figure {
	n := 0
	sums := perCluster(&p.groupPrompts, p.groups, func(groups []metric.Group) (sum metric.Count) {
		for i := range groups {
			if v := of(groups[i : i+1]); !math.IsNaN(v) {
				sum.Right += v
				sum.Total++
				n++
			}
		}
		return sum
	})
	iv := metric.Bootstrap(len(sums), resamples, seed, level, metric.SharesOf(sums))
	return Figure{Metric: name, Value: Number(iv.Value), Low: Number(iv.Low), High: Number(iv.High), Of: n, Unit: "prompts"}
}

// pooled is a figure that is a share over all comparisons.
func pooled(name string, clusters []metric.Count) Figure {
	var total metric.Count
	for _, c := range clusters {
		total.Right += c.Right
		total.Total += c.Total
	}
	iv := metric.Bootstrap(len(clusters), resamples, seed, level, metric.SharesOf(clusters))
	w := metric.Wilson(total, level)
	low, high := Number(w.Low), Number(w.High)
	return Figure{
		Metric: name, Value: Number(iv.Value), Low: Number(iv.Low), High: Number(iv.High),
		WilsonLow: &low, WilsonHigh: &high, Of: int(total.Total), Unit: "pairs",
	}
}

// groupFigures are the figures of ranked groups. The first ones are those that the set's own evaluation reports.
func (p *part) groupFigures(format datasets.Format) []Figure {
	counts := func(of func([]metric.Group) metric.Count) []metric.Count {
		return perCluster(&p.groupPrompts, p.groups, of)
	}
	micro := "imagereward.pair_micro"
	var out []Figure
	if format == "hpdv2" {
		micro = "hpdv2.pair_micro_no_ties"
		out = append(out, p.average("hpdv2.inversion", metric.Inversion))
	}
	out = append(out, pooled(micro, counts(metric.PairMicro)))
	if micro == "imagereward.pair_micro" {
		out = append(out, p.average("hpsv2.imagereward_macro", metric.PairMacro))
	}
	if votes := counts(metric.RawVotes); anyPairs(votes) {
		out = append(out, pooled("hpdv2.raw_votes", votes))
	}
	if people := counts(metric.SingleHuman); anyPairs(people) {
		out = append(out, pooled("hpdv2.single_human", people))
		out[len(out)-1].Note = "annotators against each other: the same for every scorer"
	}
	tie := metric.PairwiseTieOptimal(p.groups)
	return append(out,
		p.average("best_of_n", metric.BestOfN),
		p.average("top1_soft", metric.Top1Soft),
		p.average("kendall_tau_b", metric.KendallTauB),
		p.average("spearman", metric.Spearman),
		Figure{
			Metric: "pairwise_acc_tie_opt", Value: Number(tie.Accuracy), Low: Number(math.NaN()), High: Number(math.NaN()),
			Of: tie.Pairs, Unit: "pairs",
			Note: fmt.Sprintf("ties at a difference of %.4g, chosen on the same data", tie.Epsilon),
		})
}

func anyPairs(counts []metric.Count) bool {
	for _, c := range counts {
		if c.Total > 0 {
			return true
		}
	}
	return false
}

// pairFigures are the figures of pairs.
func (p *part) pairFigures(threshold float64) []Figure {
	of := func(f func([]metric.Pair) metric.Count) []metric.Count { return perCluster(&p.pairPrompts, p.pairs, f) }
	out := []Figure{pooled("pickapic.no_ties", of(metric.NoTies))}
	if !math.IsNaN(threshold) {
		f := pooled("pickapic.tie_threshold", of(func(pairs []metric.Pair) metric.Count { return metric.TieThreshold(pairs, threshold) }))
		f.WilsonLow, f.WilsonHigh = nil, nil // half points are no shares of right answers
		f.Note = fmt.Sprintf("threshold %.1f; random probabilities would have %.4f", threshold, metric.RandomBaseline(p.pairs, threshold))
		out = append(out, f)
	}
	return out
}

// perCluster applies f to the comparisons of every prompt.
func perCluster[C, R any](c *clusters, all []C, f func([]C) R) []R {
	out := make([]R, len(c.members))
	var mine []C
	for i, list := range c.members {
		mine = mine[:0]
		for _, at := range list {
			mine = append(mine, all[at])
		}
		out[i] = f(mine)
	}
	return out
}

// judgeFigures are the five of judge.both_orders.
func (p *part) judgeFigures() []Figure {
	of := func(f func(metric.BothOrders) metric.Count) []metric.Count {
		return perCluster(&p.verdictPrompts, p.verdicts, func(v []metric.Verdict) metric.Count { return f(metric.Judge(v)) })
	}
	out := []Figure{
		pooled("judge.consistent", of(func(b metric.BothOrders) metric.Count { return b.Consistent })),
		pooled("judge.mean", of(func(b metric.BothOrders) metric.Count { return b.Mean })),
		p.judgeMean("judge.soft", func(b metric.BothOrders) float64 { return b.Soft }),
		p.judgeMean("judge.position_bias", func(b metric.BothOrders) float64 { return b.PositionBias }),
		pooled("judge.abstained", of(func(b metric.BothOrders) metric.Count { return b.Abstained })),
	}
	out[1].Unit, out[4].Unit = "answers", "answers"
	return out
}

// judgeMean is a mean over the pairs that were answered in both orders.
func (p *part) judgeMean(name string, of func(metric.BothOrders) float64) Figure {
	sums := perCluster(&p.verdictPrompts, p.verdicts, func(v []metric.Verdict) metric.Count {
		b := metric.Judge(v)
		if b.Consistent.Total == 0 {
			return metric.Count{}
		}
		return metric.Count{Right: of(b) * b.Consistent.Total, Total: b.Consistent.Total}
	})
	f := pooled(name, sums)
	f.WilsonLow, f.WilsonHigh = nil, nil // it is no share of right answers
	return f
}
