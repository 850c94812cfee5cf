package minibench

import (
	"context"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"winnow/vlmjudge"
)

// SimulatedJudge sees the checker's scores through known faults. Whatever it is asked, each picture in the question gets noise of its own,
// anew for every question but the same whenever that question is asked: a pair's log-odds have the standard deviation Noise, and a single
// picture's Noise/√2. So no way to ask is more exact by assumption.
type SimulatedJudge struct {
	Scale float64 `json:"scale"` // difference of the checker's scores that is one unit of log-odds
	Noise float64 `json:"noise"` // in log-odds
	Bias  float64 `json:"bias"`  // log-odds for the picture shown first
	Lapse float64 `json:"lapse"` // share of answers that have nothing to do with the pictures
	Votes bool    `json:"-"`     // one answer is sampled; else its probabilities are told
	Seed  uint64  `json:"seed"`
}

// questions are about one group.
type questions struct {
	SimulatedJudge
	truth  []float64
	centre float64 // checker score that the judge finds middling
	key    uint64  // of the group
}

// ask is the randomness of one question.
func (q questions) ask(kind string, numbers ...int) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(kind))
	for _, n := range numbers {
		h.Write([]byte{byte(n), byte(n >> 8), ' '})
	}
	return rand.New(rand.NewPCG(q.Seed^q.key, h.Sum64()))
}

// seen is what the judge makes of a picture in one question.
func (q questions) seen(r *rand.Rand, i int) float64 {
	return (q.truth[i]-q.centre)/q.Scale + q.Noise/math.Sqrt2*r.NormFloat64()
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// Compare asks about a pair in both orders.
func (q questions) Compare(_ context.Context, a, b int) (vlmjudge.Comparison, error) {
	x, y := q.first(a, b), q.first(b, a)
	return vlmjudge.Comparison{
		Swapped: vlmjudge.Swap(x, y), AFirst: vlmjudge.Answer{P: x}, BFirst: vlmjudge.Answer{P: y},
	}, nil
}

// first is the answer to whether i is better, shown first.
func (q questions) first(i, j int) float64 {
	r := q.ask("pair", i, j)
	p := sigmoid(q.seen(r, i) - q.seen(r, j) + q.Bias)
	p = (1-q.Lapse)*p + q.Lapse/2
	if !q.Votes {
		return p
	}
	if r.Float64() < p {
		return vlmjudge.Votes(1, 0, 0, .5)
	}
	return vlmjudge.Votes(0, 1, 0, .5)
}

// selects asks calls times which of all pictures is best, each time in another order; the scores are shares of the answers.
func (q questions) selects(calls int) []float64 {
	n := len(q.truth)
	scores := make([]float64, n)
	for k := range calls {
		r := q.ask("best", k)
		p, total := make([]float64, n), 0.0
		for place, i := range r.Perm(n) {
			x := q.seen(r, i)
			if place == 0 {
				x += q.Bias
			}
			p[i] = math.Exp(x)
			total += p[i]
		}
		at := r.Float64()
		for i := range p {
			p[i] = (1-q.Lapse)*p[i]/total + q.Lapse/float64(n)
			if q.Votes {
				if at >= 0 && at < p[i] {
					scores[i] += 1 / float64(calls)
				}
				at -= p[i]
				continue
			}
			scores[i] += p[i] / float64(calls)
		}
	}
	return scores
}

// rates asks about single pictures, one after the other until the calls are spent, for a mark of 1 to 5: four coins of which one more mark
// comes each, or their mean. A picture that was not asked about has 3.
func (q questions) rates(calls int) []float64 {
	const coins = 4
	n := len(q.truth)
	sum, asked := make([]float64, n), make([]float64, n)
	order := q.ask("order").Perm(n)
	for k := range calls {
		i := order[k%n]
		r := q.ask("mark", i, k/n)
		p := (1-q.Lapse)*sigmoid(q.seen(r, i)) + q.Lapse/2
		mark := 1 + coins*p
		if q.Votes {
			mark = 1
			for range coins {
				if r.Float64() < p {
					mark++
				}
			}
		}
		sum[i], asked[i] = sum[i]+mark, asked[i]+1
	}
	for i := range sum {
		if asked[i] == 0 {
			sum[i], asked[i] = 3, 1
		}
		sum[i] /= asked[i]
	}
	return sum
}
