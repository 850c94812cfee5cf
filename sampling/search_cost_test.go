package sampling

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

// unequal is the toy with steps that cost unlike, and a count of what was really evaluated.
func unequal(t *testing.T, costs []int) (p *toy, g Gradients, spent *int) {
	p, spent = noisyToy(t), new(int)
	p.StepNFE = costs
	cost := func(x []float32, ts float64) int {
		if costs == nil {
			return len(x) / toySize * p.NFE
		}
		return len(x) / toySize * costs[slices.Index(p.Plan.Timesteps, ts)]
	}
	model := p.Model
	p.Model = func(ctx context.Context, dst, x []float32, ts float64) error {
		*spent += cost(x, ts)
		return model(ctx, dst, x, ts)
	}
	g = p.still()
	back := g.Network
	g.Network = func(ctx context.Context, output, x []float32, ts float64, cot func() ([]float32, error)) ([]float32, error) {
		*spent += 2 * cost(x, ts) // forward and backward
		return back(ctx, output, x, ts, cot)
	}
	return p, g, spent
}

// Every method counts a step at what it costs, uses the budget and keeps it.
func TestProblem_StepNFE(t *testing.T) {
	for _, info := range SearchMethods() {
		for _, costs := range [][]int{{1, 2, 2, 1, 1}, {2, 1, 1, 1, 2}, {1, 1, 1, 1, 1}, {1, 1, 1, 1, 9}} {
			for _, budget := range []int{40, 73, 131} {
				p, g, spent := unequal(t, costs)
				one := p.costOf(0, 5)
				f := search(t, p.Problem, info.Method(g), budget, 3)
				if f.NFE != *spent || f.NFE <= budget-2*one {
					t.Errorf("%s: steps that cost %v: %d evaluations of %d, %d were made", info.Name, costs, f.NFE, budget, *spent)
				}
			}
		}
		equal, g, _ := unequal(t, []int{2, 2, 2, 2, 2})
		usual, h, _ := unequal(t, nil)
		if a, b := search(t, equal.Problem, info.Method(g), 97, 5), search(t, usual.Problem, info.Method(h), 97, 5); fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s: steps of equal cost, one by one: %v of %d evaluations, together: %v of %d", info.Name, a.Score, a.NFE, b.Score, b.NFE)
		}
	}
	p, _, _ := unequal(t, []int{2, 2})
	for _, costs := range [][]int{{2, 2}, {1, 1, 1, 1, 0}} {
		p.StepNFE = costs
		if _, err := RunSearch(t.Context(), p.Problem, RandomSearch(), SearchOptions{Budget: 99}); err == nil {
			t.Errorf("steps that cost %v: accepted", costs)
		}
	}
}
