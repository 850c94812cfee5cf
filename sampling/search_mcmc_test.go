package sampling

import (
	"context"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// kolmogorov is the largest distance between the distribution of values and the standard normal one, times √n. Above 1.63 in one
// case of a hundred where the values are such numbers.
func kolmogorov(values []float64) float64 {
	slices.Sort(values)
	n, largest := float64(len(values)), 0.0
	for i, v := range values {
		p := distuv.UnitNormal.CDF(v)
		largest = max(largest, p-float64(i)/n, float64(i+1)/n-p)
	}
	return largest * math.Sqrt(n)
}

func TestPCN_constant(t *testing.T) {
	const size, proposals, thin = 64, 20000, 20
	p := newSpace(t, size, func([]float32) float64 { return 3 })
	var values []float64
	accepted, states := 0, 0
	o := PCNOptions{BurnIn: -1, ChainOptions: ChainOptions{Beta: 0.1, Step: 0.5, OnState: func(st ChainState) {
		if states++; st.Accepted {
			accepted++
		}
		if st.Step != 0.5 || st.BurnIn || st.Beta != 0.1 {
			t.Fatalf("%+v", st)
		}
		if st.Proposal%thin == 0 { // cosine 0.06 to the one before
			for _, v := range st.Noise {
				values = append(values, float64(v))
			}
		}
	}}}
	search(t, p.Problem, PCN(o), 2*(1+proposals), 3)
	if accepted != proposals || states != proposals+1 {
		t.Errorf("%d accepted of %d; %d states", accepted, proposals, states)
	}
	if d := kolmogorov(values); d > 1.63 {
		t.Errorf("%d numbers: Kolmogorov's statistic is %v", len(values), d)
	}
	for i := range values {
		values[i] *= 1.05
	}
	if d := kolmogorov(values); d < 1.63 {
		t.Errorf("5%% too wide: Kolmogorov's statistic is %v; the test sees nothing", d)
	}
}

// series is what a chain did in stationarity.
type series []float64

func (s series) mean() float64 {
	sum := 0.0
	for _, v := range s {
		sum += v
	}
	return sum / float64(len(s))
}

// near compares the mean with what it should be, by the spread of the means of 40 stretches.
func (s series) near(t *testing.T, what string, want float64) {
	t.Helper()
	const stretches = 40
	mean, square := s.mean(), 0.0
	n := len(s) / stretches
	for i := range stretches {
		d := s[i*n:(i+1)*n].mean() - mean
		square += d * d
	}
	standard := math.Sqrt(square / stretches / (stretches - 1))
	if math.Abs(mean-want) > 3.5*standard || standard > 0.1*math.Max(1, math.Abs(want)) {
		t.Errorf("%s: %v ± %v, not %v", what, mean, standard, want)
	}
}

// With the score a·z₀ the density is that of N(a/β, 1) in the first number and the prior in the others, in every chain.
func TestPCN_linear(t *testing.T) {
	const a, beta, ladder = 3.0, 2.0, 2.0
	for _, chains := range []int{1, 3} {
		p := newSpace(t, 6, func(z []float32) float64 { return a * float64(z[0]) })
		first, spread, other := make([]series, chains), make([]series, chains), make([]series, chains)
		o := PCNOptions{Ladder: ladder, BurnIn: 500, ChainOptions: ChainOptions{Beta: beta, Chains: chains, OnState: func(st ChainState) {
			if st.Proposal <= 1000 {
				return
			}
			k, shift := st.Chain, a/st.Beta
			first[k] = append(first[k], float64(st.Noise[0]))
			spread[k] = append(spread[k], math.Pow(float64(st.Noise[0])-shift, 2))
			other[k] = append(other[k], float64(st.Noise[1]))
		}}}
		search(t, p.Problem, PCN(o), 2*chains*20000, 5)
		for k := range chains {
			first[k].near(t, "mean", a/(beta*math.Pow(ladder, float64(k))))
			spread[k].near(t, "variance", 1)
			other[k].near(t, "another number", 0)
		}
	}
}

// Three rooms with scores 0, 1 and 2: each is visited as often as its density says, and each door is used as often both ways.
func TestPCN_detailedBalance(t *testing.T) {
	const beta = 1.5
	room := func(z []float32) int {
		switch v := float64(z[0]); {
		case v < -0.5:
			return 0
		case v < 0.5:
			return 1
		}
		return 2
	}
	var visits [3]float64
	var moves [3][3]float64
	last := -1
	p := newSpace(t, 2, func(z []float32) float64 { return float64(room(z)) })
	o := PCNOptions{BurnIn: -1, ChainOptions: ChainOptions{Beta: beta, Step: 0.8, OnState: func(st ChainState) {
		r := room(st.Noise)
		visits[r]++
		if last >= 0 {
			moves[last][r]++
		}
		last = r
	}}}
	const proposals = 40000
	search(t, p.Problem, PCN(o), 2*(1+proposals), 1)
	inner := distuv.UnitNormal.CDF(-0.5)
	want := [3]float64{inner, (1 - 2*inner) * math.Exp(1/beta), inner * math.Exp(2/beta)}
	sum := want[0] + want[1] + want[2]
	for i := range 3 {
		if d := visits[i]/(proposals+1) - want[i]/sum; math.Abs(d) > 0.015 {
			t.Errorf("room %d: %v of the visits, not %v", i, visits[i]/(proposals+1), want[i]/sum)
		}
		for j := range i {
			if d := moves[i][j] - moves[j][i]; math.Abs(d) > 4*math.Sqrt(moves[i][j]+moves[j][i]) || moves[i][j] < 300 {
				t.Errorf("rooms %d and %d: %v moves one way, %v the other", i, j, moves[i][j], moves[j][i])
			}
		}
	}
}

func TestAcceptance(t *testing.T) {
	none := math.NaN()
	for _, c := range []struct{ now, next, beta, want float64 }{
		{1, 1, 0.5, 1},
		{1, 2, 0.5, 1},
		{2, 1, 0.5, math.Exp(-2)},
		{2, 1, 1e12, 1 - 1e-12},
		{2, 1, 1e-12, 0},
		{2, none, 1, 0},
		{none, none, 1, 0},
		{none, -1e9, 1, 1},
	} {
		if got := acceptance(c.now, c.next, c.beta); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("%+v: %v", c, got)
		}
		// Flows between two states balance: e^(now/β)·P(now→next) = e^(next/β)·P(next→now).
		there := math.Exp(c.now/c.beta) * acceptance(c.now, c.next, c.beta)
		back := math.Exp(c.next/c.beta) * acceptance(c.next, c.now, c.beta)
		if c.beta > 0.1 && !math.IsNaN(there+back) && math.Abs(there-back) > 1e-12*there {
			t.Errorf("%+v: %v there, %v back", c, there, back)
		}
	}
	cold, hot := &chain{beta: 1, score: 3}, &chain{beta: 4, score: 1}
	if got, want := swapChance(cold, hot), math.Exp(-2*0.75); math.Abs(got-want) > 1e-15 {
		t.Errorf("a swap that cools the worse state: %v, not %v", got, want)
	}
	if cold, hot := (&chain{beta: 1, score: 1}), (&chain{beta: 4, score: 3}); swapChance(cold, hot) != 1 {
		t.Error("a swap that cools the better state can fail")
	}
}

