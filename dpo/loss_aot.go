package dpo

import (
	"cmp"
	"slices"
)

// AOT is distributional preference alignment by optimal transport: Melnyk et al., NeurIPS 2024 (arXiv 2406.05882). Chosen
// pictures are to be better than rejected ones as a distribution, not pair by pair: two lists of a batch are sorted, and
// [LossCDPO] scores the differences of equals in rank. In the paired form the lists are the gaps of the policy's errors
// and of the reference's; in the unpaired one the rewards of chosen and of rejected pictures, whatever they were paired
// with. A batch of one is a pair of cdpo.
type AOT struct {
	Unpaired  bool
	Smoothing float64 // from 0, below ½
}

// Evaluate implements [Loss].
func (l AOT) Evaluate(scale float64, terms []Terms, grad []Grad) float64 {
	n := len(terms)
	up, down := make([]float64, n), make([]float64, n)
	for i, t := range terms {
		if l.Unpaired {
			up[i], down[i] = t.ImplicitRewards()
		} else {
			up[i], down[i] = t.PolicyRejected-t.PolicyChosen, t.RefRejected-t.RefChosen
		}
	}
	first, second := ranked(up), ranked(down)
	clear(grad)
	pair := LossCDPO(l.Smoothing)
	var mean float64
	for k := range n {
		i, j := first[k], second[k]
		value, slope, _ := pair(scale*(up[i]-down[j]), 0, terms[i])
		mean += value / float64(n)
		slope *= scale / float64(n)
		grad[i].Chosen -= slope
		if l.Unpaired {
			grad[j].Rejected += slope
		} else {
			grad[i].Rejected += slope
		}
	}
	return mean
}

// ranked are the indices of v from the least value to the largest, equals in their order.
func ranked(v []float64) []int {
	order := make([]int, len(v))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(v[i], v[j]) })
	return order
}

const paperAOT = "Melnyk et al., NeurIPS 2024, arXiv 2406.05882"

func infoAOT() LossInfo {
	return LossInfo{
		Name: "aot", Formula: "cdpo of sorted gaps of the policy minus sorted gaps of the reference", Paper: paperAOT,
		Smoothing: true, Batch: true, make: func(s lossSettings) Loss { return AOT{Smoothing: s.smoothing} },
	}
}

func infoAOTUnpaired() LossInfo {
	return LossInfo{
		Name: "aot-unpaired", Formula: "cdpo of sorted rewards of chosen minus sorted rewards of rejected pictures", Paper: paperAOT,
		Smoothing: true, Batch: true, make: func(s lossSettings) Loss { return AOT{Unpaired: true, Smoothing: s.smoothing} },
	}
}
