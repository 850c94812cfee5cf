package sampling

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"winnow/internal/rng"
)

// Verifier scores clean latents of images, one after another in x: higher is better. It returns one score per image, NaN for an
// image that cannot be scored: that candidate is dropped and counted. An error ends the search.
type Verifier func(ctx context.Context, x []float32, images int) ([]float64, error)

// Problem is one picture to be searched for: a plan and a network, conditioned on the prompt with guidance applied, and what is
// good. The network takes any number of images up to Batch.
type Problem struct {
	Plan  *Plan
	Size  int // numbers of one image's latents
	Model Denoiser
	NFE   int // evaluations of the network that one image costs in a call of Model: 2 with guidance
	// StepNFE is NFE of each step of the plan, where they differ, as under an interval of guidance; nil means NFE for all.
	StepNFE []int
	Batch   int // images in a call of Model; 0 means 8
	Verify  Verifier
	// Recall, if set, is told of scores that a journal gave in the place of Verify, in order, for a verifier with a memory.
	Recall func(ctx context.Context, x []float32, images int, scores []float64) error
}

// SearchOptions are the settings that all methods share.
type SearchOptions struct {
	// Budget is the number of network evaluations that may be spent, all candidates together. A search stops before the
	// call that would exceed it.
	Budget int
	// Seed makes a search repeatable. The first candidate of every method is the picture of this seed.
	Seed uint64
	// OnPoint is told of every entry of the trace; an error stops the search.
	OnPoint func(Point) error
}

// Point is one entry of a search's trace: a finished picture, or a batch of predictions on the way.
type Point struct {
	NFE   int     `json:"nfe"`   // spent so far
	Calls int     `json:"calls"` // images verified so far
	Score float64 `json:"score"` // of the picture, or the best of the batch; NaN when it was dropped
	Best  float64 `json:"best"`  // so far, of finished pictures
}

// Found is what a search ends with, also when it was interrupted.
type Found struct {
	Latents []float32 // of the best picture; nil when there is none
	Noise   []float32 // unit-variance noise that it starts from; nil where a method steers on the way
	Score   float64
	// Preview says that the search was interrupted before any picture was finished: Latents are the clean latents that were predicted
	// on the way, of the best of the last check, or of the first image when there was no check; then Score is NaN.
	Preview bool
	// First is the score of the plain picture of the seed, FirstLatents that picture.
	First        float64
	FirstLatents []float32
	NFE          int
	Calls        int // images verified
	Dropped      int // images that could not be scored
	Trace        []Point
}

// Method is a way to search. It spends the budget by the methods of Search.
type Method func(ctx context.Context, s *Search) error

// Search is a search at work. Methods draw all randomness from Normal and Uniform, so that a seed determines the run.
type Search struct {
	Problem
	budget  int
	seed    uint64
	stream  *rng.Generator
	began   bool // the seed's noise was drawn
	onPoint func(Point) error
	found   Found
	glimpse glimpse
}

// errSpent ends a method whose budget does not allow the next call.
var errSpent = errors.New("sampling: the budget is spent")

// ErrNoScore is the error of a search that could score none of its candidates.
var ErrNoScore = errors.New("sampling: the verifier scored none of the candidates")

// RunSearch searches. When the context ends or something fails, the best picture so far is returned with the error; when the context
// ends before there is one, the best preview, see Found.Preview.
func RunSearch(ctx context.Context, p Problem, m Method, o SearchOptions) (Found, error) {
	if p.Batch == 0 {
		p.Batch = 8
	}
	if err := p.check(); err != nil {
		return Found{}, err
	}
	s := &Search{Problem: p, budget: o.Budget, seed: o.Seed, stream: rng.New(o.Seed), onPoint: o.OnPoint}
	if cost := s.Cost(); o.Budget < cost {
		return Found{}, fmt.Errorf("sampling: the budget of %d evaluations does not pay for one picture, which costs %d", o.Budget, cost)
	}
	s.found.Score, s.found.First = math.Inf(-1), math.NaN()
	err := m(ctx, s)
	if errors.Is(err, errSpent) {
		err = nil
	}
	if err == nil && s.found.Latents == nil {
		return s.found, ErrNoScore
	}
	if err != nil && ctx.Err() != nil {
		s.keepGlimpse()
	}
	return s.found, err
}

