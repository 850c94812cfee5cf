package sampling

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"winnow/internal/rng"
)

func TestNormalised(t *testing.T) {
	inf := math.Inf(-1)
	for _, c := range []struct {
		logs, want []float64
	}{
		{[]float64{0, 0, 0, 0}, []float64{0.25, 0.25, 0.25, 0.25}},
		{[]float64{5000, 5000 + math.Log(3)}, []float64{0.25, 0.75}},
		{[]float64{-5000, math.NaN(), -5000, inf}, []float64{0.5, 0, 0.5, 0}},
		{[]float64{inf, math.NaN()}, nil},
	} {
		got := normalised(c.logs)
		if len(got) != len(c.want) {
			t.Errorf("%v: %v", c.logs, got)
			continue
		}
		for i, w := range c.want {
			if !(math.Abs(got[i]-w) <= 1e-12) {
				t.Errorf("%v: %v, not %v", c.logs, got, c.want)
			}
		}
	}
}

func TestEffective(t *testing.T) {
	for _, c := range []struct {
		weights []float64
		want    float64
	}{
		{[]float64{0.25, 0.25, 0.25, 0.25}, 4},
		{[]float64{0, 1, 0}, 1},
		{[]float64{0.5, 0.5, 0, 0}, 2},
		{[]float64{0.6, 0.4}, 1 / 0.52},
	} {
		if got := effective(c.weights); !(math.Abs(got-c.want) <= 1e-12) {
			t.Errorf("%v: %v, not %v", c.weights, got, c.want)
		}
	}
}

// Averaged over all shifts, systematic resampling chooses each index as often as its weight says; for one shift it is off by less
// than one, and weight 0 is never chosen.
func TestSystematic(t *testing.T) {
	weights := []float64{0, 0.07, 0.5, 0, 0.02, 0.41, 0}
	for _, n := range []int{1, 2, 7, 16} {
		const shifts = 4000
		counts := make([]float64, len(weights))
		for k := range shifts {
			here := make([]float64, len(weights))
			chosen := systematic(weights, n, (float64(k)+0.5)/shifts)
			for _, i := range chosen {
				here[i]++
			}
			for i, w := range weights {
				if d := math.Abs(here[i] - float64(n)*w); d >= 1+1e-9 || w == 0 && here[i] != 0 || len(chosen) != n {
					t.Fatalf("%d at shift %d: %v", n, k, chosen)
				}
				counts[i] += here[i] / shifts
			}
		}
		for i, w := range weights {
			if !(math.Abs(counts[i]-float64(n)*w) <= 2.0/shifts) {
				t.Errorf("%d: index %d is chosen %v times on average, not %v", n, i, counts[i], float64(n)*w)
			}
		}
	}
	thirds := []float64{1. / 3, 1. / 3, 1./3 - 1e-9, 0}
	if got := systematic(thirds, 3, math.Nextafter(1, 0)); got[2] != 2 {
		t.Errorf("weights that sum to less than 1: %v", got)
	}
}

// The factors of a line's potentials, and that the end replaces them by exp(λr).
func TestParticle(t *testing.T) {
	scores, lambdas := []float64{-2, 1, -0.5, 3}, []float64{0.1, 0.4, 0.7, 1}
	for _, c := range []struct {
		kind Potential
		want []float64
	}{
		{PotentialDiff, []float64{-0.2, 0.4, -0.35, 3}}, // telescopes to λr
		{PotentialMax, []float64{-0.2, 0.2, 0.9, 3.9}},  // negative scores count: no floor at 0
		{PotentialAdd, []float64{-0.2, -0.6, -1.65, -0.15}},
		{PotentialRT, []float64{-0.2, 0.2, -0.15, 2.85}},
	} {
		p := newParticles(1)[0]
		for i, r := range scores {
			p.meet(c.kind, lambdas[i], r)
			if !(math.Abs(p.psi-c.want[i]) <= 1e-12) || p.weight != p.psi {
				t.Errorf("%s after %v: %v, weight %v, not %v", c.kind, scores[:i+1], p.psi, p.weight, c.want[i])
			}
		}
		if p.end(1, 2.5); !(math.Abs(p.weight-2.5) <= 1e-12) {
			t.Errorf("%s: a weight of %v at the end, not 2.5", c.kind, p.weight)
		}
	}
	for _, r := range []float64{0.5, 4} {
		from := particle{}
		from.meet(PotentialDiff, 2, r)
		to := from
		for _, v := range []float64{1, -3, 0.25} {
			to.meet(PotentialDiff, 2, v)
		}
		if got, want := to.psi-from.psi, 2*(0.25-r); !(math.Abs(got-want) <= 1e-12) {
			t.Errorf("potentials after the first multiply to exp(%v), not exp(%v)", got, want)
		}
	}
}

func TestSMCOptions_lambda(t *testing.T) {
	o := SMCOptions{Temperature: 0.5, Gamma: 0.008}
	for _, c := range []struct{ share, want float64 }{{0, 0}, {0.01, 0.016}, {0.5, 2 * (math.Pow(1.008, 50) - 1)}, {0.9, 2}, {1, 2}} {
		if got := o.lambda(c.share); !(math.Abs(got-c.want) <= 1e-12) {
			t.Errorf("after %v of the run λ is %v, not %v", c.share, got, c.want)
		}
	}
	if got := (&SMCOptions{Temperature: 0.5}).lambda(0.01); got != 2 {
		t.Errorf("without tempering λ is %v", got)
	}
}

