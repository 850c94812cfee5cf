package dpo_test

import (
	"fmt"

	"winnow/dpo"
)

// The loss of one pair that the policy already prefers a little.
func ExampleDiffusionDPO() {
	grad := make([]dpo.Grad, 1)
	loss := dpo.DiffusionDPO{Beta: 5000}.Evaluate([]dpo.Terms{{
		PolicyChosen: .1000, PolicyRejected: .1200, RefChosen: .1010, RefRejected: .1205, Label: 1,
	}}, grad)
	fmt.Printf("loss %.4f, derivative %.1f %.1f\n", loss, grad[0].Chosen, grad[0].Rejected)
	// Output: loss 0.2519, derivative 556.8 -556.8
}

// The same pair with another loss, chosen by name.
func ExampleMethod() {
	m, err := dpo.FindMethod("dpo")
	if err != nil {
		fmt.Println(err)
		return
	}
	objective, err := m.New(dpo.Settings{Beta: 2000, Loss: "cdpo", LabelSmoothing: .2})
	if err != nil {
		fmt.Println(err)
		return
	}
	loss := objective.Evaluate([]dpo.Terms{{
		PolicyChosen: .1000, PolicyRejected: .1200, RefChosen: .1010, RefRejected: .1205, Label: 1,
	}}, make([]dpo.Grad, 1))
	fmt.Printf("%.4f\n", loss)
	_, err = m.New(dpo.Settings{Gamma: 10})
	fmt.Println(err)
	// Output:
	// 0.5741
	// dpo: --gamma 10: dpo has no gamma; leave the flag out
}

// A loss with a setting of its own, by name.
func ExampleLossInfo() {
	info, err := dpo.FindLoss("simpo")
	if err != nil {
		fmt.Println(err)
		return
	}
	loss, err := info.New(0, map[string]float64{"gamma": 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	terms := []dpo.Terms{{PolicyChosen: .1, PolicyRejected: .3}}
	grad := make([]dpo.Grad, 1)
	fmt.Printf("%s: %.4f\n", info.Formula, loss.Evaluate(2, terms, grad))
	_, err = info.New(0, map[string]float64{"gamma": -1})
	fmt.Println(err)
	// Output:
	// −log σ(z−γ): 1.0375
	// dpo: --loss-option gamma=-1: must be from 0 to 1000; the default of loss simpo is 0.5
}

// Both networks of CHATS learn to fit: both derivatives are positive.
func ExampleCHATS() {
	grad := make([]dpo.Grad, 1)
	loss := dpo.CHATS{Beta: 1000}.Evaluate([]dpo.Terms{{
		PolicyChosen: .1000, PolicyRejected: .1200, RefChosen: .1010, RefRejected: .1205, Label: 1,
	}}, grad)
	fmt.Printf("loss %.4f, derivative %.1f %.1f\n", loss, grad[0].Chosen, grad[0].Rejected)
	// Output: loss 0.2014, derivative 182.4 182.4
}

// Two pictures whose PickScore cosines differ by a hundredth are nearly a tie, and SmPO takes them for one.
func ExampleSmoothedLabel() {
	p := dpo.SmoothedLabel(.22, .21, dpo.PickScoreLow, dpo.PickScoreHigh)
	fmt.Printf("label %.3f, factor of the margin %.2f\n", p, 10*(2*p-1))
	// Output: label 0.515, factor of the margin 0.30
}

// Four timesteps of 1000, one in each quarter.
func ExampleStratifiedTimesteps() {
	middle := func() float64 { return .5 } // rand.Float64 in earnest
	timesteps := make([]int, 4)
	dpo.StratifiedTimesteps(timesteps, 1000, middle)
	fmt.Println(timesteps)
	// Output: [125 375 625 875]
}

// A step of two pixels, sampled twice. The mean is to move towards the better sample and away from the worse one.
func ExampleSiblingCotangent() {
	better, worse := []float32{1, 0}, []float32{0, 0}
	policy, reference := []float32{.5, 0}, []float32{.5, 0}
	const sigma = 1
	grad := make([]dpo.Grad, 1)
	dpo.TailorPO{Beta: 2}.Evaluate([]dpo.Terms{dpo.SiblingTerms(better, worse, policy, reference, sigma)}, grad)
	cotangent := make([]float32, 2)
	dpo.SiblingCotangent(cotangent, better, worse, policy, sigma, grad[0])
	fmt.Println(cotangent)
	// Output: [-0.5 0]
}