func (p Problem) check() error {
	if p.Size < 1 || p.NFE < 1 || p.Batch < 1 {
		return fmt.Errorf("sampling: a search over latents of %d numbers, %d evaluations a call, batches of %d", p.Size, p.NFE, p.Batch)
	}
	if p.StepNFE != nil && (len(p.StepNFE) != p.Plan.Len() || slices.Min(p.StepNFE) < 1) {
		return fmt.Errorf("sampling: evaluations of %d steps are given, %v, for a plan of %d; each is at least 1", len(p.StepNFE), p.StepNFE, p.Plan.Len())
	}
	return nil
}

// Left is the number of evaluations that may still be spent.
func (s *Search) Left() int { return s.budget - s.found.NFE }

// Cost is the number of evaluations of one picture from noise to the end.
func (s *Search) Cost() int { return s.costOf(0, s.Plan.Len()) }

// costOf is the number of evaluations of one image in the steps from begin to before end.
func (p Problem) costOf(begin, end int) int {
	if p.StepNFE == nil {
		return (end - begin) * p.NFE
	}
	sum := 0
	for _, n := range p.StepNFE[begin:end] {
		sum += n
	}
	return sum
}

// stepCost is that of step i.
func (p Problem) stepCost(i int) int { return p.costOf(i, i+1) }

// Normal fills dst with standard normal numbers. The first call of a search, for one image, gives the noise of its seed.
func (s *Search) Normal(dst []float32) {
	s.stream.Normal(dst)
	if !s.began {
		// The seed's own stream goes on with the noise inside stochastic samplers, see inner.
		s.began, s.stream = true, rng.New(otherSeed(s.seed))
	}
}

// otherSeed is far from seed in the low 32 bits, the only ones that a stream depends on.
func otherSeed(seed uint64) uint64 {
	h := uint32(seed) ^ 0x5851f42d
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	h ^= h >> 16
	if h == uint32(seed) {
		h++
	}
	return uint64(h)
}

// Uniform is a number in [0, 1).
func (s *Search) Uniform() float64 {
	var v [1]float32
	s.stream.Uniform(v[:])
	return float64(v[0])
}

// inner is the noise inside stochastic samplers: the same for every candidate, so that a picture is a function of its initial
// noise. It is what the seed's stream holds behind the initial noise, so that the first candidate is the seed's plain picture.
func (s *Search) inner(images int) Noise {
	if !s.draws() {
		return nil
	}
	seed := rng.New(s.seed)
	seed.Normal(make([]float32, s.Size))
	streams := make([]rng.Generator, images)
	for i := range streams {
		streams[i] = *seed
	}
	return func(dst []float32, _, _ float64) {
		for i := range streams {
			streams[i].Normal(dst[i*s.Size : (i+1)*s.Size])
		}
	}
}

func (s *Search) draws() bool {
	for i := range s.Plan.Len() {
		if s.Plan.Draws(i) {
			return true
		}
	}
	return false
}

// Evaluate makes and verifies pictures from initial noises, one after another in noise. It evaluates as many as the budget
// allows: fewer scores than images come with errSpent.
func (s *Search) Evaluate(ctx context.Context, noise []float32, images int) (scores []float64, err error) {
	fit := min(images, s.Left()/s.Cost())
	for len(scores) < fit {
		n := min(s.Batch, fit-len(scores))
		x := noise[len(scores)*s.Size : (len(scores)+n)*s.Size]
		st, err := s.Start(x, n)
		if err != nil {
			return scores, err
		}
		if st, _, err = s.Advance(ctx, st, s.Plan.Len(), s.inner(n)); err != nil {
			return scores, err
		}
		some, err := s.Finish(ctx, st.X, x, n)
		scores = append(scores, some...)
		if err != nil {
			return scores, err
		}
	}
	if fit < images {
		return scores, errSpent
	}
	return scores, nil
}

// Start is the state before the first step, from unit-variance noise of images.
func (s *Search) Start(noise []float32, images int) (State, error) {
	return s.Plan.Start(noise, images)
}

