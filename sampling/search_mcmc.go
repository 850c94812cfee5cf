package sampling

import (
	"context"
	"errors"
	"math"
)

// ChainOptions are what Markov chains over noise share. Zero values mean the defaults.
type ChainOptions struct {
	// Beta is the temperature β in units of the score: the chain draws noise with the density N(z)·exp(score/β). A large one
	// leaves the prior as it is, a small one climbs. Default: half the standard deviation of the scores of the first pictures; for
	// a score that depends on noise linearly this moves the mean by two deviations.
	Beta float64
	// First is how many pictures of fresh noise are made before the chains start from the best of them. Default: as many as there
	// are chains, but at least eight where β is estimated from them.
	First int
	// Chains is how many chains run side by side, in batches. Default 1.
	Chains int
	// Step is ρ, the share of fresh noise in a proposal, above 0 to 1. Default 0.3 for [PCN], where it is the value before the
	// burn-in, and 1 for [Suffix], which keeps it.
	Step float64
	// Last hands out the last state of the first chain, which is a draw from the density above, rather than the best picture that
	// was visited. A search that is interrupted hands out the best.
	Last bool
	// OnState is told of every state: the first of each chain and then one after each proposal. The noise must not be changed or
	// kept. May be nil.
	OnState func(ChainState)
}

// ChainState is where a chain stands after a proposal.
type ChainState struct {
	Chain    int // from 0; chain 0 is the coldest
	Proposal int // 0 for the state that the chain starts in
	Beta     float64
	Step     float64 // ρ of this proposal
	BurnIn   bool    // ρ was being adapted; leave such states out of statistics
	Accepted bool
	Score    float64   // NaN while nothing could be scored
	Noise    []float32 // initial noise; with Suffix the noise of the steps behind it
}

// PCNOptions are the settings of [PCN].
type PCNOptions struct {
	ChainOptions
	// Ladder is the ratio of temperatures of neighbouring chains, 1 or more, for parallel tempering: hotter chains wander and hand
	// what they find down to chain 0. Default 2; 1 makes independent chains of equal temperature.
	Ladder float64
	// BurnIn is the number of proposals of each chain during which ρ is adapted to an acceptance of 30 %. Default: a quarter of
	// what the budget allows. Below 0: none.
	BurnIn int
}

// firstPictures is the number of pictures that the default temperature is estimated from.
const firstPictures = 8

// PCN walks through the space of initial noises by a Metropolis chain with preconditioned Crank-Nicolson proposals, which leave
// the prior as it is: z' = √(1−ρ²)·z + ρ·ξ is accepted with the probability min(1, exp((score' − score)/β)). The first picture
// is the seed's; with several first pictures chain 0 starts from the best of them. A proposal costs one picture for each chain.
// Candidates that cannot be scored are never accepted. (Cotter, Roberts, Stuart and White 2013, arXiv 1202.0709; the target is
// that of QAlign, Faria and Smith 2025, arXiv 2504.03790, carried over to noise; swaps as in Geyer 1991.)
func PCN(o PCNOptions) Method {
	o.Chains, o.Step, o.Ladder = orElse(o.Chains, 1), orElse(o.Step, 0.3), orElse(o.Ladder, 2)
	return func(ctx context.Context, s *Search) error {
		if err := o.check("pcn", span{"the ladder", o.Ladder, 1, 1e6}); err != nil {
			return err
		}
		chains, err := s.startChains(ctx, &o)
		if err != nil {
			return err
		}
		burnIn := o.BurnIn
		if burnIn == 0 {
			burnIn = s.Left() / s.Cost() / o.Chains / 4
		}
		for n := 1; err == nil; n++ {
			err = s.propose(ctx, chains, n, n <= burnIn, &o)
			s.swap(chains, n)
		}
		if o.Last && errors.Is(err, errSpent) {
			s.handOut(chains[0].latents, chains[0].noise, chains[0].score)
		}
		return err
	}
}

func (o *ChainOptions) check(method string, more ...span) error {
	return checkSpans(method, append(more,
		span{"the temperature", o.Beta, 0, math.MaxFloat64},
		span{"the number of chains", float64(o.Chains), 1, 1 << 20},
		span{"the number of first pictures", float64(o.First), 0, 1 << 20},
		span{"the step", o.Step, 0, 1})...)
}

// first is the number of first pictures.
func (o *ChainOptions) first() int {
	if o.First == 0 && o.Beta == 0 {
		return max(o.Chains, firstPictures)
	}
	return max(o.Chains, o.First)
}

// chain is one chain at work.
type chain struct {
	noise, latents []float32
	score          float64
	beta, rho      float64
}

// step is ρ. Where nothing can be scored the chain has no law to keep and looks elsewhere.
func (c *chain) step() float64 {
	if math.IsNaN(c.score) {
		return 1
	}
	return c.rho
}

