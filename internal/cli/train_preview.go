package cli

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"

	"winnow/dpo/training"
	"winnow/internal/tensorboard"
)

// preview is what the policy makes of the validation prompts after a step.
type preview struct {
	step     int
	pictures []*image.NRGBA
	scores   []float64 // nil without a reward
}

// look makes the previews of the present policy: always the same prompts and seeds.
func (r *trainRun) look(ctx context.Context) error {
	o := r.o
	if len(o.validation) == 0 {
		return nil
	}
	var want []training.Picture
	for i, p := range o.validation {
		want = append(want, training.Picture{Prompt: p, Seed: uint64(i)})
	}
	pictures, err := r.t.Pictures(ctx, want, o.validationSteps, o.validationGuidance, false)
	if err != nil {
		return fmt.Errorf("preview: %w", err)
	}
	p := preview{step: r.t.Done(), pictures: pictures}
	if r.mix != nil {
		images := make([]image.Image, len(pictures))
		for i, im := range pictures {
			images[i] = im
		}
		if p.scores, err = r.score(ctx, o.validation, images); err != nil {
			return fmt.Errorf("preview: %w", err)
		}
	}
	r.preview = append(r.preview, p)
	return r.showPreview(p)
}

// showPreview writes the pictures as one.
func (r *trainRun) showPreview(p preview) error {
	grid := tile(p.pictures)
	var b bytes.Buffer
	if err := png.Encode(&b, grid); err != nil {
		return err
	}
	dir := filepath.Join(r.o.output, "previews")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, fmt.Sprintf("step-%06d.png", p.step)), b.Bytes()); err != nil || r.board == nil {
		return err
	}
	size := grid.Bounds()
	if err := r.board.Image("previews", p.step, size.Dx(), size.Dy(), b.Bytes()); err != nil || p.scores == nil {
		return err
	}
	return r.board.Scalars(p.step, []tensorboard.Scalar{{Tag: "previews/reward", Value: meanOf(p.scores)}})
}

func meanOf(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// tile puts pictures of one size side by side in rows.
func tile(pictures []*image.NRGBA) *image.NRGBA {
	const gap = 4
	size := pictures[0].Bounds()
	columns := int(math.Ceil(math.Sqrt(float64(len(pictures)))))
	rows := (len(pictures) + columns - 1) / columns
	out := image.NewNRGBA(image.Rect(0, 0, columns*(size.Dx()+gap)-gap, rows*(size.Dy()+gap)-gap))
	for i := range out.Pix {
		out.Pix[i] = 255
	}
	for i, p := range pictures {
		x, y := i%columns*(size.Dx()+gap), i/columns*(size.Dy()+gap)
		for row := range size.Dy() {
			copy(out.Pix[out.PixOffset(x, y+row):], p.Pix[p.PixOffset(0, row):p.PixOffset(0, row)+4*size.Dx()])
		}
	}
	return out
}
