package rewards

import (
	"image"
	"math/rand/v2"
	"testing"

	"github.com/disintegration/imaging"

	"winnow/internal/miniworld"
)

// The reward must know whose caption it reads: among scenes drawn by the exact
// renderer, a caption's own scene beats the others. 0.85 lies far above chance
// (0.5) and below what training measures; scenes can fit a short caption
// ("a large circle") by accident.
func TestMini_prefersTheSceneOfTheCaption(t *testing.T) {
	m, err := Open(t.Context(), Mini, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r := rand.New(rand.NewPCG(1, 2))
	var pictures []image.Image
	var captions []string
	for range 24 {
		s := miniworld.RandomScene(r)
		pictures = append(pictures, s.Render())
		captions = append(captions, miniworld.DescribeFully(s).Caption(r))
	}
	won, pairs := 0, 0
	for i, caption := range captions {
		scores, err := m.Score(t.Context(), caption, pictures)
		if err != nil {
			t.Fatal(err)
		}
		for k := range scores {
			if k == i {
				continue
			}
			pairs++
			if scores[i] > scores[k] {
				won++
			}
		}
	}
	if float64(won) < 0.85*float64(pairs) {
		t.Errorf("a caption's own scene wins %d of %d pairs", won, pairs)
	}
}

func TestMini_takesAnyPicture(t *testing.T) {
	m, err := Open(t.Context(), Mini, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if i := m.Info(); i.Name != Mini || i.Model != "embedded" || i.Version == "" || i.Width != 64 || i.Height != 64 || i.MaxTokens != 32 {
		t.Errorf("%+v", i)
	}
	base := miniworld.RandomScene(rand.New(rand.NewPCG(3, 4))).Render()
	var pictures []image.Image
	for _, size := range [][2]int{{64, 64}, {300, 200}, {20, 500}, {1, 1}} {
		pictures = append(pictures, imaging.Resize(base, size[0], size[1], imaging.Linear))
	}
	scores, err := m.Score(t.Context(), "a red circle", pictures)
	if err != nil || len(scores) != len(pictures) {
		t.Errorf("%v, %v", scores, err)
	}
}
