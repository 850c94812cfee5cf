package sampling

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// Potential says what the weight of a particle is multiplied by at a check, with r its preview's score, τ the temperature and λ the
// tempered 1/τ. Whatever it is, the weights at the end are those of exp(r/τ) with r the score of the finished picture.
type Potential string

// The potentials of Feynman-Kac steering (Singhal et al. 2025, arXiv 2501.06848).
const (
	PotentialDiff Potential = "diff" // exp(λr − λ′r′) with those of the check before: the weights so far are exp(λr)
	PotentialMax  Potential = "max"  // exp(λ·highest r so far): favours what was good once
	PotentialAdd  Potential = "add"  // exp(λ·sum of r so far)
	PotentialRT   Potential = "rt"   // exp(λr) at every check, without taking back the one before
)

// SMCOptions are the settings of [SMC]. The zero value has the defaults.
type SMCOptions struct {
	// Particles is how many run at a time; runs with fresh noise follow while the budget pays for a picture. 0 means as many as
	// the budget pays for in one run. (The published program of Feynman-Kac steering takes 4.)
	Particles int
	// Temperature τ is the difference in score that is worth a factor of e; λ = 1/τ in the papers. 0 means 0.1 (λ = 10,
	// the published program's for ImageReward); +Inf weighs all the same. It belongs to the verifier's scale.
	Temperature float64
	Potential   Potential // "" means diff
	// Checks says after what share of the steps previews are verified, in (0, 1). nil means 0.2, 0.4, 0.6, 0.8.
	Checks []float64
	// Threshold is the effective sample size, as a share of the particles, below which they are resampled. 0 means 0.5; with 1
	// they are at every check. Between, weights are carried.
	Threshold float64
	// Gamma tempers: λ is 1/τ times min((1+γ)^(100·share of the run)−1, 1) at a check, and 1/τ at the end. 0 means none, the
	// published program of DAS has 0.008 for 100 steps (Kim, Kim, Park 2025, arXiv 2501.05803).
	Gamma float64
	// OnEnd, if set, is given the finished particles of every run with their weights, which sum to 1: a weighted sample of the
	// sampler's law times exp(r/τ).
	OnEnd func(latents []float32, weights []float64)
}

// SMC is steering by a particle filter, tempered or not: particles run side by side, previews of their clean latents are verified on
// the way, and the particles are resampled by their weights. Copies of a particle part in the next step, by its noise, so the
// sampler must add some. The best finished picture wins. The weights are those of the texts, in log space and exact, which the
// published programs' are not in all modes. (Singhal et al. 2025, arXiv 2501.06848; Del Moral, Doucet, Jasra 2006.)
func SMC(o SMCOptions) Method {
	if o.Temperature == 0 {
		o.Temperature = 0.1
	}
	if o.Threshold == 0 {
		o.Threshold = 0.5
	}
	if o.Potential == "" {
		o.Potential = PotentialDiff
	}
	if o.Checks == nil {
		o.Checks = []float64{0.2, 0.4, 0.6, 0.8}
	}
	return func(ctx context.Context, s *Search) error {
		if err := o.check(); err != nil {
			return err
		}
		if err := s.needNoise("particle filtering"); err != nil {
			return err
		}
		checks, err := s.stops(o.Checks)
		if err != nil {
			return err
		}
		// Copies that no noise will part are worth nothing; the end weighs all the same.
		checks = slices.DeleteFunc(checks, func(i int) bool { return !s.noisy(i, s.Plan.Len()) })
		return s.runs(func(first bool) error {
			n := s.Left() / s.Cost()
			if o.Particles > 0 {
				n = min(n, o.Particles)
			}
			return s.filter(ctx, &o, n, checks, first)
		})
	}
}

func (o *SMCOptions) check() error {
	switch o.Potential {
	case PotentialDiff, PotentialMax, PotentialAdd, PotentialRT:
	default:
		return fmt.Errorf("sampling: potential %q is unknown; there are diff, max, add and rt", o.Potential)
	}
	switch {
	case o.Particles < 0:
		return fmt.Errorf("sampling: %d particles; 0 takes as many as the budget pays for", o.Particles)
	case !(o.Temperature > 0):
		return fmt.Errorf("sampling: the temperature %v is not above 0", o.Temperature)
	case !(o.Threshold > 0 && o.Threshold <= 1):
		return fmt.Errorf("sampling: the threshold %v of the effective sample size is outside 0 to 1", o.Threshold)
	case !(o.Gamma >= 0):
		return fmt.Errorf("sampling: the tempering rate %v is below 0", o.Gamma)
	}
	return nil
}

