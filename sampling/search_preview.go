package sampling

import (
	"math"
	"slices"
)

// glimpse is what an interrupted search has to show before its first picture is finished.
type glimpse struct {
	looked  int // index of the step that was looked at last
	index   int // of the step that latents were predicted at
	score   float64
	latents []float32
}

// glimpsed notes predictions of clean latents at a step, with their scores, or nil where they have none. A scored one is kept before one
// that is not, then one of a later step, then the better one: previews of different steps differ more by the step than by what is seen.
func (s *Search) glimpsed(index int, clean []float32, scores []float64) {
	g := &s.glimpse
	g.looked = index
	if s.found.Latents != nil {
		return
	}
	k, score := 0, math.NaN()
	if scores != nil {
		if k = bestOf(scores); k < 0 {
			return
		}
		score = scores[k]
	}
	scored, before := !math.IsNaN(score), !math.IsNaN(g.score)
	switch x := clean[k*s.Size : (k+1)*s.Size]; {
	case !finite(x):
	case g.latents == nil, scored && !before, scored == before && (index > g.index || index == g.index && better(score, g.score)):
		g.index, g.score, g.latents = index, score, slices.Clone(x)
	}
}

// keepGlimpse hands out the preview where there is no picture.
func (s *Search) keepGlimpse() {
	if s.found.Latents != nil || s.glimpse.latents == nil {
		return
	}
	s.found.Latents, s.found.Score, s.found.Preview = s.glimpse.latents, s.glimpse.score, true
}
