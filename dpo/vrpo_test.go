package dpo

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Passing all draws at once gives the gradient of two passes: numbers first, then draw by draw with fixed shares.
func TestVRPO_twoPasses(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 5} {
		terms := randomTerms(r, 4*n)
		for i := range terms {
			terms[i].Label = terms[i/n*n].Label
		}
		for _, inner := range []Objective{DiffusionDPO{Beta: 9}, CHATS{Beta: 3}, SmPO{Beta: 4, Gamma: 2}, SFT{}} {
			grad, shares := make([]Grad, len(terms)), make([]Grad, 4)
			loss := VRPO{Objective: inner, Draws: n}.Evaluate(terms, grad)
			if want := inner.Evaluate(MeanTerms(terms, n), shares); loss != want {
				t.Errorf("%+v, %d draws: loss %g, of the means %g", inner, n, loss, want)
			}
			for i := range terms {
				// The change of the loss along one error of one draw.
				const h = 1e-6
				up, down := slices.Clone(terms), slices.Clone(terms)
				up[i].PolicyChosen += h
				down[i].PolicyChosen -= h
				o := VRPO{Objective: inner, Draws: n}
				num := (o.Evaluate(up, make([]Grad, len(terms))) - o.Evaluate(down, make([]Grad, len(terms)))) / (2 * h)
				if !near(grad[i].Chosen, num, 1e-7, max(1, math.Abs(num))) {
					t.Errorf("%+v, %d draws: derivative %g, finite difference %g", inner, n, grad[i].Chosen, num)
				}
				if want := shares[i/n]; grad[i] != (Grad{Chosen: want.Chosen / float64(n), Rejected: want.Rejected / float64(n)}) {
					t.Errorf("%+v, %d draws: shares of pair %d differ", inner, n, i/n)
				}
			}
		}
	}
}

// A margin's variance falls as 1/n, and its bias through −log σ is σ(z)σ(−z)/2 of it. Draws that policy and reference
// share leave nothing where both agree; draws of their own leave a loss above ln 2.
func TestVRPO_variance(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const pairs, spread = 20000, .25
	for _, n := range []int{1, 2, 4, 8} {
		own, shared := make([]Terms, pairs*n), make([]Terms, pairs*n)
		for i := range own {
			noise := func() float64 { return 1 + spread*r.NormFloat64() }
			w, l := noise(), noise()
			shared[i], own[i] = pairTerms(w, l, w, l, 1), pairTerms(w, l, noise(), noise(), 1)
		}
		var sum, squares float64
		for _, m := range MeanTerms(own, n) {
			sum += m.Margin()
			squares += m.Margin() * m.Margin()
		}
		variance := squares/pairs - sum*sum/pairs/pairs
		want := 4 * spread * spread / float64(n)
		if se := want * math.Sqrt(2./pairs); math.Abs(variance-want) > 4*se {
			t.Errorf("%d draws: variance %g of the margin, want %g ± %g", n, variance, want, se)
		}
		o := VRPO{Objective: TailorPO{Beta: 1}, Draws: n}
		grad := make([]Grad, pairs*n)
		bias := o.Evaluate(own, grad) - math.Ln2 + sum/pairs/2 // without the noise of the mean margin
		v := want                                              // E z² = v, E z⁴ = 3v², E z⁶ = 15v³
		if expected := v/8 - 3*v*v/192 + 15*v*v*v/2880; math.Abs(bias-expected) > 4*v/8*math.Sqrt(2./pairs) {
			t.Errorf("%d draws: loss is %g above ln 2, want %g", n, bias, expected)
		}
		for i, m := range MeanTerms(shared, n) {
			if m.Margin() != 0 {
				t.Fatalf("pair %d: margin %g with shared draws", i, m.Margin())
			}
		}
	}
}

// One timestep in each part, uniform over all, and less variance for a mean over timesteps than independent draws have.
func TestStratifiedTimesteps(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const total, n, rounds = 10, 4, 20000 // parts of 2.5 timesteps: some belong to two
	counts := make([]int, total)
	var squares float64
	dst := make([]int, n)
	for range rounds {
		StratifiedTimesteps(dst, total, r.Float64)
		mean := 0.
		for k, s := range dst {
			if low, high := float64(k)*2.5, float64(k+1)*2.5; float64(s+1) <= low || float64(s) >= high {
				t.Fatalf("timestep %d is not in part %d", s, k)
			}
			counts[s]++
			mean += float64(s) / n
		}
		squares += (mean - 4.5) * (mean - 4.5) / rounds
	}
	for s, c := range counts {
		if want := float64(rounds) * n / total; math.Abs(float64(c)-want) > 4*math.Sqrt(want) {
			t.Errorf("timestep %d came %d times, want %g", s, c, want)
		}
	}
	if independent := (total*total - 1) / 12. / n; squares > independent/8 {
		t.Errorf("variance %g of the mean timestep, independent draws have %g", squares, independent)
	}
	StratifiedTimesteps(dst, total, func() float64 { return math.Nextafter(1, 0) })
	if !slices.Equal(dst, []int{2, 4, 7, 9}) && !slices.Equal(dst, []int{2, 5, 7, 9}) {
		t.Errorf("last of each part: %v", dst)
	}
	one := make([]int, 1000)
	StratifiedTimesteps(one, 1000, r.Float64)
	for k, s := range one {
		if s != k {
			t.Fatalf("as many draws as timesteps: %d at %d", s, k)
		}
	}
}

func TestMeanTerms_uneven(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("five terms passed as pairs of two draws")
		}
	}()
	MeanTerms(make([]Terms, 5), 2)
}
