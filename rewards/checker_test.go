package rewards

import (
	"errors"
	"image"
	"math/rand/v2"
	"testing"

	"winnow/internal/miniworld"
)

// A picture of what the prompt says scores higher than one of something else.
func TestChecker(t *testing.T) {
	r, err := OpenReward(t.Context(), Checker, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	var right, wrong []Sample
	for range 20 {
		scene := miniworld.RandomScene(rng)
		prompt := miniworld.DescribeFully(scene).Caption(rng)
		right = append(right, Sample{Prompt: prompt, Image: scene.Render()})
		wrong = append(wrong, Sample{Prompt: prompt, Image: miniworld.RandomScene(rng).Render()})
	}
	good, err := r.ScoreSamples(t.Context(), right)
	if err != nil {
		t.Fatal(err)
	}
	bad, err := r.ScoreSamples(t.Context(), wrong)
	if err != nil {
		t.Fatal(err)
	}
	better := 0
	for i := range good {
		if good[i] > 1.2 && good[i] > bad[i] {
			better++
		}
	}
	if better < 18 {
		t.Errorf("right pictures score %v, wrong ones %v", good, bad)
	}
	if _, err := r.Score(t.Context(), right[0].Prompt, []image.Image{image.NewNRGBA(image.Rect(0, 0, 10, 10))}); err == nil {
		t.Error("a picture of another size has a score")
	}
	var arg *ArgumentError
	if _, err := r.Score(t.Context(), "the Mona Lisa", []image.Image{right[0].Image}); !errors.As(err, &arg) {
		t.Errorf("a prompt of another world: %v", err)
	}
	if _, err := OpenReward(t.Context(), Checker, "folder", nil); !errors.As(err, &arg) {
		t.Errorf("a folder is taken: %v", err)
	}
}
