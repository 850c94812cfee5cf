package cli

import (
	"context"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"

	"winnow/dpo/training"
	"winnow/internal/imageproc"
	"winnow/internal/monitor"
	"winnow/internal/report"
)

// preview is what the policy makes of the validation prompts after a step.
type preview struct {
	step     int
	pictures []image.Image
	scores   []float64 // nil without a reward
}

// wants says whether there are previews of a step.
func (r *trainRun) wants(step int) bool {
	every := r.o.validationEvery
	return step == r.o.t.Steps || every > 0 && step%every == 0
}

func (r *trainRun) previewFile(step int) string {
	return filepath.Join(r.o.output, "previews", fmt.Sprintf("step-%06d.png", step))
}

// owed makes the previews of the last step where a run that was told to stop has not come to them, and adds their score to the step's
// line of metrics, which is rows' last.
func (r *trainRun) owed(ctx context.Context, rows []monitor.Metrics) error {
	step := r.t.Done()
	if step == 0 || !r.wants(step) || len(r.o.validation) == 0 {
		return nil
	}
	var line monitor.Metrics
	if len(rows) > 0 {
		line = rows[len(rows)-1]
	}
	scored := slices.ContainsFunc(line.Values, func(v monitor.Value) bool { return strings.HasPrefix(v.Name, report.PreviewPrefix) })
	_, err := os.Stat(r.previewFile(step))
	if err == nil && (scored || r.mix == nil) && step < r.o.t.Steps { // the report shows those of the last step
		return nil
	}
	mean, err := r.look(ctx, false)
	if err != nil || mean == nil || scored || line.Step != step {
		return err
	}
	if err := r.log.Close(); err != nil {
		return err
	}
	if r.log, err = monitor.Resume(r.o.output, step-1); err != nil {
		return err
	}
	line.Values = append(line.Values, mean...)
	return r.log.Write(line)
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
		if p.scores, err = scoreEach(r.mix)(ctx, o.validation, pictures); err != nil {
			return nil, fmt.Errorf("preview: %w", err)
		}
		mean = []monitor.Value{{Name: report.PreviewPrefix + r.rewardName(), Value: stat.Mean(p.scores, nil)}}
	}
	r.preview = append(r.preview, p)
	return mean, r.showPreview(p)
}

// showPreview writes the pictures as one.
func (r *trainRun) showPreview(p preview) error {
	grid, err := imageproc.Grid(p.pictures, 0)
	if err != nil {
		return err
	}
	data, err := pngOf(grid)
	if err != nil {
		return err
	}
	file := r.previewFile(p.step)
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	if err := writeFile(file, data); err != nil || r.board == nil {
		return err
	}
	size := grid.Bounds()
	return r.board.Image("previews", p.step, size.Dx(), size.Dy(), data)
}
