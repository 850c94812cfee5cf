package sampling

import (
	"context"
	"math"
	"slices"
)

// Crossover is how [Evolution] mixes two parents. Both ways give noise of the parents' length and spread, also for parents that are
// related, so that generations do not drift away from the noise that the network was trained on.
type Crossover string

const (
	// Slerp goes along the great circle between the parents' directions.
	Slerp Crossover = "slerp"
	// Mix is a·z₁ + √(1−a²)·z₂, divided by √(1 + 2a√(1−a²)·c) where c is the cosine between the parents: without that, related
	// parents would have children that are too long, up to √2 in each generation.
	Mix Crossover = "mix"
)

// EvolutionOptions are the settings of [Evolution]. Zero values mean the defaults, which are this toolkit's own: they split a budget
// of a hundred pictures into about six generations.
type EvolutionOptions struct {
	// Population is the number of noises in a generation. Default 16.
	Population int
	// Elite is how many of the best pass unchanged, at no cost. Default 1.
	Elite int
	// Survivors is the share of a generation, best first, whose members may be parents. Default 0.5. It is not looked at with a
	// Tournament.
	Survivors float64
	// Tournament, above 0, picks each parent as the best of so many members drawn at random.
	Tournament int
	// Crossover is [Slerp], the default, or [Mix]. The share of each parent is drawn anew for each child.
	Crossover Crossover
	// Mutation is ρ of the step z → √(1−ρ²)·z + ρ·ξ that follows, up to 1, which forgets the parents. Default 0.3: a cosine of 0.95
	// between before and after, as in zero-order search.
	Mutation float64
}

// Evolution breeds noises: parents are chosen by score, children are a mixture of two and some fresh noise. The first generation is
// fresh noise, the seed's first. A generation costs Population−Elite pictures. Members that cannot be scored are never parents.
// (Evolution at test time: He et al. 2025, EvoSearch, arXiv 2505.17618; crossover on the sphere is this toolkit's own.)
func Evolution(o EvolutionOptions) Method {
	o.Population, o.Elite = orElse(o.Population, 16), orElse(o.Elite, 1)
	o.Survivors, o.Mutation = orElse(o.Survivors, 0.5), orElse(o.Mutation, 0.3)
	if o.Crossover == "" {
		o.Crossover = Slerp
	}
	return func(ctx context.Context, s *Search) error {
		if err := o.check(); err != nil {
			return err
		}
		var population []member
		for {
			parents := scored(population)
			elite := min(o.Elite, len(parents))
			next := slices.Clone(parents[:elite])
			var noise []float32
			for len(next) < o.Population {
				child := s.child(parents, &o)
				next, noise = append(next, member{noise: child, score: math.NaN()}), append(noise, child...)
			}
			scores, err := s.Evaluate(ctx, noise, len(next)-elite)
			if err != nil {
				return err
			}
			for i, v := range scores {
				next[elite+i].score = v
			}
			slices.SortStableFunc(next, func(a, b member) int { return rank(a.score, b.score) })
			population = next
		}
	}
}

// member of a population. Populations are sorted, best first.
type member struct {
	noise []float32
	score float64
}

func (o *EvolutionOptions) check() error {
	const method = "evolution"
	if o.Crossover != Slerp && o.Crossover != Mix {
		return unknownSetting(method, "crossover", string(o.Crossover), string(Slerp), string(Mix))
	}
	return checkSpans(
		method,
		span{"the population", float64(o.Population), 2, 1 << 20},
		span{"the elite", float64(o.Elite), 0, float64(o.Population - 1)},
		span{"the share of survivors", o.Survivors, 0, 1},
		span{"the tournament", float64(o.Tournament), 0, 1 << 20},
		span{"the mutation", o.Mutation, 0, 1},
	)
}

// scored is the part of a sorted population that has scores.
func scored(population []member) []member {
	n := 0
	for n < len(population) && !math.IsNaN(population[n].score) {
		n++
	}
	return population[:n]
}

// child of two parents, or fresh noise where there are none.
func (s *Search) child(parents []member, o *EvolutionOptions) []float32 {
	if len(parents) == 0 {
		return s.fresh()
	}
	i, j := s.parent(len(parents), -1, o), 0
	if len(parents) > 1 {
		j = s.parent(len(parents), i, o)
	}
	z := cross(o.Crossover, parents[i].noise, parents[j].noise, s.Uniform())
	s.blend(z, z, o.Mutation)
	return z
}

// parent picks a member of n sorted ones, another than taken.
func (s *Search) parent(n, taken int, o *EvolutionOptions) int {
	free := n
	rounds := o.Tournament
	if rounds == 0 {
		// Two survivors at least: one alone would have children with itself only.
		rounds, free = 1, min(n, max(2, int(math.Ceil(o.Survivors*float64(o.Population)))))
	}
	if taken >= 0 {
		free--
	}
	k := free
	for range rounds {
		k = min(k, int(s.Uniform()*float64(free)))
	}
	if taken >= 0 && k >= taken {
		k++
	}
	return k
}

// cross mixes two noises; share, 0 to 1, is how much the second has: its angle with Slerp, its part of the variance with Mix.
func cross(how Crossover, a, b []float32, share float64) []float32 {
	c := cosine(a, b)
	wa, wb := math.Sqrt(1-share), math.Sqrt(share)
	if how == Slerp {
		angle := math.Acos(c)
		wa, wb = math.Sin((1-share)*angle), math.Sin(share*angle)
	}
	out := make([]float32, len(a))
	// The weights are for directions; the length lies between the parents'. Opposite parents have no circle between them, and
	// equal ones need none.
	na, nb := norm(a), norm(b)
	length := math.Sqrt(wa*wa + wb*wb + 2*wa*wb*c)
	if length < 1e-6 || na == 0 || nb == 0 {
		copy(out, a)
		return out
	}
	radius := (1-share)*na + share*nb
	for i := range out {
		out[i] = float32(radius / length * (wa/na*float64(a[i]) + wb/nb*float64(b[i])))
	}
	return out
}
