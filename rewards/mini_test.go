package rewards

import (
	"image"
	"image/color"
	"testing"

	"github.com/disintegration/imaging"
)

// scene paints one shape of the mini world on white, without its renderer: the
// reward must know colours and shapes, not a renderer's edges.
func scene(fill color.NRGBA, round bool) image.Image {
	const side, radius = 64, 16
	img := image.NewNRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			dx, dy := x-side/2, y-side/2
			inside := dx*dx+dy*dy <= radius*radius
			if !round {
				inside = max(dx, -dx) <= radius && max(dy, -dy) <= radius
			}
			c := color.NRGBA{255, 255, 255, 255}
			if inside {
				c = fill
			}
			img.SetNRGBA(x, y, c)
		}
	}
	return img
}

func TestMini_prefersWhatThePromptSays(t *testing.T) {
	m, err := Open(t.Context(), Mini, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if i := m.Info(); i.Name != Mini || i.Model != "embedded" || i.Width != 64 || i.MaxTokens != 32 {
		t.Errorf("%+v", i)
	}
	red, blue := color.NRGBA{220, 40, 40, 255}, color.NRGBA{40, 80, 230, 255}
	pictures := []image.Image{scene(red, true), scene(red, false), scene(blue, true), scene(blue, false)}
	for i, prompt := range []string{"a red circle", "a red square", "a blue circle", "a blue square"} {
		ranked, err := Rank(t.Context(), m, prompt, pictures)
		if err != nil {
			t.Fatal(err)
		}
		if ranked[0].Index != i {
			t.Errorf("%q: picture %d is first: %v", prompt, ranked[0].Index, ranked)
		}
	}
	// Any size and shape is taken.
	scores, err := m.Score(t.Context(), "a red circle", []image.Image{imaging.Resize(pictures[0], 300, 200, imaging.Linear)})
	if err != nil || len(scores) != 1 {
		t.Errorf("%v, %v", scores, err)
	}
}
