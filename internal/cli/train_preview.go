package cli

import (
	"context"
	"fmt"
	"image"
	"os"
	"path/filepath"

	"gonum.org/v1/gonum/stat"

	"winnow/dpo/training"
	"winnow/internal/imageproc"
	"winnow/internal/monitor"
	"winnow/internal/report"
)

// preview is what the policy makes of the validation prompts after a step.
type preview struct {
	step     int
	pictures []*image.NRGBA
	scores   []float64 // nil without a reward
}

// look makes the previews of the present policy, or of the base: always the same prompts and seeds. It gives the mean score.
func (r *trainRun) look(ctx context.Context, base bool) ([]monitor.Value, error) {
	o := r.o
	if len(o.validation) == 0 {
		return nil, nil
	}
	var want []training.Picture
	for i, p := range o.validation {
		want = append(want, training.Picture{Prompt: p, Seed: uint64(i)})
	}
	pictures, err := r.t.Pictures(ctx, want, o.validationSteps, o.validationGuidance, base)
	if err != nil {
		return nil, fmt.Errorf("preview: %w", err)
	}
	p := preview{step: r.t.Done(), pictures: pictures}
	if base {
		p.step = 0
	}
	var mean []monitor.Value
	if r.mix != nil {
		images := make([]image.Image, len(pictures))
		for i, im := range pictures {
			images[i] = im
		}
		if p.scores, err = r.score(ctx, o.validation, images); err != nil {
			return nil, fmt.Errorf("preview: %w", err)
		}
		mean = []monitor.Value{{Name: report.PreviewPrefix + r.rewardName(), Value: stat.Mean(p.scores, nil)}}
	}
	r.preview = append(r.preview, p)
	return mean, r.showPreview(p)
}

// showPreview writes the pictures as one.
func (r *trainRun) showPreview(p preview) error {
	all := make([]image.Image, len(p.pictures))
	for i, im := range p.pictures {
		all[i] = im
	}
	grid, err := imageproc.Grid(all, 0)
	if err != nil {
		return err
	}
	data, err := pngOf(grid)
	if err != nil {
		return err
	}
	dir := filepath.Join(r.o.output, "previews")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, fmt.Sprintf("step-%06d.png", p.step)), data); err != nil || r.board == nil {
		return err
	}
	size := grid.Bounds()
	return r.board.Image("previews", p.step, size.Dx(), size.Dy(), data)
}
