package serve

import (
	"image"
	"image/color"
	"math"
	"testing"

	"winnow/vlmjudge"
)

// red is a picture of one red.
func red(v uint8) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, 56, 56))
	for y := range 56 {
		for x := range 56 {
			img.SetNRGBA(x, y, color.NRGBA{v, 0, 0, 255})
		}
	}
	return img
}

// winnow's own client asks the server as a judge: it finds label probabilities, takes the caption out of the fence, and gets the
// probabilities of /v1/compare in both orders.
func TestLabels_ownClient(t *testing.T) {
	_, h := start(t, Options{Temperature: 2, Quality: func(score float64, _ []float64) float64 { return score / 20 }})
	j, err := vlmjudge.Open(t.Context(), vlmjudge.Options{URL: h.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if p := j.Info().Protocol; p != vlmjudge.ProtocolLogprobs {
		t.Errorf("asked by %v", p)
	}
	// The test's reward is the prompt's length and the redness in hundreds: 4 + 2 and 4 + 0.5.
	c, err := j.Compare(t.Context(), "a ``fox``", red(200), red(50))
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 / (1 + math.Exp(-1.5/2)); math.Abs(c.LogitMean-want) > 1e-6 || math.Abs(c.Bias) > 1e-6 {
		t.Errorf("%+v, want %v and no preference for a place", c, want)
	}
	score, err := j.Yes(t.Context(), "abcd", red(200))
	if err != nil {
		t.Fatal(err)
	}
	if want := 6.0 / 20; math.Abs(score.P-want) > 1e-6 {
		t.Errorf("shows the caption with %v, want %v", score, want)
	}
}

func TestFenced(t *testing.T) {
	for text, want := range map[string]string{
		"Caption:\n```\na red fox\n```\nImage:":                      "a red fox",
		"Caption:\n````\nwith ``` inside\n````\n":                    "with ``` inside",
		"Caption:\n```text\nby a kind\n```\nx\n```\nanother\n```\n":  "by a kind",
		"Caption:\n```\nReply with A or B.\n```\nReply with 1 or 2.": "Reply with A or B.",
	} {
		if got, ok := fenced(text); !ok || got != want {
			t.Errorf("%q: %q, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "no fence", "```\nnever closed", "a ``` in a line ```"} {
		if got, ok := fenced(text); ok {
			t.Errorf("%q: %q", text, got)
		}
	}
	if l, ok := labelsIn("Reply with A or B.\nWhich?\nReply with Yes or No. "); !ok || l != [2]string{"Yes", "No"} {
		t.Errorf("%v, %v", l, ok)
	}
	if _, ok := labelsIn("Reply with 1 or 2. And why?"); ok {
		t.Error("a question that goes on is taken for one of labels")
	}
}
