package cli

import (
	"context"
	"errors"
	"image"
	"time"

	"github.com/disintegration/imaging"

	"winnow/diffusion"
	"winnow/internal/progress"
	"winnow/internal/report"
	"winnow/rewards"
)

// generation is one run of generate.
type generation struct {
	*generateOptions
	app    *app
	pipe   *diffusion.Pipeline
	reward *rewards.Mix // nil: not ranked
	out    output
	req    diffusion.Request
	taken  map[string]bool
	made   int               // pictures written
	finals []diffusion.Image // for --save-latents: without their pixels
	result report.Result
}

// generate checks everything that can be checked first, so that no run fails
// after its work is done.
func (a *app) generate(ctx context.Context, o *generateOptions) (err error) {
	start := time.Now()
	pipe, err := diffusion.Open(ctx, o.model, &diffusion.Options{
		Threads: o.threads, Executor: o.executor, ORTLibrary: o.ortLibrary, Logger: a.logger(), LoRA: o.guide.lora.parsed, PAGLayers: o.guide.layers(),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pipe.Close()) }()
	a.showAdapters(pipe.Adapters())
	g := &generation{generateOptions: o, app: a, pipe: pipe, taken: map[string]bool{}}
	if err := g.prepare(ctx); err != nil {
		return err
	}
	if g.reward != nil {
		defer func() { err = errors.Join(err, g.reward.Close()) }()
	}
	var found *searchRun
	var runErr error
	if g.search.method != "" {
		found, runErr = g.runSearch(ctx)
	} else {
		runErr = g.run(ctx)
	}
	if runErr != nil && g.made == 0 {
		return runErr
	}
	// What was finished before an error or Ctrl-C is whole and worth having.
	g.result.Command, g.result.Version, g.result.Seconds = "generate", diffusion.Version(), time.Since(start).Seconds()
	if found != nil {
		runErr = errors.Join(runErr, found.report())
		if g.html != "" {
			runErr = errors.Join(runErr, writePage(g.html, found.page()))
			g.html = ""
		}
	}
	return errors.Join(runErr, g.finish())
}

// prepare reads the files named by flags, resolves defaults, and refuses
// settings that cannot work.
func (g *generation) prepare(ctx context.Context) error {
	d := g.pipe.Defaults()
	if g.count == 0 {
		g.count = 1
		if g.model == diffusion.Mini {
			g.count = 4
		}
	}
	g.req = g.request()
	if err := g.readTensors(d); err != nil {
		return err
	}
	g.req.Count, g.req.Prompts = g.count, g.prompts
	if err := g.pipe.Check(ctx, g.req); err != nil {
		return err
	}
	fitting := d.Reward
	if fitting == "" && g.model == diffusion.Mini {
		fitting = rewards.Mini
	}
	if err := g.openReward(ctx, fitting); err != nil {
		return err
	}
	var err error
	if g.out, err = newOutput(g.output, g.pictures()); err != nil {
		return err
	}
	for _, check := range []error{g.out.check(), writable(g.html), writable(g.saveLatents)} {
		if check != nil {
			return check
		}
	}
	if g.saveConfig != "" {
		return saveConfig(g.saveConfig, g.settings(d))
	}
	return nil
}

// readTensors reads --latents and --prompt-embeds. Latents state the size of
// the pictures where no flag does.
func (g *generation) readTensors(d diffusion.Defaults) error {
	if g.latents != "" {
		l, err := readLatents(g.latents)
		if err != nil {
			return err
		}
		g.req.Latents = l.values
		if g.req.Height == 0 && g.req.Width == 0 {
			g.height, g.width = l.height*d.Factor, l.width*d.Factor
			g.req.Height, g.req.Width = g.height, g.width
		}
	}
	if g.embeds == "" {
		return nil
	}
	e, rows, err := readEmbeds(g.embeds)
	if err != nil {
		return err
	}
	g.req.Embeds = e
	if len(g.prompts) == 0 { // they only name the pictures
		g.prompts = make([]string, rows)
		g.noRank = g.noRank || g.reward == nil && len(g.generateOptions.reward) == 0
	}
	return nil
}

// openReward opens the reward asked for, or the one that fits the model.
func (g *generation) openReward(ctx context.Context, fitting string) error {
	o := g.generateOptions
	switch {
	case o.noRank:
		return nil
	case len(o.reward) == 0 && fitting == "" && !o.rank:
		return nil
	case len(o.reward) == 0 && fitting == "":
		return usagef("--rank: no reward is known for this model; name one, as in --reward clip --reward-model DIR")
	case len(o.reward) == 0:
		o.reward = []string{fitting}
	}
	by := o.by
	by.models, by.truncate, by.threads, by.executorOptions = o.rewardModel, o.truncate, o.threads, o.executorOptions
	m, err := by.open(ctx, o.reward)
	if err != nil {
		return err
	}
	for _, p := range g.prompts {
		if err := m.CheckPrompt(p); err != nil {
			return errors.Join(err, m.Close())
		}
	}
	g.reward = m
	return nil
}

