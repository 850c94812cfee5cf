package sampling

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
)

// still is the toy, whose network predicts no noise, with the way back through it.
func still(t testing.TB, p *toy, verify GradientVerifier) Gradients {
	t.Helper()
	p.Verify = func(ctx context.Context, x []float32, images int) ([]float64, error) {
		scores, _, err := verify(ctx, x, images)
		return scores, err
	}
	return Gradients{Verify: verify, Network: func(_ context.Context, output, x []float32, _ float64, cotangent func() ([]float32, error)) ([]float32, error) {
		clear(output)
		_, err := cotangent()
		return make([]float32, len(x)), err
	}}
}

// bowl scores −½‖x − target‖².
func bowl(target []float32) GradientVerifier {
	return func(_ context.Context, x []float32, images int) ([]float64, []float32, error) {
		scores, slope := make([]float64, images), make([]float32, len(x))
		for i, v := range x {
			slope[i] = target[i%len(target)] - v
			scores[i/len(target)] -= 0.5 * float64(slope[i]) * float64(slope[i])
		}
		return scores, slope, nil
	}
}

// firstSlope climbs the first number of a picture.
func firstSlope(_ context.Context, x []float32, images int) ([]float64, []float32, error) {
	scores, slope := make([]float64, images), make([]float32, len(x))
	for i := range scores {
		scores[i], slope[i*toySize] = float64(x[i*toySize]), 1
	}
	return scores, slope, nil
}

func TestReNO_bowl(t *testing.T) {
	for _, steps := range []int{1, 3} {
		p := newToy(t, steps)
		target := make([]float32, toySize)
		for i := range target {
			target[i] = float32(p.factor * math.Sin(float64(2*i)))
		}
		var noises [][]float32
		g := still(t, p, bowl(target))
		verify := p.Verify
		p.Verify = func(ctx context.Context, x []float32, images int) ([]float64, error) {
			noises = append(noises, moved(make([]float32, toySize), 1/p.factor, wide(x)))
			return verify(ctx, x, images)
		}
		o := ReNOOptions{Iterations: 60, Rate: 0.5, Clip: 0.2, Weight: 1 / (p.factor * p.factor), Regulariser: -1}
		f := search(t, p.Problem, ReNO(g, o), 60*(3*steps-1)*2, 4)
		if f.NFE != 60*(3*steps-1)*2 || len(noises) != 60 || f.Calls != 120 {
			t.Errorf("%d steps: %d evaluations, %d pictures, %d calls", steps, f.NFE, len(noises), f.Calls)
		}
		if f.Score < -1e-3*p.factor*p.factor || f.First > -0.5*p.factor*p.factor || f.First >= f.Score {
			t.Errorf("%d steps: score %v after %v; the best is 0", steps, f.Score, f.First)
		}
		for i, v := range target {
			if math.Abs(float64(f.Latents[i]-v)) > 0.05*p.factor || math.Abs(float64(f.Noise[i])*p.factor-float64(f.Latents[i])) > 1e-4*p.factor {
				t.Errorf("%d steps: number %d is %v, the best is %v", steps, i, f.Latents[i], v)
			}
		}
		// The gradient begins longer than the clip: Nesterov's first step is rate·clip·(1 + momentum).
		if d := distance(noises[1], noises[0]); math.Abs(d-0.5*0.2*1.9) > 1e-4 {
			t.Errorf("%d steps: the first step is %v long", steps, d)
		}
		for k := 1; k < len(noises); k++ {
			// All steps of one direction: velocity clip/(1−momentum) at most.
			if d := distance(noises[k], noises[k-1]); d > 0.5*(0.2+0.9*0.2/0.1)+1e-4 {
				t.Errorf("%d steps: step %d is %v long", steps, k, d)
			}
		}
	}
}

// The regulariser alone draws the noise to the length √(d−1).
func TestReNO_regulariser(t *testing.T) {
	p := newToy(t, 1)
	flat := func(_ context.Context, x []float32, images int) ([]float64, []float32, error) {
		return []float64{-math.Abs(math.Sqrt(squared(x))/p.factor - math.Sqrt(toySize-1))}, make([]float32, len(x)), nil
	}
	g := still(t, p, flat)
	f := search(t, p.Problem, ReNO(g, ReNOOptions{Iterations: 80, Rate: 0.1, Clip: -1, Regulariser: 1}), 80*4, 1)
	if f.Score < -1e-3 || f.First > -0.02 {
		t.Errorf("the length is off by %v after %v", f.Score, f.First)
	}
}

