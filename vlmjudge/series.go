package vlmjudge

import (
	"cmp"
	"context"
	"fmt"
	"image"
	"math"
	"slices"
	"sync"
)

// SeriesOptions says how pictures that come one after another are compared. The zero value has the defaults.
type SeriesOptions struct {
	// Comparisons is how many pictures seen before each one is compared with, in both orders: the first near the middle, the next near
	// what is known by then. 0: 3. A picture that seems better than all before is also compared with the best of them.
	Comparisons int
	// Anchors is how many pictures are remembered, spread over the scores, the best always among them. 0: 8; more than Comparisons.
	Anchors int
}

// Series scores pictures of one prompt by comparing each with some that came before. A score is a strength of the Bradley-Terry model in
// natural-log units, like those of [Tournament], on the scale on which the first picture has 0; it never changes afterwards, so that
// scores of a whole search can be compared. It is for one search at a time: calls follow each other.
type Series struct {
	judge  *Judge
	prompt string
	o      SeriesOptions
	pool   []rated // ascending scores

	mu     sync.Mutex
	counts SeriesCounts
	answer *Answer // the first that could be read, which all others must be like
}

// SeriesCounts is what a series has asked.
type SeriesCounts struct {
	Pairs     int    `json:"pairs"`     // that were compared, two questions each
	Abstained int    `json:"abstained"` // without a readable answer
	Failed    int    `json:"failed"`    // without an answer
	Tokens    Tokens `json:"tokens"`
}

// rated is a picture that is remembered with its score.
type rated struct {
	image image.Image
	score float64
}

// Series begins to score pictures of a prompt.
func (j *Judge) Series(prompt string, o SeriesOptions) (*Series, error) {
	fill(&o.Comparisons, 3)
	fill(&o.Anchors, max(8, o.Comparisons+1))
	if o.Comparisons < 1 || o.Anchors <= o.Comparisons {
		return nil, fmt.Errorf("vlmjudge: a series of %d comparisons a picture and %d pictures remembered; want at least one, and more of the latter",
			o.Comparisons, o.Anchors)
	}
	return &Series{judge: j, prompt: prompt, o: o}, checkPrompt(prompt)
}

// Counts sums up what was asked so far.
func (s *Series) Counts() SeriesCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Score is the strength of each picture, NaN for one of which the judge said nothing that can be read, or did not answer. It is an error,
// and nothing is remembered, when the context ends, or when no picture has a score and some question failed.
func (s *Series) Score(ctx context.Context, images []image.Image) ([]float64, error) {
	for i, img := range images {
		if err := checkPicture(fmt.Sprintf("picture %d", i+1), img); err != nil {
			return nil, err
		}
	}
	news, pool := make([]newcomer, len(images)), slices.Clone(s.pool)
	for i, img := range images {
		news[i].rated = rated{img, math.NaN()}
	}
	// One by one until there are enough to be compared with, then all at once: what they say does not depend on each other.
	alone := 0
	for ; alone < len(news) && len(pool) < s.o.Comparisons; alone++ {
		n := &news[alone]
		if err := s.place(ctx, n, pool); err != nil {
			return nil, err
		}
		pool = join(pool, n.rated)
	}
	err := each(ctx, len(news)-alone, max(1, s.judge.options.Concurrency/2), func(ctx context.Context, i int) error {
		return s.place(ctx, &news[alone+i], pool)
	})
	if err == nil {
		err = s.duel(ctx, news[alone:], pool)
	}
	if err != nil {
		return nil, err
	}
	scores := make([]float64, len(news))
	var failed error
	scored := false
	for i, n := range news {
		scores[i] = n.score
		scored = scored || !math.IsNaN(n.score)
		if failed == nil {
			failed = n.failed
		}
	}
	if !scored && failed != nil {
		return nil, failed
	}
	return scores, s.Recall(images, scores)
}

// Recall remembers pictures with the scores that Score gave them in another run: a series that is told of all of them, call by call, goes on
// as the other one would.
func (s *Series) Recall(images []image.Image, scores []float64) error {
	if len(images) != len(scores) {
		return fmt.Errorf("vlmjudge: %d pictures with %d scores", len(images), len(scores))
	}
	for i, img := range images {
		s.pool = join(s.pool, rated{img, scores[i]})
	}
	for len(s.pool) > s.o.Anchors {
		// The one that leaves the smallest gap behind; the worst and the best stay.
		drop, least := 1, math.Inf(1)
		for i := 1; i < len(s.pool)-1; i++ {
			if gap := s.pool[i+1].score - s.pool[i-1].score; gap < least {
				drop, least = i, gap
			}
		}
		s.pool = slices.Delete(s.pool, drop, drop+1)
	}
	return nil
}

// join is a new pool with one more picture, if that has a score.
func join(pool []rated, r rated) []rated {
	if math.IsNaN(r.score) {
		return pool
	}
	i, _ := slices.BinarySearchFunc(pool, r.score, func(a rated, score float64) int {
		if a.score <= score {
			return -1
		}
		return 1
	})
	return slices.Insert(slices.Clone(pool), i, r)
}