// startChains verifies the first noises. The coldest chains start from the best of them, which shortens the burn-in; the others
// only serve to know the spread of scores.
func (s *Search) startChains(ctx context.Context, o *PCNOptions) ([]chain, error) {
	images := o.first()
	noise := make([]float32, 0, images*s.Size)
	for range images {
		noise = append(noise, s.fresh()...)
	}
	latents, scores, err := s.pictures(ctx, noise, images)
	if err != nil {
		return nil, err
	}
	beta := orElse(o.Beta, temperature(scores))
	chains := make([]chain, o.Chains)
	for i, k := range ranked(scores)[:o.Chains] {
		a, b := k*s.Size, (k+1)*s.Size
		chains[i] = chain{noise[a:b], latents[a:b], scores[k], beta * math.Pow(o.Ladder, float64(i)), o.Step}
		o.tell(&chains[i], ChainState{Chain: i, Step: o.Step})
	}
	return chains, nil
}

// propose makes one proposal to each chain.
func (s *Search) propose(ctx context.Context, chains []chain, n int, burnIn bool, o *PCNOptions) error {
	noise := make([]float32, len(chains)*s.Size)
	for i, c := range chains {
		s.blend(noise[i*s.Size:(i+1)*s.Size], c.noise, c.step())
	}
	latents, scores, err := s.pictures(ctx, noise, len(chains))
	for i, score := range scores { // without the budget for all, some
		c := &chains[i]
		state := ChainState{Chain: i, Proposal: n, BurnIn: burnIn, Step: c.step()}
		adapt, chance := burnIn && !math.IsNaN(c.score), acceptance(c.score, score, c.beta)
		if state.Accepted = s.Uniform() < chance; state.Accepted {
			a, b := i*s.Size, (i+1)*s.Size
			c.noise, c.latents, c.score = noise[a:b], latents[a:b], score
		}
		o.tell(c, state)
		if adapt {
			c.rho = adapted(c.rho, chance, n)
		}
	}
	return err
}

func (o *ChainOptions) tell(c *chain, state ChainState) {
	if o.OnState == nil {
		return
	}
	state.Beta, state.Score, state.Noise = c.beta, c.score, c.noise
	o.OnState(state)
}

// swap exchanges the states of neighbouring chains, even and odd pairs in turn, so that each chain keeps its law.
func (s *Search) swap(chains []chain, n int) {
	for i := n % 2; i+1 < len(chains); i += 2 {
		cold, hot := &chains[i], &chains[i+1]
		// The uniform number is drawn in any case: what is drawn does not depend on scores.
		u := s.Uniform()
		if math.IsNaN(hot.score) || !math.IsNaN(cold.score) && u >= swapChance(cold, hot) {
			continue
		}
		cold.noise, hot.noise = hot.noise, cold.noise
		cold.latents, hot.latents = hot.latents, cold.latents
		cold.score, hot.score = hot.score, cold.score
	}
}

// swapChance is the Metropolis probability of exchanging two states: the prior cancels.
func swapChance(cold, hot *chain) float64 {
	return math.Min(1, math.Exp((hot.score-cold.score)*(1/cold.beta-1/hot.beta)))
}

// acceptance is the Metropolis probability of a prior-reversible move. Anything that has a score is better than what has none.
func acceptance(now, next, beta float64) float64 {
	switch {
	case math.IsNaN(next):
		return 0
	case math.IsNaN(now):
		return 1
	}
	return math.Min(1, math.Exp((next-now)/beta))
}

// adapted is ρ after the n-th proposal of the burn-in: a Robbins-Monro step of log ρ towards an acceptance of 30 %, in the middle
// of the 20 to 40 % that serve random walks well. (Andrieu and Thoms 2008, A tutorial on adaptive MCMC.)
func adapted(rho, chance float64, n int) float64 {
	const target, decay, least = 0.3, 0.6, 1e-3
	return min(1, max(least, rho*math.Exp((chance-target)*math.Pow(float64(n), -decay))))
}

// temperature is half the standard deviation of scores, or 1 where it is not known.
func temperature(scores []float64) float64 {
	n, mean, square := 0.0, 0.0, 0.0
	for _, v := range scores {
		if !math.IsNaN(v) {
			n++
			d := v - mean
			mean += d / n
			square += d * (v - mean)
		}
	}
	if n < 2 || square == 0 {
		return 1
	}
	return math.Sqrt(square/(n-1)) / 2
}

// pictures is Evaluate that gives the latents too.
func (s *Search) pictures(ctx context.Context, noise []float32, images int) (latents []float32, scores []float64, err error) {
	for len(scores) < images {
		n := min(s.Batch, images-len(scores), s.Left()/s.Cost())
		if n == 0 {
			return latents, scores, errSpent
		}
		x := noise[len(scores)*s.Size : (len(scores)+n)*s.Size]
		st, err := s.Start(x, n)
		if err != nil {
			return latents, scores, err
		}
		if st, _, err = s.Advance(ctx, st, s.Plan.Len(), s.inner(n)); err != nil {
			return latents, scores, err
		}
		some, err := s.Finish(ctx, st.X, x, n)
		latents, scores = append(latents, st.X...), append(scores, some...)
		if err != nil {
			return latents, scores, err
		}
	}
	return latents, scores, nil
}

// handOut makes a picture the result of the search in place of the best, if it has a score.
func (s *Search) handOut(latents, noise []float32, score float64) {
	if !math.IsNaN(score) {
		s.found.Latents, s.found.Noise, s.found.Score = latents, noise, score
	}
}
