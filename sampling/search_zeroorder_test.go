package sampling

import (
	"context"
	"math"
	"slices"
	"testing"
)

func TestNeighbour(t *testing.T) {
	for _, size := range []int{2, 3, 17, 1024, 16384} {
		p := newSpace(t, size, first)
		m := func(_ context.Context, s *Search) error {
			x := s.fresh()
			for _, lambda := range []float64{0.1, 0.5, 0.95, 0.999} {
				y := s.neighbour(x, lambda)
				if d := norm(y)/norm(x) - 1; math.Abs(d) > 1e-6 {
					t.Errorf("d = %d, cosine %v: the length changes by %v", size, lambda, d)
				}
				if d := cosine(x, y) - lambda; math.Abs(d) > 1e-6 {
					t.Errorf("d = %d, cosine %v: off by %v", size, lambda, d)
				}
				if z := s.neighbour(x, lambda); size > 2 && slices.Equal(y, z) { // in a plane there are two neighbours only
					t.Errorf("d = %d: two equal neighbours", size)
				}
			}
			if y := s.neighbour(x, 1); !slices.Equal(x, y) {
				t.Errorf("d = %d: cosine 1 moves", size)
			}
			return errSpent
		}
		_, _ = RunSearch(t.Context(), p.Problem, m, SearchOptions{Budget: 100, Seed: 3})
	}
	p := newSpace(t, 1, first)
	if f := search(t, p.Problem, ZeroOrder(ZeroOrderOptions{}), 20, 3); f.Score != f.First {
		t.Errorf("a single number has no neighbours: %v after %v", f.Score, f.First)
	}
}

// The pivot is followed from outside: every round's neighbours stand at the angle to the best so far, which only gets better.
func TestZeroOrder_pivot(t *testing.T) {
	p := newSpace(t, 64, away)
	const neighbours = 5
	search(t, p.Problem, ZeroOrder(ZeroOrderOptions{Cosine: 0.9, Neighbours: neighbours}), 2*(1+neighbours*40), 9)
	if len(p.tried) != 1+neighbours*40 {
		t.Fatalf("%d pictures", len(p.tried))
	}
	pivot, moves := p.tried[0], 0
	length := norm(pivot)
	for round := range slices.Chunk(p.tried[1:], neighbours) {
		next := pivot
		for _, y := range round {
			if c := cosine(pivot, y); math.Abs(c-0.9) > 1e-6 {
				t.Fatalf("after %d moves a neighbour's cosine is %v", moves, c)
			}
			if d := norm(y)/length - 1; math.Abs(d) > 1e-6 {
				t.Fatalf("after %d moves the length is off by %v", moves, d)
			}
			if away(y) > away(next) {
				next = y
			}
		}
		if &next[0] != &pivot[0] {
			pivot, moves = next, moves+1
		}
	}
	if moves < 5 || moves == 40 {
		t.Errorf("%d moves in 40 rounds", moves)
	}
}

func TestZeroOrder_restart(t *testing.T) {
	p := newSpace(t, 64, func([]float32) float64 { return 1 })
	search(t, p.Problem, ZeroOrder(ZeroOrderOptions{Neighbours: 3, Restart: true}), 2*16, 1)
	for k := range slices.Chunk(p.tried, 4) { // no neighbour is better: fresh noise and three neighbours in every round
		for _, y := range k[1:] {
			if c := cosine(k[0], y); math.Abs(c-0.95) > 1e-6 {
				t.Errorf("a neighbour's cosine is %v", c)
			}
		}
		if c := cosine(k[0], p.tried[0]); c != cosine(p.tried[0], p.tried[0]) && math.Abs(c) > 0.5 {
			t.Errorf("after a restart the cosine is %v", c)
		}
	}
	p = newSpace(t, 64, first)
	f := search(t, p.Problem, ZeroOrder(ZeroOrderOptions{Cosine: 1}), 100, 1)
	if f.Score != f.First || f.Calls != 50 {
		t.Errorf("cosine 1 moves: %+v", f)
	}
}
