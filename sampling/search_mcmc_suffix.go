package sampling

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// SuffixOptions are the settings of [Suffix].
type SuffixOptions struct {
	ChainOptions
	// Begin is the share of the run, 0 to 1, before which nothing is redrawn: proposals are cheaper then, and the chain refines the
	// picture that it starts from instead of drawing from the whole density. 0 redraws everything, the initial noise too.
	Begin float64
}

// Suffix is a Metropolis chain over all the noise of a picture with a sampler that adds noise: the initial noise and that of
// every step. A proposal keeps the noise up to a place drawn at random and redraws what comes behind, so that only the remaining
// steps cost evaluations of the network, about half of them on average. It is accepted with the probability min(1, exp((score' −
// score)/β)): the place is drawn without looking at the picture, and redrawing keeps the prior. The place may be the beginning,
// so that the chain can get anywhere. With Step below 1 noise behind the place is moved instead, as in [PCN]. The first picture
// is the seed's; with several first pictures the chains start from the best of them. All chains have one temperature and redraw
// from the same place. (The suffix proposal of QUEST, Faria et al. 2024, arXiv 2406.00049, and QAlign, Faria and Smith 2025,
// arXiv 2504.03790, carried over from tokens to noise.)
func Suffix(o SuffixOptions) Method {
	o.Chains, o.Step = orElse(o.Chains, 1), orElse(o.Step, 1)
	return func(ctx context.Context, s *Search) error {
		if err := o.check("suffix", span{"the beginning", o.Begin, 0, 1}); err != nil {
			return err
		}
		places := s.places(o.Begin)
		if len(s.places(0)) == 1 {
			return fmt.Errorf("sampling: suffix: %s adds no noise in its steps, so there is nothing to redraw; "+
				"use a sampler that does (euler-a, ddpm, dpmpp-2m-sde, or ddim with eta above 0), or pcn",
				s.Plan.scheduler.config.Class)
		}
		trails, beta, err := s.startTrails(ctx, &o.ChainOptions)
		if err != nil {
			return err
		}
		for n := 1; err == nil; n++ {
			place := places[int(s.Uniform()*float64(len(places)))]
			if !slices.ContainsFunc(trails, func(t trail) bool { return !math.IsNaN(t.score) }) {
				place = 0 // nothing can be scored here
			}
			err = s.redraw(ctx, trails, place, n, beta, &o.ChainOptions)
		}
		if last := trails[0]; o.Last && errors.Is(err, errSpent) {
			s.handOut(last.states[s.Plan.Len()].X, nil, last.score)
		}
		return err
	}
}

// trail is one picture with how it came about.
type trail struct {
	noises [][]float32 // the initial one, then that of each step; nil where a step draws none
	states []State     // before each step, and behind the last
	score  float64
}

// places are where redrawing may begin: 0 for the initial noise, i+1 for step i. Steps whose noise has no weight are left out, and
// those before a share of the run unless no others are left.
func (s *Search) places(begin float64) []int {
	places := []int{0}
	for i := range s.Plan.Len() {
		if row, err := s.Plan.Row(i, i); err == nil && row.Noise != 0 {
			places = append(places, i+1)
		}
	}
	for len(places) > 1 && float64(places[0]) <= begin*float64(s.Plan.Len()) && begin > 0 {
		places = places[1:]
	}
	return places
}

// startTrails makes the first pictures. The chains start from the best of them; the others only serve to know the spread of scores.
func (s *Search) startTrails(ctx context.Context, o *ChainOptions) (trails []trail, beta float64, err error) {
	images := o.first()
	trails = make([]trail, min(images, s.Left()/s.Cost()))
	for i := range trails {
		source := func(dst []float32, _, _ float64) { s.Normal(dst) }
		trails[i].noises = [][]float32{s.fresh()}
		if i == 0 {
			source = s.inner(1)
		}
		for k := range s.Plan.Len() {
			var z []float32
			if s.Plan.Draws(k) {
				z = make([]float32, s.Size)
				source(z, s.Plan.Sigmas[k], s.Plan.Sigmas[k+1])
			}
			trails[i].noises = append(trails[i].noises, z)
		}
	}
	if err := s.follow(ctx, trails, 0); err != nil {
		return nil, 0, err
	}
	var scores []float64
	for _, t := range trails {
		scores = append(scores, t.score)
	}
	beta = orElse(o.Beta, temperature(scores))
	all := trails
	trails = make([]trail, min(len(all), o.Chains))
	for i, k := range ranked(scores)[:len(trails)] {
		trails[i] = all[k]
		trails[i].tell(o, ChainState{Chain: i, Beta: beta, Step: o.Step})
	}
	return trails, beta, nil
}