// On a linear-Gaussian problem exp(λx) moves the sampler's law N(0, v) to N(λv, v), and the weighted particles say so whatever the
// potential, the tempering and the resampling.
func TestSMC_gauss(t *testing.T) {
	const lambda, particles, runs = 0.8, 300, 24
	for _, sampler := range []string{"ddim", "euler-a"} {
		p := newGauss(t, sampler, 8)
		for i, o := range []SMCOptions{
			{Potential: PotentialDiff},
			{Potential: PotentialDiff, Threshold: 1, Gamma: 0.008},
			{Potential: PotentialMax, Threshold: 1},
			{Potential: PotentialAdd, Threshold: 0.9, Checks: []float64{0.4, 0.7}},
			{Potential: PotentialRT, Threshold: 0.7, Checks: []float64{0.5, 0.9}},
		} {
			o.Temperature = 1 / lambda
			var means, squares []float64
			for seed := range uint64(runs) {
				o.OnEnd = func(x []float32, weights []float64) {
					mean, square := 0.0, 0.0
					for k, w := range weights {
						v := float64(x[k*toySize])
						mean += w * v
						square += w * v * v
					}
					means, squares = append(means, mean), append(squares, square)
				}
				search(t, p.Problem, SMC(o), particles*16, seed)
			}
			want := lambda * p.variance
			if mean, se := meanOf(means); !(math.Abs(mean-want) <= 3*se) || se > 0.1*want || len(means) != runs {
				t.Errorf("%s, options %d: mean %v ± %v, not %v", sampler, i, mean, se, want)
			}
			want = p.variance + want*want
			if mean, se := meanOf(squares); !(math.Abs(mean-want) <= 3*se) {
				t.Errorf("%s, options %d: second moment %v ± %v, not %v", sampler, i, mean, se, want)
			}
		}
	}
}

func TestSMC_uniform(t *testing.T) {
	p := newGauss(t, "ddim", 6)
	ends := 0
	search(t, p.Problem, SMC(SMCOptions{Temperature: math.Inf(1), Particles: 4, OnEnd: func(x []float32, weights []float64) {
		ends++
		if len(x) != 4*toySize {
			t.Errorf("%d numbers at the end", len(x))
		}
		for _, w := range weights {
			if w != 0.25 {
				t.Errorf("weights without steering: %v", weights)
			}
		}
		seen := map[string]bool{}
		for k := range 4 {
			seen[fmt.Sprint(x[k*toySize:(k+1)*toySize])] = true
		}
		if len(seen) != 4 {
			t.Error("particles were copied")
		}
	}}), 4*12*2, 3)
	if ends != 2 {
		t.Errorf("%d runs of a budget for two", ends)
	}
}

// Copies part in the step at which they are made; the last step here adds no noise, so none are made before it.
func TestSMC_copies(t *testing.T) {
	p := newGauss(t, "ddim", 6)
	seen := map[string]bool{}
	search(t, p.Problem, SMC(SMCOptions{Temperature: 1e-4, Checks: []float64{0.6, 0.9}, OnEnd: func(x []float32, _ []float64) {
		for k := 0; k < len(x); k += toySize {
			seen[fmt.Sprint(x[k:k+toySize])] = true
		}
	}}), 8*12, 3)
	if len(seen) != 8 {
		t.Errorf("%d different pictures of 8", len(seen))
	}
}

// A check after which no noise is added, as in the last step here, is left out.
func TestSMC_checks(t *testing.T) {
	p := newGauss(t, "ddim", 6)
	for _, c := range []struct {
		checks []float64
		calls  int
	}{{[]float64{0.3, 0.6}, 3 * 8}, {[]float64{0.6, 0.9}, 2 * 8}, {[]float64{0.9}, 8}, {[]float64{}, 8}} {
		if f := search(t, p.Problem, SMC(SMCOptions{Checks: c.checks}), 8*12, 3); f.Calls != c.calls {
			t.Errorf("checks %v: %d verified, not %d", c.checks, f.Calls, c.calls)
		}
	}
}

// A particle that cannot be scored is replaced at once, though the weights of the others are equal, and takes its history along.
func TestSearch_resample(t *testing.T) {
	p := newGauss(t, "ddim", 6)
	s := &Search{Problem: p.Problem, budget: 1000, stream: rng.New(1)}
	st, err := s.Start(s.draw(4), 4)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := s.Look(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		scores, psi []float64
		moves       bool
	}{
		{[]float64{1, 1, math.NaN(), 1}, []float64{2, 2, 2, 2}, true},
		{[]float64{1, 1.2, 0.8, 1}, []float64{2, 2.4, 1.6, 2}, false},
		{[]float64{1, 90, 0.8, 1}, []float64{180, 180, 180, 180}, true},
	} {
		lines := newParticles(4)
		got, err := s.resample(&SMCOptions{Temperature: 0.5, Threshold: 0.5, Potential: PotentialRT}, seen, lines, c.scores)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(got.X, seen.X) == c.moves {
			t.Errorf("%v: resampled is %v", c.scores, !c.moves)
		}
		for i := range lines {
			if weight := lines[i].weight; lines[i].psi != c.psi[i] || (weight == 0) != c.moves {
				t.Errorf("%v: particle %d has %+v", c.scores, i, lines[i])
			}
		}
	}
	got, err := s.resample(&SMCOptions{Temperature: 1}, seen, newParticles(4), slices.Repeat([]float64{math.NaN()}, 4))
	if err != nil || got.Images != 0 {
		t.Errorf("none alive: %d images, %v", got.Images, err)
	}
}
