package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"winnow/internal/progress"
	"winnow/internal/report"
	"winnow/rewards"
	"winnow/vlmjudge"
)

// rankRun is one run of rank.
type rankRun struct {
	*rankOptions
	app       *app
	mix       *rewards.Mix
	info      rewards.Info
	pairs     *progress.Task // of a judge that compares
	group     report.Group
	failed    []report.Failure
	explained *explained // nil: no page shows what a judge said
}

// choosePrompt settles the prompt of all files, where they have one.
func (r *rankRun) choosePrompt(files []string) (err error) {
	if r.perPicture || r.prompt == "" && !r.info.ReadsPrompt {
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

// scoreFiles decodes and scores files a few at a time and ranks them all. Pictures that are compared with each other have to
// be there together.
func (r *rankRun) scoreFiles(ctx context.Context, files []string) error {
	chunk := rankChunk
	if r.info.Relative {
		chunk = max(len(files), 1)
	}
	task := r.app.progress().Start("scoring images", len(files))
	defer func() {
		task.Stop()
		if r.pairs != nil {
			r.pairs.Stop()
		}
	}()
	var raw [][]float64
	for first := 0; first < len(files); first += chunk {
		part := files[first:min(first+chunk, len(files))]
		some, err := r.scoreSome(ctx, part)
		if err != nil {
			return err
		}
		raw = joined(raw, some)
		task.Set(first + len(part))
	}
	var err error
	r.group, err = rankGroup(r.mix, r.group, raw, r.alarm)
	return err
}

// scoreSome scores files and adds them to the group. A picture that a judge gives no readable answer about is a failure.
func (r *rankRun) scoreSome(ctx context.Context, files []string) ([][]float64, error) {
	before := len(r.group.Images)
	samples, err := r.readAll(ctx, files)
	if err != nil {
		return nil, err
	}
	r.announce(samples)
	for {
		raw, err := r.mix.Members(ctx, samples)
		var unreadable *vlmjudge.UnreadableError
		if err == nil || r.info.Relative || !errors.As(err, &unreadable) {
			return raw, nameFile(err, r.group.Images[before:])
		}
		i := unreadable.Index
		at := before + i
		file := r.group.Images[at].File
		r.failed = append(r.failed, report.Failure{File: file, Cause: fmt.Sprintf("%s: %s", file, unreadable.Reason())})
		samples, r.group.Images = slices.Delete(samples, i, i+1), slices.Delete(r.group.Images, at, at+1)
	}
}

// announce says how many questions a judge will be asked, where they may take long or cost something.
func (r *rankRun) announce(samples []rewards.Sample) {
	const many = 500
	if !r.info.Relative {
		return
	}
	group, questions := map[string]int{}, 0
	for _, s := range samples {
		group[s.Prompt]++
	}
	for _, reward := range r.mix.Rewards() {
		if t, ok := reward.(*rewards.Tournament); ok {
			for _, n := range group {
				questions += 2 * t.MaxPairs(n)
			}
		}
	}
	if questions > many {
		r.app.warn("the judge is asked up to %d questions about %d images; --judge-budget sets a limit, and --reward vqascore asks one per image", questions, len(samples))
	}
}

// showPairs is the progress of comparisons.
func (r *rankRun) showPairs(done, pairs int) {
	if r.pairs == nil {
		r.pairs = r.app.progress().Start("comparing pairs", pairs)
	}
	r.pairs.Set(done)
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
		full.Prompt = prompt
		samples = append(samples, full)
	}
	return samples, nil
}

// read decodes one file and finds the prompt inside it, where each has its own.
func (r *rankRun) read(file string) (report.Image, rewards.Sample, error) {
	data, err := readImageFile(file)
	if err != nil {
		return report.Image{}, rewards.Sample{}, err
	}
	im, full, err := decodePicture(file, data, r.html != "")
	if err != nil || !r.perPicture {
		return im, full, err
	}
	im.Prompt = promptIn(data)
	if im.Prompt == "" && r.info.ReadsPrompt {
		return im, full, fmt.Errorf("%s: carries no prompt; rank it with --prompt", file)
	}
	if err := r.mix.CheckPrompt(im.Prompt); err != nil {
		return im, full, fmt.Errorf("%s: %w; --truncate drops it", file, err)
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
	var unreadable *vlmjudge.UnreadableError
	switch {
	case errors.As(err, &bad) && bad.Index < len(images):
		return fmt.Errorf("%s: %w", images[bad.Index].File, err)
	case errors.As(err, &unreadable) && unreadable.Index < len(images):
		return fmt.Errorf("%s: %w", images[unreadable.Index].File, err)
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

// judgedBy sums up the comparisons of the judges in a mix; nil without any.
func judgedBy(m *rewards.Mix) *vlmjudge.Tournament {
	var sum *vlmjudge.Tournament
	for _, r := range m.Rewards() {
		if t, ok := r.(*rewards.Tournament); ok {
			counts := t.Counts()
			if sum != nil {
				counts = sum.Add(counts)
			}
			sum = &counts
		}
	}
	return sum
}

// warnJudge says where a judge's order is weak.
func (a *app) warnJudge(t *vlmjudge.Tournament) {
	const often = 4 // a quarter of the pairs
	if t == nil || t.Pairs+t.Failed == 0 {
		return
	}
	if t.Failed > 0 {
		a.warn("the judge failed on %d of %d pairs; they are left out", t.Failed, t.Pairs+t.Failed)
	}
	if t.Incomplete != "" {
		a.warn("the ranking is not complete, %d pairs were compared: %s", t.Pairs, t.Incomplete)
	}
	if t.Abstained > 0 {
		a.warn("the judge gave no readable answer about %d of %d pairs; they count as ties", t.Abstained, t.Pairs)
	}
	if often*t.Turned > t.Pairs {
		a.warn("in %d of %d pairs the judge preferred a place, not a picture: its answer turned with the order; the ranks are weak", t.Turned, t.Pairs)
	}
	if t.Triples > 0 && 2*often*t.Cyclic > t.Triples { // coins give a quarter
		a.warn("%d of %d triples of images go round in a circle; the judge has no clear order in mind", t.Cyclic, t.Triples)
	}
}