// redraw makes a proposal to each chain and accepts or rejects it.
func (s *Search) redraw(ctx context.Context, trails []trail, place, n int, beta float64, o *ChainOptions) error {
	next := make([]trail, len(trails))
	for i, t := range trails {
		next[i] = trail{noises: slices.Clone(t.noises), states: slices.Clone(t.states)}
		rho := o.Step
		if math.IsNaN(t.score) {
			rho = 1
		}
		for k := place; k < len(t.noises); k++ {
			if t.noises[k] != nil {
				next[i].noises[k] = make([]float32, s.Size)
				s.blend(next[i].noises[k], t.noises[k], rho)
			}
		}
	}
	if err := s.follow(ctx, next, place); err != nil {
		return err
	}
	for i := range trails {
		accepted := s.Uniform() < acceptance(trails[i].score, next[i].score, beta)
		if accepted {
			trails[i] = next[i]
		}
		trails[i].tell(o, ChainState{Chain: i, Proposal: n, Beta: beta, Step: o.Step, Accepted: accepted})
	}
	return nil
}

// follow does the steps that depend on noise from a place on, for all trails together, and verifies the pictures.
func (s *Search) follow(ctx context.Context, trails []trail, place int) error {
	first := max(0, place-1) // noise i+1 enters in step i
	if s.costOf(first, s.Plan.Len())*len(trails) > s.Left() {
		return errSpent
	}
	st, err := s.standAt(trails, place)
	if err != nil {
		return err
	}
	for st.Index < s.Plan.Len() {
		source := func(dst []float32, _, _ float64) {
			for i, t := range trails {
				copy(dst[i*s.Size:(i+1)*s.Size], t.noises[st.Index+1])
			}
		}
		if st, _, err = s.Advance(ctx, st, st.Index+1, source); err != nil {
			return err
		}
		if err := note(trails, st); err != nil {
			return err
		}
	}
	// The initial noise alone does not make the picture, so it is not handed out.
	scores, err := s.Finish(ctx, st.X, nil, len(trails))
	for i, score := range scores {
		trails[i].score = score
	}
	return err
}

// standAt is the state of all trails before the first step that a place has an influence on. It cuts off what lies behind.
func (s *Search) standAt(trails []trail, place int) (State, error) {
	if place > 0 {
		states := make([]State, len(trails))
		for i := range trails {
			trails[i].states = trails[i].states[:place]
			states[i] = trails[i].states[place-1]
		}
		return join(states), nil
	}
	var noise []float32
	for i := range trails {
		trails[i].states = nil
		noise = append(noise, trails[i].noises[0]...)
	}
	st, err := s.Start(noise, len(trails))
	if err != nil {
		return State{}, err
	}
	return st, note(trails, st)
}

// note adds the images of a state to their trails.
func note(trails []trail, st State) error {
	for i := range trails {
		one, err := st.Select(i)
		if err != nil {
			return err
		}
		trails[i].states = append(trails[i].states, one)
	}
	return nil
}

// join makes one state of states that stand before the same step and came the same way.
func join(states []State) State {
	out := State{Index: states[0].Index, Calls: states[0].Calls, past: make([][]float32, len(states[0].past))}
	for _, st := range states {
		out.Images += st.Images
		out.X = append(out.X, st.X...)
		out.saved = append(out.saved, st.saved...)
		for k, h := range st.past {
			out.past[k] = append(out.past[k], h...)
		}
	}
	return out
}

func (t *trail) tell(o *ChainOptions, state ChainState) {
	if o.OnState != nil {
		state.Score, state.Noise = t.score, slices.Concat(t.noises...)
		o.OnState(state)
	}
}