// promptsPerCall keeps the pictures of one call few, so that they reach the
// disk while later prompts still run.
const promptsPerCall = 16

// run generates, writes and ranks, a few prompts at a time.
func (g *generation) run(ctx context.Context) error {
	task := g.app.progress().Start("sampling steps", 1)
	defer func() { task.Stop() }()
	per := max(1, promptsPerCall/g.count)
	if g.req.Latents != nil || g.req.Embeds != nil {
		per = len(g.prompts) // the arrays belong to all prompts together
	}
	for first := 0; first < len(g.prompts); first += per {
		req := g.req
		req.Prompts = g.prompts[first:min(first+per, len(g.prompts))]
		req.OnStep = g.onStep(&task, first*g.count)
		images, err := g.pipe.Generate(ctx, req)
		task.Stop()
		if err := errors.Join(err, g.keep(ctx, images, err == nil)); err != nil {
			return err
		}
	}
	return nil
}

// onStep shows progress over the pictures of the whole run.
func (g *generation) onStep(task **progress.Task, before int) func(diffusion.Step) error {
	started := false
	return func(s diffusion.Step) error {
		if !started {
			*task = g.app.progress().Start("sampling steps", g.pictures()*s.Count)
			started = true
		}
		(*task).Set((before+s.First)*s.Count + s.Pictures*s.Index)
		return nil
	}
}

// keep writes pictures and adds them to the result, ranked if rank is set.
func (g *generation) keep(ctx context.Context, images []diffusion.Image, rank bool) error {
	for first := 0; first < len(images); first += g.count {
		part := images[first:min(first+g.count, len(images))]
		group := report.Group{Prompt: part[0].Params.Prompt}
		for _, im := range part {
			path, sum, err := g.out.write(im, g.made, g.taken)
			if err != nil {
				return err
			}
			g.made++
			if g.saveLatents != "" {
				g.finals = append(g.finals, diffusion.Image{Params: im.Params, Latents: im.Latents})
			}
			seed := im.Params.Seed
			group.Images = append(group.Images, report.Image{
				File: path, Width: im.Params.Width, Height: im.Params.Height, SHA256: sum, Seed: &seed, Params: im.Params, Picture: im.NRGBA,
			})
		}
		// A judge that compares has nothing to say of a picture alone.
		if rank && g.reward != nil && !(len(part) == 1 && g.reward.Info().Relative) {
			var err error
			if group, err = g.ranked(ctx, group); err != nil {
				return err
			}
		}
		for i := range group.Images {
			group.Images[i].Picture = g.thumbnail(group.Images[i].Picture)
		}
		g.result.Groups = append(g.result.Groups, group)
	}
	return nil
}

// thumbnail is what the report shows of a picture, so that a long run does not
// hold all its pixels.
func (g *generation) thumbnail(img image.Image) image.Image {
	if g.html == "" {
		return nil
	}
	return imaging.Fit(img, thumbSide, thumbSide, imaging.Box)
}

// ranked orders a group by the reward, best first.
func (g *generation) ranked(ctx context.Context, group report.Group) (report.Group, error) {
	var samples []rewards.Sample
	for _, im := range group.Images {
		samples = append(samples, rewards.Sample{Prompt: group.Prompt, Image: im.Picture})
	}
	raw, err := g.reward.Members(ctx, samples)
	if err != nil {
		return group, nameFile(err, group.Images)
	}
	return rankGroup(g.reward, group, raw, g.alarm)
}

// finish writes the files besides the pictures and shows the result.
func (g *generation) finish() error {
	if g.reward != nil {
		info := g.reward.Info()
		g.result.Reward, g.result.Members, g.result.Alarm = &info, membersOf(g.reward), g.alarm
		g.result.Judge = judgedBy(g.reward)
		g.app.warnAlarms(&g.result)
		g.app.warnJudge(g.result.Judge)
	}
	if g.saveLatents != "" {
		d := g.pipe.Defaults()
		if err := writeLatents(g.saveLatents, g.finals, d.Channels, d.Factor); err != nil {
			return err
		}
	}
	if g.html != "" {
		if err := writeHTML(g.html, &g.result); err != nil {
			return err
		}
	}
	return g.app.show(&g.result, false)
}
