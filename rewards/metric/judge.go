package metric

import "math"

// Verdict is a judge's answer about one pair, asked in both orders: the probability that the first picture is better when
// it is shown first, and when it is shown second. NaN stands for no answer. Label is as in Pair, decided.
type Verdict struct {
	Label, ShownFirst, ShownSecond float64
}

// BothOrders are the five figures of a judge asked in both orders (judge.both_orders).
type BothOrders struct {
	Consistent   Count   // right in both orders
	Mean         Count   // every order counts by itself (Multimodal RewardBench 2)
	Soft         float64 // mean probability of the human choice, averaged over the orders
	PositionBias float64 // mean probability of whatever is shown first, less ½
	Abstained    Count   // answers missing, of two per pair
}

// Judge evaluates verdicts. A probability of ½ is no choice and counts as wrong. Pairs without both answers are in Mean and
// Abstained only.
func Judge(verdicts []Verdict) BothOrders {
	var r BothOrders
	soft, shown, n := 0.0, 0.0, 0.0
	for _, v := range verdicts {
		right, answers := 0.0, 0.0
		for _, p := range []float64{v.ShownFirst, v.ShownSecond} {
			r.Abstained.Total++
			if math.IsNaN(p) {
				r.Abstained.Right++
				continue
			}
			answers++
			if p != 0.5 && (p > 0.5) == (v.Label > 0.5) {
				right++
			}
		}
		r.Mean.Right += right
		r.Mean.Total += answers
		if answers < 2 {
			continue
		}
		r.Consistent.Total++
		if right == 2 {
			r.Consistent.Right++
		}
		p := (v.ShownFirst + v.ShownSecond) / 2
		if v.Label < 0.5 {
			p = 1 - p
		}
		soft += p
		shown += (v.ShownFirst + 1 - v.ShownSecond) / 2
		n++
	}
	r.Soft, r.PositionBias = soft/n, shown/n-0.5
	return r
}
