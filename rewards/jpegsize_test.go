package rewards

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"testing"
)

// Noise makes larger files than a plain picture, and the score is the size of the file that image/jpeg writes.
func TestJPEGSize(t *testing.T) {
	r, err := OpenReward(t.Context(), JPEGSize, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	plain, noisy := image.NewNRGBA(image.Rect(0, 0, 64, 48)), image.NewNRGBA(image.Rect(0, 0, 64, 48))
	random := rand.New(rand.NewPCG(1, 2))
	for y := range 48 {
		for x := range 64 {
			plain.SetNRGBA(x, y, color.NRGBA{200, 30, 30, 255})
			noisy.SetNRGBA(x, y, color.NRGBA{uint8(random.IntN(256)), uint8(random.IntN(256)), uint8(random.IntN(256)), 255})
		}
	}
	scores, err := r.Score(t.Context(), "anything", []image.Image{plain, noisy})
	if err != nil {
		t.Fatal(err)
	}
	for i, img := range []image.Image{plain, noisy} {
		var file bytes.Buffer
		if err := jpeg.Encode(&file, img, &jpeg.Options{Quality: 95}); err != nil {
			t.Fatal(err)
		}
		if want := float64(file.Len()) / 1000; scores[i] != want {
			t.Errorf("picture %d: %v, its file has %v thousand bytes", i, scores[i], want)
		}
	}
	if scores[1] < 3*scores[0] {
		t.Errorf("noise scores %v, a plain picture %v", scores[1], scores[0])
	}
	if info := r.Info(); info.ReadsPrompt || info.Name != JPEGSize {
		t.Errorf("%+v", info)
	}
}