// Advance does steps until index end for all images of a state, which may be more than Batch. clean is the prediction of the last
// step. It is errSpent, and does nothing, where the budget does not pay for the whole way.
func (s *Search) Advance(ctx context.Context, st State, end int, source Noise) (next State, clean []float32, err error) {
	if st.Index < end && s.costOf(st.Index, end)*st.Images > s.Left() {
		return st, nil, errSpent
	}
	for st.Index < end {
		if err := ctx.Err(); err != nil {
			return st, nil, err
		}
		output, err := s.predict(ctx, st)
		if err != nil {
			return st, nil, fmt.Errorf("sampling: step %d of %d (timestep %g): %w", st.Index+1, s.Plan.Len(), s.Plan.Timesteps[st.Index], err)
		}
		index := st.Index
		if st, clean, err = s.Plan.advance(st, output, source); err != nil {
			return st, nil, err
		}
		s.glimpsed(index, clean, nil)
	}
	return st, clean, nil
}

// predict is the model's output for a state, and spends its cost. The budget was looked at before.
func (s *Search) predict(ctx context.Context, st State) ([]float32, error) {
	input, output := make([]float32, len(st.X)), make([]float32, len(st.X))
	s.Plan.Input(input, st)
	for first := 0; first < st.Images; first += s.Batch {
		a, b := first*s.Size, min(first+s.Batch, st.Images)*s.Size
		if err := s.Model(ctx, output[a:b], input[a:b], s.Plan.Timesteps[st.Index]); err != nil {
			return nil, err
		}
		s.found.NFE += (b - a) / s.Size * s.stepCost(st.Index)
	}
	return output, nil
}

// Score verifies latents that need not be finished pictures, such as predictions on the way. NaN marks what cannot be scored.
func (s *Search) Score(ctx context.Context, x []float32, images int) ([]float64, error) {
	scores, err := s.verify(ctx, x, images)
	if err != nil {
		return nil, err
	}
	best := math.NaN()
	for _, v := range scores {
		if v > best || math.IsNaN(best) {
			best = v
		}
	}
	s.glimpsed(s.glimpse.looked, x, scores)
	return scores, s.point(Point{NFE: s.found.NFE, Calls: s.found.Calls, Score: best, Best: s.found.Score})
}

func (s *Search) verify(ctx context.Context, x []float32, images int) (scores []float64, err error) {
	for first := 0; first < images; first += s.Batch {
		n := min(s.Batch, images-first)
		some, err := s.Verify(ctx, x[first*s.Size:(first+n)*s.Size], n)
		if err == nil && len(some) != n {
			err = fmt.Errorf("sampling: the verifier gave %d scores for %d images", len(some), n)
		}
		if err != nil {
			return nil, err
		}
		scores = append(scores, some...)
	}
	s.found.Calls += images
	for i, v := range scores {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			scores[i] = math.NaN()
			s.found.Dropped++
		}
	}
	return scores, nil
}

// point adds an entry to the trace.
func (s *Search) point(p Point) error {
	s.found.Trace = append(s.found.Trace, p)
	if s.onPoint == nil {
		return nil
	}
	return s.onPoint(p)
}

// Finish verifies finished pictures and keeps the best. noise is what they started from, or nil.
func (s *Search) Finish(ctx context.Context, latents, noise []float32, images int) ([]float64, error) {
	scores, err := s.verify(ctx, latents, images)
	if err != nil {
		return nil, err
	}
	if s.found.FirstLatents == nil {
		s.found.First, s.found.FirstLatents = scores[0], slices.Clone(latents[:s.Size])
	}
	// Candidates of a batch were made together; in the trace each has its share of what was spent since the last entry.
	before, calls := 0, s.found.Calls-images
	if n := len(s.found.Trace); n > 0 {
		before = s.found.Trace[n-1].NFE
	}
	for i, v := range scores {
		if v > s.found.Score {
			s.found.Score, s.found.Noise = v, nil
			s.found.Latents = slices.Clone(latents[i*s.Size : (i+1)*s.Size])
			if noise != nil {
				s.found.Noise = slices.Clone(noise[i*s.Size : (i+1)*s.Size])
			}
		}
		if err := s.point(Point{NFE: before + (s.found.NFE-before)*(i+1)/images, Calls: calls + i + 1, Score: v, Best: s.found.Score}); err != nil {
			return scores, err
		}
	}
	return scores, nil
}

// Best is the best picture so far: its score, and the noise that it started from.
func (s *Search) Best() (score float64, noise []float32) { return s.found.Score, s.found.Noise }
