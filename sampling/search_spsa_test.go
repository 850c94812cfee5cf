package sampling

import (
	"context"
	"math"
	"slices"
	"testing"
)

// quadratic is b·z − ½ Σ hᵢzᵢ² with its gradient.
func quadratic(z []float32) (value float64, gradient []float64) {
	gradient = make([]float64, len(z))
	for i, v := range z {
		b, h := math.Sin(float64(i+1)), 0.2+0.1*float64(i%5)
		value += b*float64(v) - h/2*float64(v)*float64(v)
		gradient[i] = b - h*float64(v)
	}
	return value, gradient
}

// differencesAt runs a search of one estimate and returns where it was made, the directions, and the estimate.
func differencesAt(t *testing.T, p *space, pairs int, mu float64) (z []float32, deltas [][]float32, g []float32) {
	t.Helper()
	m := func(ctx context.Context, s *Search) (err error) {
		z = s.fresh()
		g, _, err = s.differences(ctx, z, pairs, mu)
		return err
	}
	if _, err := RunSearch(t.Context(), p.Problem, m, SearchOptions{Budget: 2 * (1 + 2*pairs), Seed: 6}); err != nil {
		t.Fatal(err)
	}
	for k := range pairs {
		delta := make([]float32, p.Size)
		for i := range delta {
			delta[i] = (p.tried[1+2*k][i] - p.tried[2+2*k][i]) / float32(2*mu)
		}
		deltas = append(deltas, delta)
	}
	return z, deltas, g
}

func TestDifferences(t *testing.T) {
	value := func(z []float32) float64 { v, _ := quadratic(z); return v }
	// Central differences of a quadratic are exact: the estimate is the gradient seen along the directions.
	p := newSpace(t, 24, value)
	z, deltas, got := differencesAt(t, p, 3, 0.25)
	_, gradient := quadratic(z)
	want := make([]float64, len(z))
	for _, d := range deltas {
		slope := 0.0
		for i, g := range gradient {
			slope += g * float64(d[i])
		}
		accumulate(want, slope/3, d)
	}
	for i := range want {
		if math.Abs(float64(got[i])-want[i]) > 1e-4 {
			t.Errorf("number %d: %v, not %v", i, got[i], want[i])
		}
	}
	if c := cosine(p.tried[0], z); c < 1-1e-6 {
		t.Error("the noise itself was not tried")
	}
	// Over many directions that is the gradient; the squared error of K directions is (d+1)/K of its square.
	const pairs = 6000
	p = newSpace(t, 8, value)
	z, _, got = differencesAt(t, p, pairs, 0.25)
	_, gradient = quadratic(z)
	square, off := 0.0, 0.0
	for i, g := range gradient {
		square += g * g
		off += (float64(got[i]) - g) * (float64(got[i]) - g)
	}
	if off > 3*9.0/pairs*square {
		t.Errorf("off by %v of the gradient", math.Sqrt(off/square))
	}
}

func TestDifferences_drops(t *testing.T) {
	p := newSpace(t, 16, nil)
	k := 0
	verify := func(score func(k int) float64) {
		p.Verify, k = func(_ context.Context, x []float32, images int) ([]float64, error) {
			out := make([]float64, images)
			for i := range out {
				out[i], k = score(k), k+1
				p.tried = append(p.tried, x[i*16:(i+1)*16])
			}
			return out, nil
		}, 0
	}
	verify(func(k int) float64 { return []float64{0, 1, math.NaN(), math.NaN(), 3, 5, 4}[k] })
	_, deltas, got := differencesAt(t, p, 3, 0.5)
	one, _ := Sample(t.Context(), p.Plan, []float32{1}, 1, zeroModel, nil)
	for i := range got { // the third pair alone counts: (5−4)/(2·0.5)·δ
		if want := deltas[2][i] / one[0]; math.Abs(float64(got[i]-want)) > 1e-4 {
			t.Fatalf("number %d: %v, not %v", i, got[i], want)
		}
	}
	verify(func(k int) float64 { return []float64{0, math.NaN(), 1}[k] })
	if _, _, got := differencesAt(t, p, 1, 0.5); squared(got) != 0 {
		t.Errorf("without a pair: %v", got)
	}
}

// On the sphere the noise keeps its length; with the regulariser it comes back to √(d−1) from anywhere.
func TestSPSA_length(t *testing.T) {
	const size, pairs, iterations = 256, 2, 60
	for _, c := range []struct {
		o         SPSAOptions
		tolerance float64 // of the length, at the end
	}{
		{SPSAOptions{Pairs: pairs}, 1e-5},
		{SPSAOptions{Pairs: pairs, Regulariser: 0.5}, 0.05},
	} {
		p := newSpace(t, size, first)
		f := search(t, p.Problem, SPSA(c.o), 2*(1+2*pairs)*iterations, 4)
		want, rate := norm(p.tried[0]), 0.2
		if c.o.Regulariser > 0 {
			want = math.Sqrt(size - 1)
		}
		var path [][]float32
		for k := 0; k < len(p.tried); k += 1 + 2*pairs {
			path = append(path, p.tried[k])
		}
		last := path[len(path)-1]
		if d := norm(last)/want - 1; len(path) != iterations || math.Abs(d) > c.tolerance {
			t.Errorf("%+v: after %d iterations the length is off by %v", c.o, len(path), d)
		}
		for k, z := range path[1:] {
			if angle := math.Acos(cosine(path[k], z)); c.o.Regulariser == 0 && math.Abs(angle-rate) > 1e-3 {
				t.Fatalf("iteration %d turns by %v", k, angle)
			}
		}
		random := search(t, p.Problem, RandomSearch(), f.NFE, 4)
		if f.Score < random.Score+1 {
			t.Errorf("%+v: %v, fresh noise %v", c.o, f.Score, random.Score)
		}
	}
	// Twice as long as noise should be, in a direction that says nothing.
	x, d := make([]float32, size), make([]float32, size)
	NewNoise(1)(x, 0, 0)
	scaleTo(x, x, 2)
	d[0] = 1
	o := SPSAOptions{Regulariser: 0.3}
	for range 60 {
		o.pull(x, d)
	}
	if off := norm(x)/math.Sqrt(size-1) - 1; math.Abs(off) > 1e-3 {
		t.Errorf("drawn back to within %v of the length", off)
	}
}

func TestTurn(t *testing.T) {
	x := []float32{3, 0}
	d := []float32{5, 2} // outwards and to the side
	turn(x, d, math.Pi/6)
	if math.Abs(float64(x[0])-3*math.Cos(math.Pi/6)) > 1e-6 || math.Abs(float64(x[1])-1.5) > 1e-6 || d[0] != 0 || d[1] != 2 {
		t.Errorf("%v, direction %v", x, d)
	}
	x, d = []float32{3, 0}, []float32{-5, 0}
	turn(x, d, 1)
	if !slices.Equal(x, []float32{3, 0}) {
		t.Errorf("along itself: %v", x)
	}
}
