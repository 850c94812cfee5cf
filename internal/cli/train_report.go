package cli

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"winnow/diffusion"
	"winnow/dpo"
	"winnow/internal/monitor"
	"winnow/internal/report"
)

// reportFile is the page of a run in its folder.
const reportFile = "report.html"

// report writes the page of the run. stopped says why it ended before its last step.
func (r *trainRun) report(files []string, stopped string) error {
	page, err := r.page(files, stopped)
	if err != nil {
		return err
	}
	r.a.trained = page
	var b bytes.Buffer
	if err := page.WriteHTML(&b); err != nil {
		return err
	}
	return writeFile(filepath.Join(r.o.output, reportFile), b.Bytes())
}

func (r *trainRun) page(files []string, stopped string) (*report.Training, error) {
	o := r.o
	rows, err := monitor.Read(o.output)
	if err != nil {
		return nil, err
	}
	m, err := dpo.FindMethod(o.method)
	if err != nil {
		return nil, err
	}
	p := &report.Training{
		Title: m.Title, Subtitle: m.Paper, Command: "winnow train " + o.method + " --config " + filepath.Join(o.output, "train.yaml"),
		Version: diffusion.Version(), Started: r.began.Format("2006-01-02 15:04"), Stopped: stopped, Steps: o.t.Steps,
		LearningRate: report.Resolved{Value: r.t.Rate(), From: "--learning-rate"}, Metrics: rows,
	}
	if o.t.ScaleLR {
		p.LearningRate.From = fmt.Sprintf("--learning-rate %g × %d pairs × %d batches", o.t.LearningRate, o.t.BatchSize, max(1, o.t.Accumulation))
	}
	if beta := r.t.EffectiveBeta(); beta != 0 {
		p.Beta, p.Chance = report.Resolved{Value: beta, From: m.BetaUnit}, math.Ln2
	}
	for _, s := range o.settings(r.flags) {
		p.Settings = append(p.Settings, report.Fact{Name: fmt.Sprint(s.Key), Value: strings.Trim(fmt.Sprint(s.Value), "[]")})
	}
	p.Data = r.facts()
	for _, f := range files {
		about := "adapter for web interfaces"
		if strings.HasPrefix(filepath.Base(f), "pytorch_lora_weights") {
			about = "adapter for diffusers' load_lora_weights"
		}
		p.Files = append(p.Files, report.Fact{Name: f, Value: about})
	}
	for _, n := range r.notes {
		p.Flags = append(p.Flags, report.Flag{Title: n})
	}
	p.Previews, err = r.previews()
	return p, err
}

// facts say what was learnt from.
func (r *trainRun) facts() []report.Fact {
	add := func(out []report.Fact, name string, v int) []report.Fact {
		return append(out, report.Fact{Name: name, Value: strconv.Itoa(v)})
	}
	d := r.data
	if d == nil {
		out := []report.Fact{{Name: "prompts", Value: r.o.prompts}, {Name: "reward", Value: r.o.t.Siblings.Reward.Name}}
		return add(out, "number of prompts", len(r.o.t.Siblings.Prompts))
	}
	out := []report.Fact{{Name: "sets", Value: strings.Join(r.o.data, ", ")}}
	out = add(out, "pairs", len(d.Pairs))
	out = add(out, "rows", d.Rows)
	if d.Singles > 0 {
		out = add(out, "of them pictures labelled by themselves", d.Singles)
		out = add(out, "of these without one of the other label", d.Alone)
	}
	out = add(out, "ties left out", d.Ties)
	out = add(out, "pictures in the middle of a ranking", d.Middle)
	return add(out, "broken rows left out", len(d.Skipped))
}

// previews are the first and the last pictures side by side.
func (r *trainRun) previews() ([]report.Preview, error) {
	if len(r.preview) == 0 {
		return nil, nil
	}
	first, last := r.preview[0], r.preview[len(r.preview)-1]
	var out []report.Preview
	for i, prompt := range r.o.validation {
		v := report.Preview{Prompt: prompt, Seeds: []uint64{uint64(i)}}
		var err error
		if v.Before, err = pngOf(first.pictures[i]); err != nil {
			return nil, err
		}
		if v.After, err = pngOf(last.pictures[i]); err != nil {
			return nil, err
		}
		if first.scores != nil && last.scores != nil {
			v.Scores = []report.Change{{Reward: r.rewardName(), Before: first.scores[i], After: last.scores[i]}}
		}
		out = append(out, v)
	}
	return out, nil
}

func (r *trainRun) rewardName() string { return strings.Join(r.mix.Names(), "+") }

func pngOf(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return b.Bytes(), err
}
