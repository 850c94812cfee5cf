package dpo

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A network with one weight: output = theta·x, target = the noise. Everything about it is known in closed form.
type scalarToy struct {
	chosen, rejected, noise []float32 // noised pictures of pairs, with the noise of each pair
}

const toySignal = .6 // ᾱ of the one timestep

// newScalarToy makes pairs of one-pixel pictures: chosen and rejected ones differ in their standard deviation.
func newScalarToy(seed uint64, n int, chosen, rejected float64) scalarToy {
	r := rand.New(rand.NewPCG(seed, 1))
	var toy scalarToy
	for range n {
		e := r.NormFloat64()
		noised := func(deviation float64) float32 {
			return float32(math.Sqrt(toySignal)*deviation*r.NormFloat64() + math.Sqrt(1-toySignal)*e)
		}
		toy.chosen, toy.rejected, toy.noise = append(toy.chosen, noised(chosen)), append(toy.rejected, noised(rejected)), append(toy.noise, float32(e))
	}
	return toy
}

// step is what a trainer does: measure, ask the objective, go backwards through outputs to the weights. Each picture has
// its weight, which may be the same one.
func (toy scalarToy) step(o Objective, chosen, rejected, ref float64) (loss, dChosen, dRejected float64, terms []Terms) {
	n := len(toy.noise)
	terms, grad := make([]Terms, n), make([]Grad, n)
	measure := func(theta float64, x []float32, i int) (output, target []float32) {
		return []float32{float32(theta) * x[i]}, toy.noise[i : i+1]
	}
	for i := range terms {
		terms[i] = Terms{
			PolicyChosen: DenoisingError(measure(chosen, toy.chosen, i)), PolicyRejected: DenoisingError(measure(rejected, toy.rejected, i)),
			RefChosen: DenoisingError(measure(ref, toy.chosen, i)), RefRejected: DenoisingError(measure(ref, toy.rejected, i)), Label: 1,
		}
	}
	loss = o.Evaluate(terms, grad)
	cot := make([]float32, 1)
	for i, g := range grad {
		output, target := measure(chosen, toy.chosen, i)
		DenoisingCotangent(cot, output, target, g.Chosen)
		dChosen += float64(cot[0]) * float64(toy.chosen[i])
		output, target = measure(rejected, toy.rejected, i)
		DenoisingCotangent(cot, output, target, g.Rejected)
		dRejected += float64(cot[0]) * float64(toy.rejected[i])
	}
	return loss, dChosen, dRejected, terms
}

// bestSlope is the weight with the least squared error on such pictures.
func bestSlope(deviation float64) float64 {
	return math.Sqrt(1-toySignal) / (toySignal*deviation*deviation + 1 - toySignal)
}

// The derivative through the whole chain against its closed form.
func TestToy_derivative(t *testing.T) {
	toy := newScalarToy(1, 300, .5, 1.5)
	const beta, theta, ref = 6., .7, .55
	_, a, b, terms := toy.step(DiffusionDPO{Beta: beta}, theta, theta, ref)
	var want float64
	for i, term := range terms {
		w, l, e := float64(toy.chosen[i]), float64(toy.rejected[i]), float64(toy.noise[i])
		want += beta / 2 * sigmoid(-beta/2*term.Margin()) * 2 * ((theta*w-e)*w - (theta*l-e)*l) / float64(len(terms))
	}
	if !near(a+b, want, 1e-6, 1) {
		t.Errorf("derivative %g, want %g", a+b, want)
	}
}

// DPO leaves the reference towards the weight of the chosen pictures and beyond; margins and accuracy rise.
func TestToy_dpo(t *testing.T) {
	toy := newScalarToy(2, 2000, .5, 1.5)
	ref := bestSlope(1)
	for _, m := range []Method{methodDPO(), methodVRPO(), methodSmPO()} {
		s := Settings{Beta: 2, Draws: 1}
		if m.Gamma != 0 {
			s.Gamma = 1
		}
		o, err := m.New(s)
		if err != nil {
			t.Fatal(err)
		}
		theta, first, last := ref, 0., 0.
		var right int
		for k := range 40 {
			loss, a, b, terms := toy.step(o, theta, theta, ref)
			theta -= .2 * (a + b)
			if last = loss; k == 0 {
				first = loss
			}
			right = 0
			for _, term := range terms {
				if term.Margin() > 0 {
					right++
				}
			}
		}
		if !near(first, math.Ln2, 1e-12, 1) || last > first-.02 || theta < ref+.05 || right < len(toy.noise)*6/10 {
			t.Errorf("%s: weight %.3f from %.3f, loss %.4f from %.4f, %d of %d pairs right", m.Name, theta, ref, last, first, right, len(toy.noise))
		}
	}
}

