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
	Matches   []Match   // every pair
}

// Match is one pair of a tournament: the pictures number A and B.
type Match struct {
	A, B int
	Comparison
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
	var matches []Match
	for b := range images {
		for a := range b {
			matches = append(matches, Match{A: a, B: b})
		}
	}
	turn := make(chan struct{}, 1)
	// A comparison puts two questions at once.
	err := each(ctx, len(matches), max(1, j.options.Concurrency/2), func(ctx context.Context, i int) (err error) {
		m := &matches[i]
		m.Comparison, err = j.Compare(ctx, prompt, images[m.A], images[m.B])
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
	return Tally(len(images), matches)
}

// Tally is what the matches of n pictures, at most one for each pair, amount to.
func Tally(n int, matches []Match) (t Tournament, err error) {
	wins := make([][]float64, n)
	for i := range wins {
		wins[i] = make([]float64, n)
	}
	t.Pairs, t.Matches = len(matches), matches
	for _, v := range matches {
		if err := alike(matches[0].AFirst, v.AFirst); err != nil {
			return t, err
		}
		wins[v.A][v.B], wins[v.B][v.A] = v.LogitMean, 1-v.LogitMean
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

// Add sums the counts of tournaments about different prompts; strengths and matches stay with their own.
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