// lambda is the tempered 1/τ after a share of the run.
func (o *SMCOptions) lambda(share float64) float64 {
	if o.Gamma == 0 {
		return 1 / o.Temperature
	}
	return min(math.Pow(1+o.Gamma, 100*share)-1, 1) / o.Temperature
}

// particle is what a line of particles has met.
type particle struct {
	weight float64 // logarithm, since the last resampling
	psi    float64 // logarithm of all its potentials
	target float64 // λr of the last check
	most   float64 // highest r
	sum    float64 // of r
}

func newParticles(n int) []particle { return slices.Repeat([]particle{{most: math.Inf(-1)}}, n) }

// meet weighs a particle by the potential of a score; NaN ends its line.
func (p *particle) meet(kind Potential, lambda, r float64) {
	if math.IsNaN(r) {
		p.weight = math.Inf(-1)
		return
	}
	p.most, p.sum = max(p.most, r), p.sum+r
	g := lambda * r
	switch kind {
	case PotentialDiff:
		// The first check has none before it: 0 stands there for all particles, and a common factor is none.
		g -= p.target
	case PotentialMax:
		g = lambda * p.most
	case PotentialAdd:
		g = lambda * p.sum
	}
	p.target = lambda * r
	p.weight, p.psi = p.weight+g, p.psi+g
}

// end replaces all potentials by the one of the finished picture.
func (p *particle) end(lambda, r float64) {
	if math.IsNaN(r) {
		p.weight = math.Inf(-1)
		return
	}
	p.weight += lambda*r - p.psi
}

// filter is one run of n particles.
func (s *Search) filter(ctx context.Context, o *SMCOptions, n int, checks []int, first bool) error {
	noise := s.draw(n)
	st, err := s.Start(noise, n)
	if err != nil {
		return err
	}
	source, lines := s.stepNoise(first), newParticles(n)
	for st.Index < s.Plan.Len() {
		seen, err := s.Look(ctx, st)
		if err != nil {
			return err
		}
		if len(checks) > 0 && checks[0] == st.Index && n > 1 {
			checks = checks[1:]
			scores, err := s.Score(ctx, seen.Clean, n)
			if err != nil {
				return err
			}
			if seen, err = s.resample(o, seen, lines, scores); err != nil || seen.Images == 0 {
				return err
			}
		}
		if st, err = s.Take(seen, source); err != nil {
			return err
		}
	}
	plain := first && n == 1
	if !plain {
		noise = nil
	}
	scores, err := s.endRun(ctx, st.X, noise, n, plain)
	if err != nil {
		return err
	}
	for i, r := range scores {
		lines[i].end(1/o.Temperature, r)
	}
	if weights := normalised(logWeights(lines)); weights != nil && o.OnEnd != nil {
		o.OnEnd(st.X, weights)
	}
	return nil
}

// resample weighs the particles by their scores and, if the weights have become unequal, resamples them, before the step, so that copies
// part at once. The result has no image when none is left alive.
func (s *Search) resample(o *SMCOptions, seen Seen, lines []particle, scores []float64) (Seen, error) {
	lambda := o.lambda(float64(seen.Index) / float64(s.Plan.Len()))
	for i, r := range scores {
		lines[i].meet(o.Potential, lambda, r)
	}
	weights := normalised(logWeights(lines))
	if weights == nil {
		return Seen{}, nil
	}
	dead := false
	for i := range lines {
		dead = dead || math.IsInf(lines[i].weight, -1) // it would cost as much as a living one
	}
	n := len(lines)
	if !dead && effective(weights) >= o.Threshold*float64(n) {
		return seen, nil
	}
	parents, old := systematic(weights, n, s.Uniform()), slices.Clone(lines)
	for i, k := range parents {
		lines[i] = old[k]
		lines[i].weight = 0
	}
	return seen.Pick(parents...)
}

func logWeights(lines []particle) []float64 {
	out := make([]float64, len(lines))
	for i := range lines {
		out[i] = lines[i].weight
	}
	return out
}
