package dpo

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestCurriculum(t *testing.T) {
	order := CurriculumOrder([]float64{.2, .9, .2, .5, 0})
	if !slices.Equal(order, []int{1, 3, 0, 2, 4}) {
		t.Errorf("order %v", order)
	}
	stages := CurriculumStages(order, 3)
	if len(stages) != 3 || !slices.Equal(slices.Concat(stages...), order) || len(stages[0]) != 1 || len(stages[2]) != 2 {
		t.Errorf("stages %v", stages)
	}
	if got := CurriculumStages(nil, 2); len(got) != 2 || len(got[0])+len(got[1]) != 0 {
		t.Errorf("stages of nothing: %v", got)
	}
}

func TestClearPreferences(t *testing.T) {
	chosen, rejected := []float64{.1, .2, .3, .4}, []float64{.15, .1, .5, .41} // the reference disagrees with the second
	for share, want := range map[float64][]int{0: {}, .25: {2}, .4: {0, 2}, .75: {0, 2, 3}, 1: {0, 1, 2, 3}, 7: {0, 1, 2, 3}, -1: {}} {
		if got := ClearPreferences(chosen, rejected, share); !slices.Equal(got, want) {
			t.Errorf("a share of %g: %v, want %v", share, got, want)
		}
	}
}

func TestWorthAnnotating(t *testing.T) {
	if got := WorthAnnotating([]float64{-.1, 3, .05, -2}, .5); !slices.Equal(got, []int{0, 2}) {
		t.Errorf("kept %v", got)
	}
	if got := WorthAnnotating(nil, .5); len(got) != 0 {
		t.Errorf("kept %v of nothing", got)
	}
}

// The extremes first, then what is unlike all of them, however long its embedding is.
func TestDiverseExtremes(t *testing.T) {
	scores := []float64{.5, .9, .1, .6, .4, .55}
	embeddings := [][]float32{{1, 0}, {1, .1}, {1, -.1}, {-9, 0}, {0, .01}, {.9, 0}}
	for count, want := range map[int][]int{0: nil, 1: {1}, 2: {1, 2}, 3: {1, 2, 3}, 4: {1, 2, 3, 4}} {
		if got := DiverseExtremes(scores, embeddings, count); !slices.Equal(got, want) {
			t.Errorf("%d pictures: %v, want %v", count, got, want)
		}
	}
	all := DiverseExtremes(scores, embeddings, 99)
	slices.Sort(all)
	if !slices.Equal(all, []int{0, 1, 2, 3, 4, 5}) {
		t.Errorf("the whole pool: %v", all)
	}
	// Against the definition, step by step.
	r := rand.New(rand.NewPCG(51, 1))
	for range 20 {
		scores, embeddings := make([]float64, 12), make([][]float32, 12)
		for i := range scores {
			scores[i], embeddings[i] = r.Float64(), normal(r, 3)
		}
		picked := DiverseExtremes(scores, embeddings, 7)
		if scores[picked[0]] != slices.Max(scores) || scores[picked[1]] != slices.Min(scores) {
			t.Errorf("%v does not begin with the best and the worst of %v", picked, scores)
		}
		for k := 2; k < len(picked); k++ {
			nearest := func(i int) float64 {
				near := math.Inf(-1)
				for _, p := range picked[:k] {
					near = max(near, cosine(embeddings[i], embeddings[p]))
				}
				return near
			}
			for i := range scores {
				if !slices.Contains(picked[:k], i) && nearest(i) < nearest(picked[k]) {
					t.Errorf("picture %d is nearer to %v than %d", picked[k], picked[:k], i)
				}
			}
		}
	}
	if cosine([]float32{0, 0}, []float32{1, 0}) != 0 {
		t.Error("an empty embedding has a cosine")
	}
}