// ρ moves during the burn-in only, to where 20 to 40 % are accepted, from both sides.
func TestPCN_burnIn(t *testing.T) {
	for _, start := range []float64{0.02, 1} {
		p := newSpace(t, 64, away)
		accepted, total, final := 0, 0, 0.0
		o := PCNOptions{BurnIn: 400, ChainOptions: ChainOptions{Beta: 0.5, Step: start, OnState: func(st ChainState) {
			if st.BurnIn != (st.Proposal >= 1 && st.Proposal <= 400) {
				t.Fatalf("proposal %d: %v", st.Proposal, st.BurnIn)
			}
			if st.Proposal <= 400 {
				return
			}
			if st.Proposal == 401 {
				final = st.Step
			}
			if total++; st.Accepted {
				accepted++
			}
			if st.Step != final {
				t.Fatalf("ρ moves from %v to %v behind the burn-in", final, st.Step)
			}
		}}}
		search(t, p.Problem, PCN(o), 2*3000, 2)
		if share := float64(accepted) / float64(total); share < 0.2 || share > 0.4 || final == start {
			t.Errorf("from ρ = %v: %v accepted with %v", start, share, final)
		}
	}
}

func TestPCN_last(t *testing.T) {
	p := newSpace(t, 16, away)
	var last ChainState
	o := PCNOptions{ChainOptions: ChainOptions{Beta: 20, Chains: 2, OnState: func(st ChainState) {
		if st.Chain == 0 {
			last = st
		}
	}}, Ladder: 1e6} // chains so unlike that no swap comes behind the last state
	best := search(t, p.Problem, PCN(o), 2*60, 3)
	o.Last = true
	f := search(t, p.Problem, PCN(o), 2*60, 3)
	if !(f.Score < best.Score) || f.Score != last.Score || !slices.Equal(f.Noise, last.Noise) || f.NFE != best.NFE {
		t.Errorf("last %v, handed out %v; best %v", last.Score, f.Score, best.Score)
	}
	scores, _ := p.Verify(t.Context(), f.Latents, 1)
	if scores[0] != f.Score {
		t.Errorf("the latents score %v, not %v", scores[0], f.Score)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f, err := RunSearch(ctx, p.Problem, PCN(o), SearchOptions{Budget: 2 * 60, Seed: 3, OnPoint: func(pt Point) error {
		if best.Score = pt.Best; pt.Calls > 40 {
			cancel()
		}
		return nil
	}})
	if err == nil || f.Score != best.Score {
		t.Errorf("interrupted: %v, the best was %v: %v", f.Score, best.Score, err)
	}
	cancel()
}

func TestTemperature(t *testing.T) {
	for _, c := range []struct {
		scores []float64
		want   float64
	}{
		{nil, 1},
		{[]float64{4}, 1},
		{[]float64{4, 4, 4}, 1},
		{[]float64{1, math.NaN(), 3}, math.Sqrt2 / 2},
		{[]float64{1e6 + 2, 1e6 + 4, 1e6 + 4, 1e6 + 4, 1e6 + 5, 1e6 + 5, 1e6 + 7, 1e6 + 9}, math.Sqrt(32.0/7) / 2},
	} {
		if got := temperature(c.scores); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v: %v, not %v", c.scores, got, c.want)
		}
	}
}
