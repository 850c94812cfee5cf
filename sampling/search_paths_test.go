package sampling

import (
	"math"
	"slices"
	"strings"
	"testing"

	"winnow/internal/rng"
)

func TestSearchPaths_route(t *testing.T) {
	for _, c := range []struct {
		steps         int
		o             PathsOptions
		start, rounds int
		down          int
		last          [2]int
	}{
		{20, PathsOptions{Start: 0.2, Forward: 0.1, Backward: 0.3}, 4, 4, 24, [2]int{14, 20}},
		{20, PathsOptions{Start: 0.25, Forward: 0.5, Backward: 0.6}, 5, 5, 60, [2]int{8, 20}},
		{3, PathsOptions{Start: 0.2, Forward: 0.1, Backward: 0.3}, 1, 2, 4, [2]int{1, 3}},
		{1, PathsOptions{Start: 0.2, Forward: 0.1, Backward: 0.3}, 1, 1, 1, [2]int{0, 1}},
	} {
		s := &Search{Problem: newGauss(t, "ddim", c.steps).Problem}
		r := s.route(&c.o)
		down := 0
		for _, v := range r.rounds {
			down += v[1] - v[0]
		}
		if r.start != c.start || len(r.rounds) != c.rounds || down != c.down || r.rounds[len(r.rounds)-1] != c.last {
			t.Errorf("%+v: %+v", c, r)
		}
	}
}

func TestSearchPaths_cost(t *testing.T) {
	p := newGauss(t, "ddim", 20)
	for _, c := range []struct{ paths, copies, budget, nfe, calls int }{
		{2, 3, 2 * (2*4 + 6*24), 2 * (2*4 + 6*24), 4 * 6}, // three rounds of previews, one of pictures
		{2, 0, 2 * (2*4 + 6*24 + 19), 2 * (2*4 + 6*24), 4 * 6},
		{4, 0, 2 * (3*4 + 3*24), 2 * (3*4 + 3*24), 4 * 3}, // three paths are all that it pays for
		{2, 0, 2 * 45, 2 * 40, 2},                         // two plain pictures
	} {
		f := search(t, p.Problem, SearchPaths(PathsOptions{Paths: c.paths, Copies: c.copies}), c.budget, 1)
		if f.NFE != c.nfe || f.Calls != c.calls {
			t.Errorf("%+v: %d evaluations, %d calls", c, f.NFE, f.Calls)
		}
		if plain := c.calls == 2; math.IsNaN(f.First) == plain || (f.Noise == nil) == plain {
			t.Errorf("%+v: the seed's picture scores %v", c, f.First)
		}
	}
	// What is left after a steered run pays for one plain picture, which is not the seed's.
	f := search(t, p.Problem, SearchPaths(PathsOptions{Paths: 2, Copies: 3}), 2*(2*4+6*24+20), 1)
	if f.NFE != 2*172 || f.Calls != 25 || !math.IsNaN(f.First) {
		t.Errorf("with a plain picture at the end: %d evaluations, %d calls, first %v", f.NFE, f.Calls, f.First)
	}
	q := newGauss(t, "pndm", 6)
	if _, err := RunSearch(t.Context(), q.Problem, SearchPaths(PathsOptions{}), SearchOptions{Budget: 200}); err == nil || !strings.Contains(err.Error(), "PNDM") {
		t.Errorf("PNDM: %v", err)
	}
}

// What the verifier says nothing about follows the law that the steps and the noise in between make, which is linear.
func TestSearchPaths_law(t *testing.T) {
	for _, sampler := range []string{"ddim", "euler", "euler-a"} {
		p := newGauss(t, sampler, 25)
		s := &Search{Problem: p.Problem}
		r := s.route(&PathsOptions{Start: 0.2, Forward: 0.1, Backward: 0.3})
		want := p.spread(t, p.Plan.InitNoiseSigma*p.Plan.InitNoiseSigma, 0, r.start)
		at := r.start
		for _, c := range r.rounds {
			a, b := p.Plan.Level(at)
			a2, b2 := p.Plan.Level(c[0])
			want = p.spread(t, want*a2*a2/(a*a)+b2*b2-b*b*a2*a2/(a*a), c[0], c[1])
			at = c[1]
		}
		var squares, scores []float64
		for seed := range uint64(150) {
			f := search(t, p.Problem, SearchPaths(PathsOptions{Paths: 2, Copies: 2}), 2*(2*5+4*32), seed)
			scores = append(scores, f.Score)
			for _, v := range f.Latents[1:] {
				squares = append(squares, float64(v)*float64(v))
			}
		}
		if mean, se := meanOf(squares); !(math.Abs(mean-want) <= 3*se) {
			t.Errorf("%s: variance %v ± %v, not %v", sampler, mean, se, want)
		}
		if mean, se := meanOf(scores); !(mean > 5*se) {
			t.Errorf("%s: scores %v ± %v", sampler, mean, se)
		}
	}
}

// Every path has its copies, next to one another, and each copy noise of its own.
func TestSearch_renoise(t *testing.T) {
	p := newGauss(t, "ddim", 6)
	s := &Search{Problem: p.Problem, budget: 1000, stream: rng.New(1)}
	x := s.draw(3)
	st, err := s.Plan.Resume(4, x, 3)
	if err != nil {
		t.Fatal(err)
	}
	same, err := s.renoise(st, 4, 2) // to its own level: no noise at all
	if err != nil || same.Index != 4 || same.Images != 6 || !slices.Equal(same.X, gather(x, toySize, []int{0, 0, 1, 1, 2, 2})) {
		t.Errorf("%+v, %v", same, err)
	}
	up, err := s.renoise(st, 2, 2)
	if err != nil || up.Index != 2 || slices.Equal(up.X[:toySize], up.X[toySize:2*toySize]) {
		t.Errorf("%+v, %v", up, err)
	}
}
