package sampling

import (
	"context"
	"math"
	"slices"
	"testing"
)

// redrawn is a problem for Suffix: a sampler that draws noise, a network that is not linear unless asked for, the first number of
// the picture as the score.
func redrawn(t *testing.T, sampler string, steps int, bend float64) Problem {
	t.Helper()
	cfg, err := NewConfig(sampler)
	if err != nil {
		t.Fatal(err)
	}
	cfg.ClipSample = false
	sched, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := sched.Plan(steps, &PlanOptions{Eta: 1})
	if err != nil {
		t.Fatal(err)
	}
	p := newToy(t, steps).Problem
	p.Plan, p.Batch = plan, 2
	p.Model = func(_ context.Context, dst, x []float32, at float64) error {
		for i, v := range x {
			dst[i] = float32(0.3*float64(v) + bend*math.Sin(3*float64(v)+at/100))
		}
		return nil
	}
	return p
}

// replay makes the picture of a state's noise from the beginning.
func replay(t *testing.T, p Problem, noise []float32) []float32 {
	t.Helper()
	rest := noise[p.Size:]
	x, err := Sample(t.Context(), p.Plan, noise[:p.Size], 1, p.Model, &Options{Noise: func(dst []float32, _, _ float64) {
		copy(dst, rest[:p.Size])
		rest = rest[p.Size:]
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(rest) != 0 {
		t.Errorf("%d numbers of noise too many", len(rest))
	}
	return x
}

// What a chain keeps between proposals must be what its noise makes when it is done from the beginning.
func TestSuffix_replay(t *testing.T) {
	for _, sampler := range []string{"ddim", "ddpm", "euler-a", "dpmpp-2m-sde"} {
		for _, o := range []ChainOptions{{Beta: 1}, {Beta: 1, Chains: 3, Step: 0.5}} {
			p := redrawn(t, sampler, 6, 0.2)
			moves := 0
			o.OnState = func(st ChainState) {
				if st.Accepted {
					moves++
				}
				if x := replay(t, p, st.Noise); float64(x[0]) != st.Score {
					t.Fatalf("%s, chain %d, proposal %d: the score is %v, of its noise %v", sampler, st.Chain, st.Proposal, st.Score, x[0])
				}
			}
			if f := search(t, p, Suffix(SuffixOptions{ChainOptions: o}), 1200, 3); moves < 20 || f.Noise != nil || f.Score <= f.First {
				t.Errorf("%s: %d moves, %v after %v", sampler, moves, f.Score, f.First)
			}
		}
	}
}

func TestSuffix_firstIsTheSeeds(t *testing.T) {
	for _, sampler := range []string{"ddpm", "dpmpp-2m-sde"} {
		p := redrawn(t, sampler, 4, 0.2)
		source := NewNoise(13)
		noise := make([]float32, p.Size)
		source(noise, 0, 0)
		want, err := Sample(t.Context(), p.Plan, noise, 1, p.Model, &Options{Noise: source})
		if err != nil {
			t.Fatal(err)
		}
		if f := search(t, p, Suffix(SuffixOptions{ChainOptions: ChainOptions{Chains: 2}}), 400, 13); !slices.Equal(f.FirstLatents, want) {
			t.Errorf("%s: the first picture is %v, the seed's %v", sampler, f.FirstLatents, want)
		}
	}
}

// Without preferences everything is accepted, all noise stays standard normal, and a proposal costs the steps behind its place.
func TestSuffix_constant(t *testing.T) {
	const steps, proposals = 5, 2000
	p := redrawn(t, "ddim", steps, 0)
	p.Verify = func(_ context.Context, _ []float32, images int) ([]float64, error) {
		return make([]float64, images), nil
	}
	p.Batch = 1
	var values []float64
	accepted, states := 0, 0
	o := ChainOptions{Beta: 1, Step: 0.9, OnState: func(st ChainState) {
		if states++; st.Accepted {
			accepted++
		}
		if len(st.Noise) != (1+steps)*p.Size {
			t.Fatalf("%d numbers of noise", len(st.Noise))
		}
		if st.Proposal%30 == 0 {
			for _, v := range st.Noise {
				values = append(values, float64(v))
			}
		}
	}}
	costs, spent := map[int]int{}, 0
	f, err := RunSearch(t.Context(), p, Suffix(SuffixOptions{ChainOptions: o}), SearchOptions{Budget: 2 * steps * proposals, Seed: 1, OnPoint: func(pt Point) error {
		costs[pt.NFE-spent]++
		spent = pt.NFE
		return nil
	}})
	if err != nil || accepted != states-1 || f.Calls != states {
		t.Errorf("%d accepted of %d, %d calls: %v", accepted, states, f.Calls, err)
	}
	if d := kolmogorov(values); d > 1.63 {
		t.Errorf("%d numbers: Kolmogorov's statistic is %v", len(values), d)
	}
	// Places are the initial noise and each of the steps but the last, whose noise has no weight. All steps follow on the first two.
	for cost, share := range map[int]float64{4: 1, 6: 1, 8: 1, 10: 2} {
		n := float64(states)
		if got := float64(costs[cost]); math.Abs(got-n*share/5) > 4*math.Sqrt(n*share/5) {
			t.Errorf("%v proposals of %v cost %d evaluations", got, n, cost)
		}
	}
	if len(costs) != 4 {
		t.Errorf("costs %v", costs)
	}
}

// The picture is linear in all noise, so that without preferences the score is normal with a variance V that single numbers of noise
// give; under exp(score/β) its mean moves by V/β.
func TestSuffix_linear(t *testing.T) {
	p := redrawn(t, "ddim", 4, 0)
	variance := 0.0
	for k := range 1 + p.Plan.Len() {
		unit := make([]float32, (1+p.Plan.Len())*p.Size)
		unit[k*p.Size] = 1
		variance += math.Pow(float64(replay(t, p, unit)[0]), 2)
	}
	deviation := math.Sqrt(variance)
	for _, step := range []float64{1, 0.6} {
		var scores, spread series
		o := ChainOptions{Beta: deviation, Chains: 2, Step: step, OnState: func(st ChainState) {
			if st.Proposal > 500 {
				scores = append(scores, st.Score/deviation)
				spread = append(spread, math.Pow(st.Score/deviation-1, 2))
			}
		}}
		search(t, p, Suffix(SuffixOptions{ChainOptions: o}), 300000, 2)
		scores.near(t, "mean", 1)
		spread.near(t, "variance", 1)
	}
}

func TestSuffix_last(t *testing.T) {
	p := redrawn(t, "ddpm", 5, 0.2)
	var last ChainState
	o := ChainOptions{Last: true, Beta: 1e6, OnState: func(st ChainState) { last = st }}
	f := search(t, p, Suffix(SuffixOptions{ChainOptions: o}), 503, 1)
	if f.Score != last.Score || float64(f.Latents[0]) != f.Score || f.Score >= f.Trace[len(f.Trace)-1].Best {
		t.Errorf("last %v, handed out %v, the best was %v", last.Score, f.Score, f.Trace[len(f.Trace)-1].Best)
	}
}

// From a share of the run on, what lies before it stays as the first picture has it, and the best of the first ones it is.
func TestSuffix_begin(t *testing.T) {
	p := redrawn(t, "ddpm", 8, 0.2)
	var firsts []float64
	var start []float32
	o := ChainOptions{First: 5, Beta: 1, OnState: func(st ChainState) {
		if st.Proposal == 0 {
			start = slices.Clone(st.Noise)
		}
		// Initial noise and that of steps 1 to 3 lie before half the run.
		if kept := 4 * p.Size; !slices.Equal(st.Noise[:kept], start[:kept]) {
			t.Fatalf("proposal %d changed noise of the first half", st.Proposal)
		} else if st.Accepted && slices.Equal(st.Noise[kept:], start[kept:]) {
			t.Fatalf("proposal %d changed nothing", st.Proposal)
		}
	}}
	search(t, p, Suffix(SuffixOptions{ChainOptions: o, Begin: 0.5}), 900, 3)
	f := search(t, p, Suffix(SuffixOptions{ChainOptions: ChainOptions{First: 5, Beta: 1}, Begin: 0.5}), 5*2*8, 3)
	for _, pt := range f.Trace {
		firsts = append(firsts, pt.Score)
	}
	if len(firsts) != 5 || f.Score != slices.Max(firsts) {
		t.Errorf("the first pictures score %v, the best is %v", firsts, f.Score)
	}
}
