package sampling

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
)

// toy is a problem whose pictures are known: the network predicts no noise, so that every picture is its initial noise times a
// factor, and the score is the first number of the picture.
type toy struct {
	Problem
	factor float64
	calls  int
}

const toySize = 8

func newToy(t testing.TB, steps int) *toy {
	t.Helper()
	cfg, err := NewConfig("ddim")
	if err != nil {
		t.Fatal(err)
	}
	cfg.ClipSample = false
	sched, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := sched.Plan(steps, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &toy{}
	p.Problem = Problem{
		Plan: plan, Size: toySize, NFE: 2, Batch: 3,
		Model: func(_ context.Context, dst, x []float32, _ float64) error {
			p.calls++
			if len(x)%toySize != 0 || len(x) > 3*toySize {
				t.Errorf("a call with %d numbers", len(x))
			}
			clear(dst)
			return nil
		},
		Verify: func(_ context.Context, x []float32, images int) ([]float64, error) {
			out := make([]float64, images)
			for i := range out {
				out[i] = float64(x[i*toySize])
			}
			return out, nil
		},
	}
	one := slices.Repeat([]float32{1}, toySize)
	st, err := Sample(t.Context(), plan, one, 1, p.Model, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.factor, p.calls = float64(st[0]), 0
	return p
}

func search(t testing.TB, p Problem, m Method, budget int, seed uint64) Found {
	t.Helper()
	f, err := RunSearch(t.Context(), p, m, SearchOptions{Budget: budget, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	if f.NFE > budget {
		t.Errorf("%d evaluations of %d", f.NFE, budget)
	}
	return f
}

func TestRandomSearch(t *testing.T) {
	p := newToy(t, 5)
	noise := make([]float32, toySize)
	NewNoise(7)(noise, math.Inf(1), math.Inf(1))
	last := math.Inf(-1)
	for _, n := range []int{1, 2, 4, 7, 16} {
		f := search(t, p.Problem, RandomSearch(), n*10+9, 7)
		if f.NFE != n*10 || f.Calls != n || f.Dropped != 0 {
			t.Errorf("N = %d: %+v", n, f)
		}
		if d := f.First - float64(noise[0])*p.factor; math.Abs(d) > 1e-5*p.factor {
			t.Errorf("the first picture scores %v, the seed's %v", f.First, float64(noise[0])*p.factor)
		}
		if f.Score < last || math.Abs(f.Score-float64(f.Noise[0])*p.factor) > 1e-5*p.factor || float64(f.Latents[0]) != f.Score {
			t.Errorf("N = %d: score %v after %v", n, f.Score, last)
		}
		last = f.Score
	}
	if again := search(t, p.Problem, RandomSearch(), 169, 7); again.Score != last || len(again.Trace) == 0 || again.Trace[len(again.Trace)-1].Best != last {
		t.Errorf("a second run: %v after %v", again.Score, last)
	}
}

func TestRunSearch_drops(t *testing.T) {
	p := newToy(t, 5)
	plain := p.Verify
	p.Verify = func(ctx context.Context, x []float32, images int) ([]float64, error) {
		out, err := plain(ctx, x, images)
		for i := range out {
			if out[i] > 0 {
				out[i] = math.NaN()
			}
		}
		return out, err
	}
	f := search(t, p.Problem, RandomSearch(), 200, 1)
	if f.Dropped == 0 || f.Score > 0 || f.Calls != 20 {
		t.Errorf("%+v", f)
	}
	p.Verify = func(_ context.Context, _ []float32, images int) ([]float64, error) {
		return slices.Repeat([]float64{math.NaN()}, images), nil
	}
	if _, err := RunSearch(t.Context(), p.Problem, RandomSearch(), SearchOptions{Budget: 100}); !errors.Is(err, ErrNoScore) {
		t.Errorf("nothing scored: %v", err)
	}
	broken := errors.New("down")
	calls := 0
	p.Verify = func(ctx context.Context, x []float32, images int) ([]float64, error) {
		if calls++; calls > 2 {
			return nil, broken
		}
		return plain(ctx, x, images)
	}
	f, err := RunSearch(t.Context(), p.Problem, RandomSearch(), SearchOptions{Budget: 200})
	if !errors.Is(err, broken) || f.Latents == nil || f.Calls != 6 {
		t.Errorf("a verifier that fails: %+v, %v", f, err)
	}
}

func TestRunSearch_stops(t *testing.T) {
	p := newToy(t, 5)
	ctx, cancel := context.WithCancel(t.Context())
	f, err := RunSearch(ctx, p.Problem, RandomSearch(), SearchOptions{Budget: 1000, OnPoint: func(pt Point) error {
		if pt.Calls > 6 {
			cancel()
		}
		return nil
	}})
	if !errors.Is(err, context.Canceled) || f.Latents == nil || f.Calls != 9 {
		t.Errorf("interrupted: %+v, %v", f, err)
	}
	if _, err := RunSearch(t.Context(), p.Problem, RandomSearch(), SearchOptions{Budget: 9}); err == nil {
		t.Error("a budget below one picture was taken")
	}
	for _, bad := range []func(*Problem){func(p *Problem) { p.Size = 0 }, func(p *Problem) { p.NFE = 0 }, func(p *Problem) { p.Batch = -1 }} {
		q := p.Problem
		bad(&q)
		if _, err := RunSearch(t.Context(), q, RandomSearch(), SearchOptions{Budget: 100}); err == nil {
			t.Errorf("%+v was taken", q)
		}
	}
}
