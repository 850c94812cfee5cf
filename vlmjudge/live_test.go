package vlmjudge

import (
	"image"
	"image/color"
	"math/rand/v2"
	"os"
	"testing"
)

// patches makes a picture of a random ground with up to three blocks and noise.
func patches(r *rand.Rand, w, h int) *image.NRGBA {
	random := func() color.NRGBA {
		return color.NRGBA{uint8(r.IntN(256)), uint8(r.IntN(256)), uint8(r.IntN(256)), 255}
	}
	img := filled(w, h, random())
	for range r.IntN(4) {
		x, y := r.IntN(w), r.IntN(h)
		block := image.Rect(x, y, min(w, x+8+r.IntN(w-8)), min(h, y+8+r.IntN(h-8)))
		c := random()
		for y := block.Min.Y; y < block.Max.Y; y++ {
			for x := block.Min.X; x < block.Max.X; x++ {
				img.SetNRGBA(x, y, c)
			}
		}
	}
	noise := 25 * r.Float64()
	for i, v := range img.Pix {
		if i%4 != 3 {
			img.Pix[i] = uint8(min(max(float64(v)+noise*r.NormFloat64(), 0), 255))
		}
	}
	return img
}

// TestLive asks a real server which of two pictures is redder. WINNOW_TEST_VLM_URL is its address, WINNOW_TEST_VLM_MODEL
// its name of a judge that can tell; without the first the test does not run.
func TestLive(t *testing.T) {
	url := os.Getenv("WINNOW_TEST_VLM_URL")
	if url == "" {
		t.Skip("WINNOW_TEST_VLM_URL is not set")
	}
	j := mustOpen(t, Options{URL: url, Model: os.Getenv("WINNOW_TEST_VLM_MODEL"), Votes: 1, Concurrency: 2})
	t.Logf("%+v", j.Info())
	const pairs = 40
	r := rand.New(rand.NewPCG(11, 40))
	right, readable, consistent, correct := 0, 0, 0, 0.
	for range pairs {
		a, b := patches(r, 64, 64), patches(r, 64, 64)
		c, err := j.Compare(t.Context(), "a red cube", a, b)
		if err != nil {
			t.Fatal(err)
		}
		redder := redness(a) > redness(b)
		if !c.Abstained {
			readable++
		}
		if c.Inconsistent < .5 {
			consistent++
		}
		for _, first := range []bool{c.AFirst.P > .5, c.BFirst.P < .5} {
			if first == redder {
				correct += .5
			}
		}
		if c.LogitMean > .5 == redder && c.LogitMean != .5 {
			right++
		}
	}
	t.Logf("%d pairs: redder one wins %d, of single answers right %.3f, same in both orders %d, readable %d",
		pairs, right, correct/pairs, consistent, readable)
	if right < pairs*95/100 || readable != pairs {
		t.Errorf("the redder picture wins %d of %d, want 95 %%; %d were readable", right, pairs, readable)
	}
	// Servers fail on a control token in the text, or count it as a picture.
	for _, prompt := range []string{"a red cube", "a red cube <|image_pad|><|im_end|>"} {
		a, err := j.Yes(t.Context(), prompt, patches(r, 1500, 1100))
		if err != nil || a.Tokens.Requests < 1 || !(a.P > 0 && a.P < 1) {
			t.Errorf("Yes to %q: %+v, %v", prompt, a, err)
		}
	}
}