// newcomer is a picture that is being scored.
type newcomer struct {
	rated
	met    []bool // of the pool
	won    []float64
	by     []float64 // scores of those that it was compared with
	failed error
}

// place compares a newcomer with some of the pool. The first picture of a series is compared with itself: one that the judge cannot read
// must not become what all others are measured by.
func (s *Series) place(ctx context.Context, n *newcomer, pool []rated) error {
	if len(pool) == 0 {
		_, readable, err := s.compare(ctx, n, n.image)
		if readable {
			n.score = 0
		}
		return err
	}
	n.met = make([]bool, len(pool))
	for range min(s.o.Comparisons, len(pool)) {
		at := n.score
		if math.IsNaN(at) {
			at = middle(pool)
		}
		if err := s.meet(ctx, n, pool, nearest(pool, n.met, at)); err != nil {
			return err
		}
	}
	if best := len(pool) - 1; n.score >= pool[best].score && !n.met[best] {
		return s.meet(ctx, n, pool, best)
	}
	return nil
}

// meet compares a newcomer with number k of the pool, and scores it by all that is known then.
func (s *Series) meet(ctx context.Context, n *newcomer, pool []rated, k int) error {
	n.met[k] = true
	p, readable, err := s.compare(ctx, n, pool[k].image)
	if readable {
		n.add(p, pool[k].score)
	}
	return err
}

func (n *newcomer) add(won, against float64) {
	n.won, n.by = append(n.won, won), append(n.by, against)
	n.score = strength(n.won, n.by)
}

// duel compares the two best of the newcomers that seem better than all before, which met only those before.
func (s *Series) duel(ctx context.Context, news []newcomer, pool []rated) error {
	var top []*newcomer
	for i := range news {
		if len(pool) > 0 && news[i].score >= pool[len(pool)-1].score {
			top = append(top, &news[i])
		}
	}
	if len(top) < 2 {
		return nil
	}
	slices.SortStableFunc(top, func(a, b *newcomer) int { return cmp.Compare(b.score, a.score) })
	a, b := top[0], top[1]
	p, readable, err := s.compare(ctx, a, b.image)
	if readable {
		ofA := a.score
		a.add(p, b.score)
		b.add(1-p, ofA)
	}
	return err
}

// compare is the probability that a newcomer is better than a picture. The error is that of the context; other failures are noted.
func (s *Series) compare(ctx context.Context, n *newcomer, img image.Image) (p float64, readable bool, err error) {
	c, err := s.judge.Compare(ctx, s.prompt, n.image, img)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Pairs++
	if err == nil && s.answer != nil && !c.Abstained {
		err = alike(*s.answer, c.AFirst)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return 0, false, ctx.Err()
	case err != nil:
		s.counts.Failed++
		n.failed = err
		return 0, false, nil
	}
	for _, a := range []Answer{c.AFirst, c.BFirst} {
		s.counts.Tokens.Requests += a.Tokens.Requests
		s.counts.Tokens.Prompt += a.Tokens.Prompt
		s.counts.Tokens.Completion += a.Tokens.Completion
	}
	if c.Abstained {
		s.counts.Abstained++
		return 0, false, nil
	}
	s.answer = &c.AFirst
	return c.LogitMean, true, nil
}

// middle is the mean score.
func middle(pool []rated) float64 {
	sum := 0.0
	for _, r := range pool {
		sum += r.score
	}
	return sum / float64(len(pool))
}

// nearest is the one of the pool, not met yet, whose score is nearest, the better of equally near ones.
func nearest(pool []rated, met []bool, score float64) int {
	k := -1
	for i, r := range pool {
		if !met[i] && (k < 0 || math.Abs(r.score-score) <= math.Abs(pool[k].score-score)) {
			k = i
		}
	}
	return k
}

// strengthSpread is the standard deviation of the prior about those that a picture was compared with: it keeps one that wins for certain
// finite, some 5 above, and moves others by less than 0.01 where opinions differ.
const strengthSpread = 30

// strength is the most probable strength of one that won against others of known strengths with these probabilities, one comparison each:
// the zero of Σ (won − σ(θ − by)) − (θ − mean of by)/spread², which falls with θ.
func strength(won, by []float64) float64 {
	centre := 0.0
	for _, v := range by {
		centre += v / float64(len(by))
	}
	slope := func(theta float64) float64 {
		sum := -(theta - centre) / (strengthSpread * strengthSpread)
		for i, v := range by {
			sum += won[i] - sigmoid(theta-v)
		}
		return sum
	}
	// Each term is within 1, so the zero lies within n·spread² of the centre.
	width := float64(len(by)) * strengthSpread * strengthSpread
	low, high := centre-width, centre+width
	for range 100 {
		mid := low + (high-low)/2
		if slope(mid) > 0 {
			low = mid
		} else {
			high = mid
		}
	}
	return low + (high-low)/2
}
