package sampling

import (
	"math"
	"strings"
	"testing"
)

// drift is the mean of the first number of a picture that is guided by plain pushes of 1/signal: the law of all else is linear.
func (p *gauss) drift(t *testing.T, o GuidanceOptions) (mean float64) {
	none := func(dst []float32, _, _ float64) { clear(dst) }
	for i := range p.Plan.Len() {
		st, err := p.Plan.Resume(i, []float32{1}, 1)
		if err != nil {
			t.Fatal(err)
		}
		next, _, err := p.Plan.advance(st, []float32{float32(p.slope[p.Plan.Timesteps[i]])}, none)
		if err != nil {
			t.Fatal(err)
		}
		signal, _ := p.Plan.Level(i)
		after, _ := p.Plan.Level(i + 1)
		push := o.Scale / signal
		if !o.on(i, p.Plan.Len()) {
			mean *= float64(next.X[0])
			continue
		}
		mean = mean*float64(next.X[0]) + push
		for range o.Recurrences {
			mean = mean*signal/after*float64(next.X[0]) + push
		}
	}
	return mean
}

// Steps that are done again cost as much again, and their pictures have the law that the pushes say: each is shrunk by the noise that is
// added and by the step that is done again.
func TestRewardGuidance_recurrences(t *testing.T) {
	const steps, runs = 6, 300
	p := newGauss(t, "ddim", steps)
	g := Gradients{Verify: firstSlope}
	total := func(o GuidanceOptions) (mean, square float64) {
		cost := steps
		for i := range steps {
			if o.on(i, steps) {
				cost += o.Recurrences
			}
		}
		for seed := range uint64(runs) {
			f := search(t, p.Problem, RewardGuidance(g, o), 2*cost+1, seed)
			if f.NFE != 2*cost {
				t.Fatalf("%+v: %d evaluations, want %d", o, f.NFE, 2*cost)
			}
			mean += f.Score / runs
			for _, v := range f.Latents {
				square += float64(v) * float64(v) / runs / toySize
			}
		}
		return mean, square
	}
	for _, o := range []GuidanceOptions{
		{Size: GuidePlain, Scale: 0.2, End: 1},
		{Size: GuidePlain, Scale: 0.2, End: 1, Recurrences: 2},
		{Size: GuidePlain, Scale: 0.3, Begin: 0.3, End: 0.9, Recurrences: 1},
	} {
		want := p.drift(t, o)
		if mean, _ := total(o); math.Abs(mean-want) > 4*math.Sqrt(p.variance/runs) || want < 0.4 {
			t.Errorf("%+v: the mean is %v, want %v", o, mean, want)
		}
	}
	for _, r := range []int{0, 3} {
		mean, square := total(GuidanceOptions{Scale: 1e-9, End: 1, Recurrences: r})
		if math.Abs(mean) > 4*math.Sqrt(p.variance/runs) || math.Abs(square/p.variance-1) > 4*math.Sqrt(2./runs/toySize) {
			t.Errorf("%d recurrences without a push: mean %v, variance %v, want %v", r, mean, square, p.variance)
		}
	}
	pndm := newGauss(t, "pndm", steps).Problem
	_, err := RunSearch(t.Context(), pndm, RewardGuidance(g, GuidanceOptions{Recurrences: 1}), SearchOptions{Budget: 100})
	if err == nil || !strings.Contains(err.Error(), "PNDM") {
		t.Errorf("PNDM: %v", err)
	}
	if _, err := RunSearch(t.Context(), p.Problem, RewardGuidance(g, GuidanceOptions{Recurrences: -1}), SearchOptions{Budget: 100}); err == nil {
		t.Error("-1 recurrences: accepted")
	}
}
