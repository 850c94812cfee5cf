package evaluation

import (
	"math"

	"winnow/rewards/metric"
)

// choice is one comparison of two pictures of a record.
type choice struct {
	record, first, second int32
	human                 float64 // 1, 0, 0.5 for a tie, NaN where it is not known
}

// choices lists every pair of pictures of every record, with the records of a prompt as one cluster.
func (s *Set) choices() ([]choice, *clusters) {
	n := 0
	for _, e := range s.entries {
		n += int(e.pictures*(e.pictures-1)) / 2
	}
	out, by := make([]choice, 0, n), &clusters{}
	for i := range s.entries {
		e := &s.entries[i]
		for a := range e.pictures {
			for b := a + 1; b < e.pictures; b++ {
				by.add(e.prompt, len(out))
				out = append(out, choice{int32(i), a, b, e.prefers(int(a), int(b))})
			}
		}
	}
	return out, by
}

// margin is how much more a scorer likes the first picture of a choice; NaN where it has no scores.
func (c *Scorer) margin(x choice) float64 {
	v := c.Values(int(x.record))
	if v == nil {
		return math.NaN()
	}
	return v[x.first] - v[x.second]
}

// decided says whether people prefer one of the pictures.
func (x choice) decided() bool { return x.human == 0 || x.human == 1 }

// right says whether a margin has the sign of the human choice; equal scores are wrong.
func (x choice) right(margin float64) bool {
	return margin > 0 && x.human == 1 || margin < 0 && x.human == 0
}

// Comparison is two scorers on the decided pairs that both have scored.
type Comparison struct {
	A         string `json:"a"`
	B         string `json:"b"`
	Pairs     int    `json:"pairs"`
	Prompts   int    `json:"prompts"`
	AccuracyA Number `json:"accuracy_a"` // share of the pairs on which the scorer's choice is the human one
	AccuracyB Number `json:"accuracy_b"`
	// Difference is a − b with its 95 % interval, P its two-sided p-value: a paired bootstrap over prompts.
	Difference Number `json:"difference"`
	Low        Number `json:"low"`
	High       Number `json:"high"`
	P          Number `json:"p"`
	OnlyA      int    `json:"only_a"` // pairs that only a got right
	OnlyB      int    `json:"only_b"`
	// McNemar is the exact p-value that takes pairs for independent; those of one prompt are not, so it is too small where
	// prompts have many pairs.
	McNemar Number `json:"mcnemar_p"`
}

// Comparisons compares each pair of scorers.
func (s *Set) Comparisons() []Comparison {
	if len(s.scorers) < 2 {
		return nil
	}
	all, by := s.choices()
	var out []Comparison
	for i, a := range s.scorers {
		for _, b := range s.scorers[i+1:] {
			out = append(out, compare(a, b, all, by.members))
		}
	}
	return out
}

func compare(a, b *Scorer, all []choice, lists [][]int32) Comparison {
	r := Comparison{A: a.Name, B: b.Name}
	var ofA, ofB []metric.Count
	for _, list := range lists {
		var ca, cb metric.Count
		for _, at := range list {
			x := all[at]
			ma, mb := a.margin(x), b.margin(x)
			if !x.decided() || math.IsNaN(ma) || math.IsNaN(mb) {
				continue
			}
			ca.Total++
			ra, rb := x.right(ma), x.right(mb)
			switch {
			case ra && rb:
				ca.Right, cb.Right = ca.Right+1, cb.Right+1
			case ra:
				ca.Right++
				r.OnlyA++
			case rb:
				cb.Right++
				r.OnlyB++
			}
		}
		if cb.Total = ca.Total; ca.Total > 0 {
			ofA, ofB = append(ofA, ca), append(ofB, cb)
			r.Pairs += int(ca.Total)
		}
	}
	r.Prompts = len(ofA)
	if r.Pairs == 0 {
		nan := Number(math.NaN())
		r.AccuracyA, r.AccuracyB, r.Difference, r.Low, r.High, r.P, r.McNemar = nan, nan, nan, nan, nan, nan, nan
		return r
	}
	d := metric.PairedBootstrap(len(ofA), resamples, seed, level, metric.SharesOf(ofA), metric.SharesOf(ofB))
	every := make([]int, len(ofA))
	for i := range every {
		every[i] = i
	}
	r.AccuracyA, r.AccuracyB = Number(metric.SharesOf(ofA)(every)), Number(metric.SharesOf(ofB)(every))
	r.Difference, r.Low, r.High, r.P = Number(d.Value), Number(d.Low), Number(d.High), Number(d.P)
	r.McNemar = Number(metric.McNemar(r.OnlyA, r.OnlyB))
	return r
}

// Human is the name of the people in an agreement matrix.
const Human = "human"

// Agreement is how often scorers, and the people, choose the same picture of two.
type Agreement struct {
	Names []string `json:"names"` // the last is Human
	// Share[i][j] is over the pairs that both have answered: 1 for the same picture, or both a tie, ½ where one has a tie.
	Share [][]Number `json:"share"`
	Pairs [][]int    `json:"pairs"`
}

// Agreement compares all scorers with each other and with the people.
func (s *Set) Agreement() Agreement {
	all, _ := s.choices()
	n := len(s.scorers) + 1
	r := Agreement{Share: make([][]Number, n), Pairs: make([][]int, n)}
	signs := make([][]float64, n) // NaN, -1, 0, 1
	for i := range n {
		r.Share[i], r.Pairs[i] = make([]Number, n), make([]int, n)
		for _, x := range all {
			if i < len(s.scorers) {
				signs[i] = append(signs[i], sign(s.scorers[i].margin(x)))
			} else {
				signs[i] = append(signs[i], sign(x.human-0.5))
			}
		}
	}
	for _, c := range s.scorers {
		r.Names = append(r.Names, c.Name)
	}
	r.Names = append(r.Names, Human)
	for i := range n {
		for j := range n {
			sum := 0.0
			for k := range all {
				if a, b := signs[i][k], signs[j][k]; !math.IsNaN(a) && !math.IsNaN(b) {
					sum += 1 - math.Abs(a-b)/2
					r.Pairs[i][j]++
				}
			}
			r.Share[i][j] = Number(sum / float64(r.Pairs[i][j]))
		}
	}
	return r
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x // 0 or NaN
}