// Adam moves every noise that the score depends on by its rate in each step while the slope stays the same.
func TestDNO_linear(t *testing.T) {
	for _, sampler := range []string{"ddim", "euler-a"} {
		p := newToy(t, 5)
		p.Plan = planOf(t, sampler, 5, nil)
		g := still(t, p, firstSlope)
		s := searchOf(p.Problem, 1<<20, 1)
		c, err := s.climb(t.Context(), g, s.draw(1), s.innerNoises())
		if err != nil {
			t.Fatal(err)
		}
		sum, noisy := math.Abs(c.initial[0]), 0
		for _, z := range c.steps {
			if z != nil {
				sum += math.Abs(z[0])
				noisy++
			}
		}
		const iterations = 12
		f := search(t, p.Problem, DNO(g, DNOOptions{Rate: 0.05}), iterations*14*2, 9)
		plain := search(t, p.Problem, RandomSearch(), 10, 9)
		if math.Abs(f.First-plain.First) > 1e-5*math.Abs(plain.First) {
			t.Errorf("%s: the first picture scores %v, the seed's %v", sampler, f.First, plain.First)
		}
		if want := f.First + (iterations-1)*0.05*sum; math.Abs(f.Score-want) > 1e-3*want || noisy < 3 || f.NFE != iterations*28 {
			t.Errorf("%s: %v after %d steps with %d evaluations, not %v; %d noises", sampler, f.Score, iterations, f.NFE, want, noisy)
		}
		if f.Noise != nil {
			t.Errorf("%s: initial noise is given for a picture that it does not make", sampler)
		}
	}
}

// climbers are the methods of this file with a gradient for the toy.
func climbers(g Gradients) map[string]Method {
	return map[string]Method{"reno": ReNO(g, ReNOOptions{}), "dno": DNO(g, DNOOptions{})}
}

// A budget for one plain picture gives the seed's; pictures that cannot be scored end a climb, and are never kept; failures are told.
func TestClimbers(t *testing.T) {
	p := newToy(t, 4)
	g := still(t, p, firstSlope)
	plain := search(t, p.Problem, RandomSearch(), 8, 3)
	for name, m := range climbers(g) {
		if f := search(t, p.Problem, m, 15, 3); !slices.Equal(f.Latents, plain.Latents) || f.NFE != 8 {
			t.Errorf("%s: %+v; the seed's picture is %+v", name, f, plain)
		}
		if f := search(t, p.Problem, m, 22*7+21, 3); f.NFE != 22*7+16 || f.First != plain.First || f.Score <= f.First {
			t.Errorf("%s: %d evaluations, %v after %v", name, f.NFE, f.Score, f.First)
		}
	}
	calls := 0
	broken := still(t, p, func(ctx context.Context, x []float32, images int) ([]float64, []float32, error) {
		scores, slope, err := firstSlope(ctx, x, images)
		if calls++; calls%3 == 0 {
			scores[0] = math.NaN()
		}
		return scores, slope, err
	})
	p.Verify = firstNumber
	for name, m := range climbers(broken) {
		calls = 0
		if f := search(t, p.Problem, m, 22*9, 3); f.Dropped != 3 || f.Calls != 9+6 || math.IsNaN(f.Score) {
			t.Errorf("%s: %+v", name, f)
		}
	}
	down := errors.New("down")
	for what, bad := range map[string]Gradients{
		"no verifier": {Network: g.Network}, "no way back": {Verify: g.Verify},
		"a verifier that fails": {Network: g.Network, Verify: func(context.Context, []float32, int) ([]float64, []float32, error) { return nil, nil, down }},
		"a short derivative":    {Network: g.Network, Verify: func(context.Context, []float32, int) ([]float64, []float32, error) { return []float64{1}, nil, nil }},
		"a short network derivative": {Verify: g.Verify, Network: func(context.Context, []float32, []float32, float64, func() ([]float32, error)) ([]float32, error) {
			return nil, nil
		}},
	} {
		for name, m := range climbers(bad) {
			f, err := RunSearch(t.Context(), p.Problem, m, SearchOptions{Budget: 100})
			if err == nil || errors.Is(err, ErrNoScore) || f.Latents != nil {
				t.Errorf("%s, %s: %+v, %v", name, what, f, err)
			}
		}
	}
}

func TestClimbers_settings(t *testing.T) {
	p := newToy(t, 4)
	g := still(t, p, firstSlope)
	for name, m := range map[string]Method{
		"reno iterations": ReNO(g, ReNOOptions{Iterations: -1}), "reno rate": ReNO(g, ReNOOptions{Rate: -5}),
		"reno momentum": ReNO(g, ReNOOptions{Momentum: 1}), "reno weight": ReNO(g, ReNOOptions{Weight: math.NaN()}),
		"dno iterations": DNO(g, DNOOptions{Iterations: -1}), "dno rate": DNO(g, DNOOptions{Rate: math.NaN()}), "dno clip": DNO(g, DNOOptions{Clip: math.NaN()}),
	} {
		if f, err := RunSearch(t.Context(), p.Problem, m, SearchOptions{Budget: 400}); err == nil || errors.Is(err, ErrNoScore) || f.NFE != 0 {
			t.Errorf("%s was taken: %v, %d evaluations", name, err, f.NFE)
		}
	}
}
