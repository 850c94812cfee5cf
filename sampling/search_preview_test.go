package sampling

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
)

// stopped is what a method has to show when the context ends in evaluation number n of a network or verifier.
func stopped(t *testing.T, info SearchInfo, n int) (f Found, scored []Point) {
	t.Helper()
	p := noisyToy(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	count := func() {
		if n--; n == 0 {
			cancel()
		}
	}
	g := p.still()
	model, verify, back, slope := p.Model, p.Verify, g.Network, g.Verify
	p.Model = func(ctx context.Context, dst, x []float32, ts float64) error {
		count()
		return errors.Join(model(ctx, dst, x, ts), ctx.Err())
	}
	p.Verify = func(ctx context.Context, x []float32, images int) ([]float64, error) {
		count()
		scores, err := verify(ctx, x, images)
		return scores, errors.Join(err, ctx.Err())
	}
	g.Verify = func(ctx context.Context, x []float32, images int) ([]float64, []float32, error) {
		count()
		scores, gradient, err := slope(ctx, x, images)
		return scores, gradient, errors.Join(err, ctx.Err())
	}
	g.Network = func(ctx context.Context, output, x []float32, ts float64, cot func() ([]float32, error)) ([]float32, error) {
		count()
		gradient, err := back(ctx, output, x, ts, cot)
		return gradient, errors.Join(err, ctx.Err())
	}
	f, err := RunSearch(ctx, p.Problem, info.Method(g), SearchOptions{Budget: 130, Seed: 3, OnPoint: func(p Point) error {
		scored = append(scored, p)
		return nil
	}})
	if (err != nil) != (ctx.Err() != nil) || err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("%s: %v", info.Name, err)
	}
	return f, scored
}

// Whatever the method, a search that was stopped after its first look, of up to 9 calls, has something to show, and its score is one that was given.
func TestRunSearch_preview(t *testing.T) {
	for _, info := range SearchMethods() {
		previews, withScore, shown := 0, 0, false
		for n := 2; ; n++ {
			f, trace := stopped(t, info, n)
			if f.Latents == nil && (shown || n > 9) || f.Latents != nil && !finite(f.Latents) {
				t.Errorf("%s, stopped at %d: nothing to show", info.Name, n)
			}
			finished := slices.ContainsFunc(trace, func(p Point) bool { return !math.IsInf(p.Best, 0) })
			if f.Latents != nil && f.Preview == finished {
				t.Errorf("%s, stopped at %d: preview %v, but a picture was finished: %v", info.Name, n, f.Preview, finished)
			}
			if !f.Preview {
				if f.Latents != nil {
					break
				}
				continue
			}
			previews++
			shown = true
			if math.IsNaN(f.Score) {
				continue
			}
			withScore++
			if !slices.ContainsFunc(trace, func(p Point) bool { return p.Score == f.Score }) && !info.Gradient {
				t.Errorf("%s, stopped at %d: nobody gave the score %v", info.Name, n, f.Score)
			}
		}
		if previews < 3 {
			t.Errorf("%s: %d previews", info.Name, previews)
		}
		if steered := slices.Contains([]string{"svdd", "smc", "rbf", "das", "guidance", "paths", "parm"}, info.Name); steered != (withScore > 0) {
			t.Errorf("%s: %d of %d previews have a score", info.Name, withScore, previews)
		}
	}
}

func TestSearch_glimpsed(t *testing.T) {
	p := newToy(t, 5).Problem
	nan := math.NaN()
	picture := func(v float32) []float32 { return slices.Repeat([]float32{v}, toySize) }
	s := &Search{Problem: p}
	for i, c := range []struct {
		index  int
		x      []float32
		scores []float64
		want   float32
	}{
		{0, slices.Concat(picture(1), picture(2)), nil, 1},
		{1, picture(3), nil, 3},
		{0, picture(4), nil, 3},
		{1, picture(float32(nan)), nil, 3},
		{0, slices.Concat(picture(5), picture(6), picture(7)), []float64{nan, -2, -3}, 6}, // a scored one before others
		{2, picture(8), nil, 6},
		{0, picture(9), []float64{-2.5}, 6},
		{0, picture(10), []float64{-1}, 10},
		{2, picture(11), []float64{-9}, 11}, // later steps before better ones
		{1, picture(12), []float64{5}, 11},
		{3, picture(13), []float64{nan}, 11},
	} {
		if s.glimpsed(c.index, c.x, c.scores); s.glimpse.latents[0] != c.want {
			t.Errorf("number %d: %v is kept, want %v", i, s.glimpse.latents[0], c.want)
		}
	}
	if s.keepGlimpse(); s.found.Latents[0] != 11 || s.found.Score != -9 || !s.found.Preview {
		t.Errorf("%+v", s.found)
	}
}