// With little beta the two networks of CHATS come to rest at the best weights of their own pictures; SFT at the first one's.
func TestToy_chats(t *testing.T) {
	const n = 4000
	toy := newScalarToy(3, n, .5, 1.5)
	exact := func(x []float32) float64 {
		var xe, xx float64
		for i, v := range x {
			xe += float64(v) * float64(toy.noise[i])
			xx += float64(v) * float64(v)
		}
		return xe / xx
	}
	const beta = 1e-5
	first, second, supervised, ref := bestSlope(1), bestSlope(1), bestSlope(1), bestSlope(1)
	for range 60 {
		_, a, b, _ := toy.step(CHATS{Beta: beta}, first, second, ref)
		first, second = first-a*.5/beta, second-b*.5/beta // σ(−z) is ½
		_, a, b, _ = toy.step(SFT{}, supervised, supervised, ref)
		supervised -= .25 * a
		if b != 0 {
			t.Fatalf("SFT: derivative %g on the rejected picture", b)
		}
	}
	for _, row := range []struct {
		name             string
		got, fit, theory float64
	}{
		{"first network", first, exact(toy.chosen), bestSlope(.5)},
		{"second network", second, exact(toy.rejected), bestSlope(1.5)},
		{"SFT", supervised, exact(toy.chosen), bestSlope(.5)},
	} {
		// A slope of n samples has a standard error below 1/√n here.
		if !near(row.got, row.fit, 1e-5, 1) || !near(row.got, row.theory, 4/math.Sqrt(n), 1) {
			t.Errorf("%s rests at %.6f; least squares %.6f, in theory %.4f", row.name, row.got, row.fit, row.theory)
		}
	}
	if first-second < .3 {
		t.Errorf("the networks of CHATS end at %.3f and %.3f", first, second)
	}
	// A beta that matters weighs pairs by σ(−z), and the networks still part in the same direction.
	first, second = ref, ref
	for range 60 {
		_, a, b, _ := toy.step(CHATS{Beta: 2}, first, second, ref)
		first, second = first-.2*a, second-.2*b
	}
	if first < ref+.1 || second > ref-.1 {
		t.Errorf("at beta 2 the networks of CHATS end at %.3f and %.3f, the reference is %.3f", first, second, ref)
	}
}

// Samples of N(0,1), preferred by a reward r(x) = x as Bradley and Terry have it: the best policy under a KL weight of beta
// is N(1/beta, 1), and DPO over exact log-densities finds it. More beta, less drift.
func TestToy_gaussian(t *testing.T) {
	const n = 8000
	r := rand.New(rand.NewPCG(4, 1))
	x := make([][2]float32, n)
	hard := make([][2]float32, n) // chosen first
	for i := range x {
		a, b := float32(r.NormFloat64()), float32(r.NormFloat64())
		x[i], hard[i] = [2]float32{a, b}, [2]float32{a, b}
		if r.Float64() > sigmoid(float64(a)-float64(b)) {
			hard[i] = [2]float32{b, a}
		}
	}
	fit := func(o Objective, pairs [][2]float32, label func(a, b float64) float64, beta float64) float64 {
		mu := 0.
		terms, grad := make([]Terms, n), make([]Grad, n)
		cot := make([]float32, 1)
		for range 30 {
			policy, ref := []float32{float32(mu)}, []float32{0}
			for i := range pairs {
				terms[i] = SiblingTerms(pairs[i][:1], pairs[i][1:], policy, ref, 1)
				terms[i].Label = label(float64(pairs[i][0]), float64(pairs[i][1]))
			}
			o.Evaluate(terms, grad)
			slope := 0.
			for i, g := range grad {
				SiblingCotangent(cot, pairs[i][:1], pairs[i][1:], policy, 1, g)
				slope += float64(cot[0])
			}
			mu -= slope * 3 / (beta * beta)
		}
		return mu
	}
	last := math.Inf(1)
	for _, beta := range []float64{.5, 1, 2, 4} {
		mu := fit(TailorPO{Beta: beta, Loss: LossSoft()}, x, func(a, b float64) float64 { return sigmoid(a - b) }, beta)
		if !near(mu*beta, 1, 1e-6, 1) {
			t.Errorf("beta %g with true probabilities: shift %.7f, want %g", beta, mu, 1/beta)
		}
		mu = fit(TailorPO{Beta: beta}, hard, func(_, _ float64) float64 { return 1 }, beta)
		// Information on beta·mu is E[σ(1−σ)(a−b)²], about 0.3 a pair.
		if !near(mu*beta, 1, 4/math.Sqrt(.3*n), 1) {
			t.Errorf("beta %g with drawn labels: shift %.4f, want %g", beta, mu, 1/beta)
		}
		if mu >= last {
			t.Errorf("beta %g: shift %.4f, with less beta it was %.4f", beta, mu, last)
		}
		last = mu
	}
}
