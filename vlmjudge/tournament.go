package vlmjudge

import (
	"context"
	"fmt"
	"image"
)

// Tournament is what a judge makes of every pair of some pictures, each shown in both orders.
type Tournament struct {
	Strengths []float64 // of the pictures, in natural-log units with mean 0; higher is better
	Pairs     int       // that were compared
	Abstained int       // pairs without a readable answer; they count as ties
	Turned    int       // pairs whose preferred picture depended on which was shown first
	Bias      float64   // mean log-odds for the picture shown first, over the pairs with an answer
	Cyclic    int       // triples in which the judge's preferences go round in a circle
	Triples   int       // that could be cyclic
}

// pseudoWins keeps a picture finite that wins against all others.
const pseudoWins = .5

// Tournament compares every pair of pictures: n·(n−1) questions. The strengths are those of [BradleyTerry] over
// [Swapped].LogitMean, one comparison a pair, with half a pseudo-win. done, where given, is called after each pair, by one
// goroutine at a time.
func (j *Judge) Tournament(ctx context.Context, prompt string, images []image.Image, done func()) (Tournament, error) {
	for i, img := range images {
		if err := checkPicture(fmt.Sprintf("picture %d", i+1), img); err != nil {
			return Tournament{}, err
		}
	}
	var pairs [][2]int
	for b := range images {
		for a := range b {
			pairs = append(pairs, [2]int{a, b})
		}
	}
	verdicts, turn := make([]Comparison, len(pairs)), make(chan struct{}, 1)
	// A comparison puts two questions at once.
	err := each(ctx, len(pairs), max(1, j.options.Concurrency/2), func(ctx context.Context, i int) (err error) {
		verdicts[i], err = j.Compare(ctx, prompt, images[pairs[i][0]], images[pairs[i][1]])
		if err == nil && done != nil {
			turn <- struct{}{}
			done()
			<-turn
		}
		return err
	})
	if err != nil {
		return Tournament{}, err
	}
	return tally(len(images), pairs, verdicts)
}

// tally counts a finished tournament of n pictures.
func tally(n int, pairs [][2]int, verdicts []Comparison) (t Tournament, err error) {
	wins := make([][]float64, n)
	for i := range wins {
		wins[i] = make([]float64, n)
	}
	t.Pairs = len(pairs)
	for i, v := range verdicts {
		if err := alike(verdicts[0].AFirst, v.AFirst); err != nil {
			return t, err
		}
		a, b := pairs[i][0], pairs[i][1]
		wins[a][b], wins[b][a] = v.LogitMean, 1-v.LogitMean
		if v.Abstained {
			t.Abstained++
			continue
		}
		t.Bias += v.Bias
		if (v.AFirst.P-.5)*(.5-v.BFirst.P) < 0 {
			t.Turned++
		}
	}
	if answered := t.Pairs - t.Abstained; answered > 0 {
		t.Bias /= float64(answered)
	}
	if t.Cyclic, t.Triples, err = CyclicTriples(wins); err != nil {
		return t, err
	}
	t.Strengths, err = BradleyTerry(wins, pseudoWins)
	return t, err
}

// Add sums the counts of tournaments about different prompts; strengths stay with their own.
func (t Tournament) Add(u Tournament) Tournament {
	answered, more := float64(t.Pairs-t.Abstained), float64(u.Pairs-u.Abstained)
	sum := Tournament{
		Pairs: t.Pairs + u.Pairs, Abstained: t.Abstained + u.Abstained, Turned: t.Turned + u.Turned,
		Cyclic: t.Cyclic + u.Cyclic, Triples: t.Triples + u.Triples,
	}
	if answered+more > 0 {
		sum.Bias = (t.Bias*answered + u.Bias*more) / (answered + more)
	}
	return sum
}
