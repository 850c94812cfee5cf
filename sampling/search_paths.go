package sampling

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// PathsOptions are the settings of [SearchPaths]. The zero value has the defaults, which are ours: the text's depend on the model.
type PathsOptions struct {
	// Paths is how many are kept after each round. 0 means 2; fewer where the budget does not pay for them.
	Paths int
	// Copies is how many times each path is noised again in a round; runs with fresh noise follow while the budget pays for a picture.
	// 0 means as many as the budget pays for in one run.
	Copies int
	// Start, Forward and Backward are shares of the run: how far the first noises are denoised, how far a round goes back up, and
	// how far it then comes down, which must be more. 0 means 0.2, 0.1 and 0.3. Each is at least one step.
	Start, Forward, Backward float64
}

// SearchPaths keeps several paths to a picture: each round noises copies of every path again, a little, denoises them by more than
// that, verifies the previews and keeps the best. Any sampler will do that can start on the way. Where the budget does not pay for a
// round of two candidates, it is spent on plain pictures. (Ma et al. 2025, arXiv 2501.09732, search over paths.)
func SearchPaths(o PathsOptions) Method {
	if o.Paths == 0 {
		o.Paths = 2
	}
	for v, standard := range map[*float64]float64{&o.Start: 0.2, &o.Forward: 0.1, &o.Backward: 0.3} {
		if *v == 0 {
			*v = standard
		}
	}
	return func(ctx context.Context, s *Search) error {
		switch {
		case o.Paths < 0 || o.Copies < 0:
			return fmt.Errorf("sampling: %d paths with %d copies each; neither may be below 0", o.Paths, o.Copies)
		case !(o.Start > 0 && o.Start <= 1) || !(o.Forward > 0 && o.Forward < o.Backward) || !(o.Backward <= 1):
			return fmt.Errorf("sampling: paths that start after %v of the run, go back %v and forward %v; "+
				"all must lie between 0 and 1, and the last be more than the second", o.Start, o.Forward, o.Backward)
		}
		if s.Plan.scheduler.config.Class == classPNDM {
			// Its first two calls make one step, also of a run that starts on the way, which then ends one step early.
			return fmt.Errorf("sampling: a search over paths starts on the way again and again, which PNDM cannot; take another sampler")
		}
		route := s.route(&o)
		return s.runs(func(first bool) error {
			n, m := route.fit(s, o.Paths, o.Copies)
			if n == 0 {
				return s.plain(ctx, first)
			}
			return s.walk(ctx, route, n, m, first)
		})
	}
}

// route is where the rounds of a search over paths lead.
type route struct {
	start  int      // the index at which the first noises are stopped
	rounds [][2]int // the index that a round noises to, and the index that it denoises to; the last ends the plan
}

func (s *Search) route(o *PathsOptions) route {
	steps := s.Plan.Len()
	of := func(share float64) int { return max(1, int(math.Round(share*float64(steps)))) }
	r := route{start: of(o.Start)}
	up := of(o.Forward)
	down := max(up+1, of(o.Backward))
	if r.start >= steps {
		r.start = steps
	}
	for at := r.start; len(r.rounds) == 0 || at < steps; {
		to := max(at-up, 0)
		at = min(to+down, steps)
		r.rounds = append(r.rounds, [2]int{to, at})
	}
	return r
}

// fit is how many paths and copies the budget pays for: two candidates or more in a round, or none.
func (r route) fit(s *Search, paths, copies int) (n, m int) {
	down := 0
	for _, c := range r.rounds {
		down += s.costOf(c[0], c[1])
	}
	for n = paths; n > 0; n-- {
		m = (s.Left() - n*s.costOf(0, r.start)) / (n * down)
		if copies > 0 {
			m = min(m, copies)
		}
		if m >= 1 && n*m >= 2 {
			return n, m
		}
	}
	return 0, 0
}

// walk is one run of n paths with m copies.
func (s *Search) walk(ctx context.Context, r route, n, m int, first bool) error {
	st, err := s.Start(s.draw(n), n)
	if err != nil {
		return err
	}
	source := s.stepNoise(first)
	if st, _, err = s.Advance(ctx, st, r.start, source); err != nil {
		return err
	}
	for _, c := range r.rounds {
		if st, err = s.renoise(st, c[0], m); err != nil {
			return err
		}
		var clean []float32
		if st, clean, err = s.Advance(ctx, st, c[1], source); err != nil {
			return err
		}
		if c[1] == s.Plan.Len() {
			break
		}
		scores, err := s.Score(ctx, clean, st.Images)
		if err != nil {
			return err
		}
		kept := topOf(scores, n)
		if len(kept) == 0 {
			return nil
		}
		slices.Sort(kept)
		if st, err = st.Select(kept...); err != nil {
			return err
		}
	}
	_, err = s.endRun(ctx, st.X, nil, st.Images, false)
	return err
}

// renoise makes m copies of each image at the higher noise level before step to; solvers forget what they remembered.
func (s *Search) renoise(st State, to, m int) (State, error) {
	var copies []int
	for k := range st.Images {
		copies = append(copies, slices.Repeat([]int{k}, m)...)
	}
	x := gather(st.X, s.Size, copies)
	if err := s.Plan.Renoise(x, x, s.draw(len(copies)), st.Index, to); err != nil {
		return State{}, err
	}
	return s.Plan.Resume(to, x, len(copies))
}
