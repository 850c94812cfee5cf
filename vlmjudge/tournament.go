package vlmjudge

import (
	"cmp"
	"context"
	"fmt"
	"image"
	"math"
)

// Tournament is what a judge makes of some pictures by comparing pairs of them, each shown in both orders.
type Tournament struct {
	Schedule string // that chose the pairs
	// Strengths of the pictures, in natural-log units with mean 0; higher is better. A picture that met no other one has 0, which says
	// nothing.
	Strengths []float64
	// StandardErrors are those of Strengths if each comparison were one vote: an upper bound where a judge's probabilities vary less.
	StandardErrors []float64
	Met            []int   // comparisons of each picture that have an answer
	Ties           float64 // ν of Davidson's model, where there is a tie band
	Pairs          int     // that were compared
	Failed         int     // comparisons without an answer, which are left out
	Borrowed       int     // pairs that the schedule Cascade took from the cheaper reward
	Lists          int     // questions that ordered several pictures
	Calls          int     // questions
	Tokens         Tokens  // of the answers
	Incomplete     string  // why fewer pairs were compared than the schedule wanted; "": all were
	Abstained      int     // pairs without a readable answer; they count as ties
	Turned         int     // pairs whose preferred picture depended on which was shown first
	Bias           float64 // mean log-odds for the picture shown first, over the pairs with an answer
	Cyclic         int     // triples in which the judge's preferences go round in a circle
	Triples        int     // that could be cyclic
	Matches        []Match // every pair compared, in the order of the questions

	covariance [][]float64 // of Strengths
}

// Match is one pair of a tournament: the pictures number A and B, A < B.
type Match struct {
	A, B int
	Comparison
}

// strengthPrior is the standard deviation of the strengths that a ranking expects. It keeps a picture finite that wins against all
// others, and pictures comparable that no chain of comparisons ties together; it is wide, since a judge's probabilities are never 0 or 1
// and a narrow one would take back what they say.
const strengthPrior = 30

// Tournament compares pictures of a prompt by a schedule, two questions a pair. Strengths are those of [BradleyTerryPrior], or, with a
// tie band, of [Davidson], over [Swapped].LogitMean, one comparison a pair. See [Rank] for budgets and failures.
func (j *Judge) Tournament(ctx context.Context, prompt string, images []image.Image, o RankOptions) (Tournament, error) {
	for i, img := range images {
		if err := checkPicture(fmt.Sprintf("picture %d", i+1), img); err != nil {
			return Tournament{}, err
		}
	}
	// A comparison puts two questions at once.
	o.Concurrency = cmp.Or(o.Concurrency, max(1, j.options.Concurrency/2))
	return Rank(ctx, len(images), CompareFunc(func(ctx context.Context, a, b int) (Comparison, error) {
		return j.Compare(ctx, prompt, images[a], images[b])
	}), o)
}

// Tally is what the matches of n pictures, at most one for each pair, amount to.
func Tally(n int, matches []Match) (Tournament, error) {
	c := newContest(n, nil, RankOptions{})
	for _, m := range matches {
		c.enter(m)
	}
	return c.finish(nil)
}

// settle counts what the matches show of the judge, and estimates the strengths.
func (t *Tournament) settle(c *contest) error {
	t.Pairs = len(t.Matches)
	judged := square[float64](c.n)
	for _, v := range t.Matches {
		if err := alike(t.Matches[0].AFirst, v.AFirst); err != nil {
			return err
		}
		judged[v.A][v.B], judged[v.B][v.A] = v.LogitMean, 1-v.LogitMean
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
	var err error
	if t.Cyclic, t.Triples, err = CyclicTriples(judged); err != nil {
		return err
	}
	var s Strengths
	if c.o.TieBand > 0 {
		var tied TiedStrengths
		tied, err = Davidson(c.wins, c.ties, strengthPrior)
		s, t.Ties = tied.Strengths, tied.Ties
	} else {
		s, err = BradleyTerryPrior(c.wins, strengthPrior)
	}
	if err != nil {
		return err
	}
	t.Strengths, t.StandardErrors, t.covariance = s.Theta, s.StandardErrors(), s.Covariance
	if t.Strengths == nil {
		t.Strengths = []float64{}
	}
	return nil
}

// Difference is by how much picture i is stronger than j, and the standard error of that.
func (t Tournament) Difference(i, j int) (gap, standardError float64) {
	return Strengths{t.Strengths, t.covariance}.Difference(i, j)
}

// Add sums the counts of tournaments about different prompts; strengths and matches stay with their own.
func (t Tournament) Add(u Tournament) Tournament {
	answered, more := float64(t.Pairs-t.Abstained), float64(u.Pairs-u.Abstained)
	sum := Tournament{
		Schedule: t.Schedule, Pairs: t.Pairs + u.Pairs, Failed: t.Failed + u.Failed, Borrowed: t.Borrowed + u.Borrowed, Lists: t.Lists + u.Lists,
		Calls: t.Calls + u.Calls, Tokens: t.Tokens.plus(u.Tokens), Incomplete: cmp.Or(t.Incomplete, u.Incomplete),
		Abstained: t.Abstained + u.Abstained, Turned: t.Turned + u.Turned, Cyclic: t.Cyclic + u.Cyclic, Triples: t.Triples + u.Triples,
	}
	switch {
	case t.Schedule == "":
		sum.Schedule = u.Schedule
	case u.Schedule != "" && u.Schedule != t.Schedule:
		sum.Schedule = "mixed"
	}
	if answered+more > 0 {
		sum.Bias = (t.Bias*answered + u.Bias*more) / (answered + more)
	}
	return sum
}

// Unmet counts the pictures of which no comparison tells anything.
func (t Tournament) Unmet() int {
	unmet := 0
	for _, met := range t.Met {
		if met == 0 && len(t.Met) > 1 {
			unmet++
		}
	}
	return unmet
}

// separated says whether neighbours in the order of strengths are apart by more than chance: 1.64 standard errors, one in twenty.
func separated(s Strengths, order []int) bool {
	for k := 1; k < len(order); k++ {
		gap, spread := s.Difference(order[k-1], order[k])
		if !(math.Abs(gap) > 1.64*spread) {
			return false
		}
	}
	return true
}
