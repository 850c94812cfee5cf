package cli

import (
	"context"
	"errors"
	"fmt"
	"image"

	"winnow/internal/report"
	"winnow/rewards"
)

// rankRun is one run of rank.
type rankRun struct {
	*rankOptions
	app    *app
	mix    *rewards.Mix
	reads  bool // the rewards read prompts
	group  report.Group
	failed []report.Failure
}

// choosePrompt settles the prompt of all files, where they have one.
func (r *rankRun) choosePrompt(files []string) (err error) {
	if r.perPicture || r.prompt == "" && !r.reads {
		return nil
	}
	if r.prompt == "" {
		if r.prompt, err = commonPrompt(files); err != nil {
			return err
		}
	}
	r.group.Prompt = r.prompt
	return r.mix.CheckPrompt(r.prompt)
}

// rankChunk is the number of full-size pictures held at a time.
const rankChunk = 16

// scoreFiles decodes and scores files a few at a time and ranks them all.
func (r *rankRun) scoreFiles(ctx context.Context, files []string) error {
	task := r.app.progress().Start("scoring images", len(files))
	defer task.Stop()
	var raw [][]float64
	for first := 0; first < len(files); first += rankChunk {
		part := files[first:min(first+rankChunk, len(files))]
		before := len(r.group.Images)
		samples, err := r.readAll(ctx, part)
		if err != nil {
			return err
		}
		some, err := r.mix.Members(ctx, samples)
		if err != nil {
			return nameFile(err, r.group.Images[before:])
		}
		raw = joined(raw, some)
		task.Set(first + len(part))
	}
	var err error
	r.group, err = rankGroup(r.mix, r.group, raw, r.alarm)
	return err
}

// readAll decodes files; those that cannot be used are kept as failures.
func (r *rankRun) readAll(ctx context.Context, files []string) (samples []rewards.Sample, err error) {
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		im, full, err := r.read(file)
		if err != nil {
			r.failed = append(r.failed, report.Failure{File: file, Cause: err.Error()})
			continue
		}
		r.group.Images = append(r.group.Images, im)
		prompt := r.prompt
		if r.perPicture {
			prompt = im.Prompt
		}
		samples = append(samples, rewards.Sample{Prompt: prompt, Image: full})
	}
	return samples, nil
}

// read decodes one file and finds the prompt inside it, where each has its own.
func (r *rankRun) read(file string) (report.Image, image.Image, error) {
	data, err := readImageFile(file)
	if err != nil {
		return report.Image{}, nil, err
	}
	im, full, err := decodePicture(file, data, r.html != "")
	if err != nil || !r.perPicture {
		return im, full, err
	}
	im.Prompt = promptIn(data)
	if im.Prompt == "" && r.reads {
		return im, nil, fmt.Errorf("%s: carries no prompt; rank it with --prompt", file)
	}
	if err := r.mix.CheckPrompt(im.Prompt); err != nil {
		return im, nil, fmt.Errorf("%s: %w; --truncate drops it", file, err)
	}
	return im, full, nil
}

// joined appends scores of further pictures, raw[reward][picture].
func joined(raw, some [][]float64) [][]float64 {
	if raw == nil {
		raw = make([][]float64, len(some))
	}
	for i := range some {
		raw[i] = append(raw[i], some[i]...)
	}
	return raw
}

// nameFile adds the file to a score that is not a number.
func nameFile(err error, images []report.Image) error {
	var bad *rewards.NotFiniteError
	if errors.As(err, &bad) && bad.Index < len(images) {
		return fmt.Errorf("%s: %w", images[bad.Index].File, err)
	}
	return err
}

// rankGroup orders pictures by the scores that the rewards of a mix gave them, raw[reward][picture], best first.
func rankGroup(m *rewards.Mix, group report.Group, raw [][]float64, alarm float64) (report.Group, error) {
	scores, err := m.Combine(raw)
	if err != nil {
		return group, err
	}
	ranked, err := rewards.Order(scores)
	if err != nil {
		return group, nameFile(err, group.Images)
	}
	var spread []float64
	if alarm > 0 {
		if spread, err = m.Spread(raw); err != nil {
			return group, err
		}
	}
	out := report.Group{Prompt: group.Prompt}
	for _, r := range ranked {
		im := group.Images[r.Index]
		im.Rank, im.Score = r.Rank, r.Score
		for _, own := range raw {
			im.Scores = append(im.Scores, own[r.Index])
		}
		if spread != nil {
			im.Spread = spread[r.Index]
		}
		out.Images = append(out.Images, im)
	}
	return out, nil
}

// membersOf describes the rewards of a mix.
func membersOf(m *rewards.Mix) []report.Member {
	names, references := m.Names(), m.References()
	var members []report.Member
	for i, r := range m.Rewards() {
		members = append(members, report.Member{Name: names[i], Info: r.Info(), Reference: references[i]})
	}
	return members
}
