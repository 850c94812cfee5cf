package sampling

import (
	"context"
	"math"
	"slices"
	"testing"
)

func TestRanked(t *testing.T) {
	none := math.NaN()
	for _, c := range []struct {
		scores []float64
		ranked []int
	}{
		{[]float64{1, 3, 2, 3}, []int{1, 3, 2, 0}},
		{[]float64{none, -5, none, -4}, []int{3, 1, 0, 2}},
		{[]float64{none, none}, []int{0, 1}},
	} {
		if got := ranked(c.scores); !slices.Equal(got, c.ranked) {
			t.Errorf("%v: %v, not %v", c.scores, got, c.ranked)
		}
		if got := best(c.scores); got != c.ranked[0] {
			t.Errorf("%v: the best is %d", c.scores, got)
		}
	}
}

// A chain that begins where nothing can be scored looks elsewhere, also when its steps are short.
func TestPCN_lost(t *testing.T) {
	p := newSpace(t, 4, func(z []float32) float64 {
		if z[0] > -1.5 {
			return math.NaN()
		}
		return float64(z[1])
	})
	o := PCNOptions{BurnIn: -1, ChainOptions: ChainOptions{Beta: 1, Step: 0.01}}
	found := false
	o.OnState = func(st ChainState) {
		if want := 0.01; st.Proposal > 0 && found && st.Step != want {
			t.Fatalf("proposal %d: ρ is %v", st.Proposal, st.Step)
		}
		found = !math.IsNaN(st.Score)
	}
	if f := search(t, p.Problem, PCN(o), 2*300, 1); !math.IsNaN(f.First) || !found {
		t.Errorf("%+v", f)
	}
}

func TestSuffix_lost(t *testing.T) {
	p := stochastic(t, 5).Problem
	calls := 0
	p.Verify = func(_ context.Context, _ []float32, images int) ([]float64, error) {
		out := make([]float64, images)
		for i := range out {
			if calls++; calls <= 12 {
				out[i] = math.NaN()
			}
		}
		return out, nil
	}
	f := search(t, p, Suffix(SuffixOptions{ChainOptions: ChainOptions{Beta: 1}}), 300, 1)
	if f.Dropped != 12 || f.Trace[12].NFE != 130 || f.Calls < 20 {
		t.Errorf("%d dropped; %+v", f.Dropped, f.Trace[12])
	}
}

// A proposal is made when the budget pays for the steps that it needs, not for all.
func TestSuffix_rest(t *testing.T) {
	p := stochastic(t, 5).Problem
	counts := map[int]int{}
	for seed := range uint64(100) {
		f := search(t, p, Suffix(SuffixOptions{ChainOptions: ChainOptions{Beta: 1}}), 14, seed)
		counts[f.NFE]++
	}
	// One of five places leaves two steps of five, which cost the 4 evaluations that are left; all others cost more.
	if len(counts) != 2 || counts[14] < 8 || counts[14] > 34 {
		t.Errorf("spent of 14: %v", counts)
	}
}

func TestJoin(t *testing.T) {
	for _, sampler := range []string{"pndm", "dpmpp-2m-sde", "ddim"} {
		p := redrawn(t, sampler, 6, 0.2)
		noise := make([]float32, 3*p.Size)
		NewNoise(2)(noise, 0, 0)
		st, err := p.Plan.Start(noise, 3)
		for err == nil && st.Index < p.Plan.Len() {
			var parts []State
			for i := range 3 {
				one, err := st.Select(i)
				if err != nil {
					t.Fatal(err)
				}
				parts = append(parts, one)
			}
			joined := join(parts)
			equal := joined.Index == st.Index && joined.Calls == st.Calls && joined.Images == 3 &&
				slices.Equal(joined.X, st.X) && slices.Equal(joined.saved, st.saved) && len(joined.past) == len(st.past)
			for k := range st.past {
				equal = equal && slices.Equal(joined.past[k], st.past[k])
			}
			if !equal {
				t.Errorf("%s, before step %d: joined %+v, not %+v", sampler, st.Index, joined, st)
			}
			input, output, z := make([]float32, len(noise)), make([]float32, len(noise)), make([]float32, len(noise))
			p.Plan.Input(input, st)
			_ = p.Model(t.Context(), output, input, p.Plan.Timesteps[st.Index])
			st, _, err = p.Plan.Step(st, output, z)
		}
		if err != nil {
			t.Error(err)
		}
	}
}
