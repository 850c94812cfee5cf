package cli

import (
	"context"
	"errors"
	"math"

	"github.com/spf13/pflag"

	"winnow/datasets"
	"winnow/internal/imageproc"
	"winnow/internal/miniworld"
	"winnow/internal/scoring"
	"winnow/rewards"
)

// pictureOptions are the flags of the commands that score pictures of prompts without human labels.
type pictureOptions struct {
	promptFile string
	rewards    []string
	checker    bool
	html       string
	rewardOptions
}

func (o *pictureOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.promptFile, "prompts", "", "prompts (.txt, .jsonl, .json, .csv, .tsv), or a folder of .json lists, one a category")
	f.StringArrayVar(&o.rewards, "reward", nil, "reward, or NAME=WEIGHT,NAME=WEIGHT for a sum, as one scorer; may be repeated (default: mini, where nothing else scores)"+rewardHelp)
	o.rewardOptions.flags(f)
	o.asked.flags(f)
	f.StringVar(&o.cache, "cache", "", "SQLite file that keeps the scores of rewards (default: none)")
	f.BoolVar(&o.checker, "checker", false, "the exact checker of the mini world as a scorer: the share of a prompt's assertions that hold")
	f.StringVar(&o.html, "html", "", "also write a report: one self-contained HTML file")
}

// pictureRun scores pictures of prompts.
type pictureRun struct {
	*pictureOptions
	app     *app
	prompts []datasets.Prompt
	cache   *scoring.Store
	// compares says that the judge is a scorer of its own; only commands with two models have such.
	compares bool
}

func (r *pictureRun) open(ctx context.Context) (err error) {
	if r.rewards, r.compares, err = r.judgeAmong(r.rewards); err != nil {
		return err
	}
	if len(r.rewards) == 0 && !r.checker && !r.compares {
		r.rewards = []string{rewards.Mini}
	}
	if err := errors.Join(r.executorOptions.check(), writable(r.html)); err != nil {
		return err
	}
	if r.prompts, err = readPromptSet(r.promptFile); err != nil {
		return err
	}
	r.cache, err = r.store(ctx, "")
	return err
}

func (r *pictureRun) close() error {
	if r.cache == nil {
		return nil
	}
	return r.cache.Close()
}

// scoreItems gives a score per item; NaN for pictures that cannot be scored, which it has listed.
type scoreItems func([]scoring.Item) ([]float64, error)

// each opens one scorer after the other, so that only one model is held at a time.
func (r *pictureRun) each(ctx context.Context, use func(name string, score scoreItems) error) error {
	for _, choice := range r.rewards {
		if err := r.byReward(ctx, choice, use); err != nil {
			return err
		}
	}
	if err := r.spent(); err != nil {
		return err
	}
	if !r.checker {
		return nil
	}
	for _, p := range r.prompts {
		if _, err := miniworld.ParseCaption(p.Text); err != nil {
			return usagef("--checker: %s, line %d: %q is no caption of the mini world: %w", r.promptFile, p.Line, p.Text, err)
		}
	}
	return use(checkerName, func(items []scoring.Item) ([]float64, error) { return r.check(ctx, items) })
}

func (r *pictureRun) byReward(ctx context.Context, choice string, use func(name string, score scoreItems) error) (err error) {
	mix, by, err := r.scorer(ctx, choice, r.cache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mix.Close()) }()
	return use(mix.Info().Name, func(items []scoring.Item) ([]float64, error) {
		results, err := by.Score(ctx, items)
		if err != nil {
			return nil, err
		}
		values := make([]float64, len(results))
		for i, res := range results {
			if values[i] = res.Score; res.Err != nil {
				r.app.warn("%s: %v", items[i].Name, res.Err)
			}
		}
		return values, nil
	})
}

// checkerName is the scorer of --checker.
const checkerName = "checker"

// check takes the share of a prompt's assertions that hold in the picture.
func (r *pictureRun) check(ctx context.Context, items []scoring.Item) ([]float64, error) {
	values := make([]float64, len(items))
	for i, item := range items {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var err error
		if values[i], err = checkItem(item); err != nil {
			values[i] = math.NaN()
			r.app.warn("%s: %v", item.Name, err)
		}
	}
	return values, nil
}

func checkItem(item scoring.Item) (float64, error) {
	spec, err := miniworld.ParseCaption(item.Prompt)
	if err != nil {
		return 0, err
	}
	data, err := item.Load()
	if err != nil {
		return 0, err
	}
	img, err := imageproc.Decode(item.Name, data, imageproc.Limits{})
	if err != nil {
		return 0, err
	}
	result, err := miniworld.Check(img, spec)
	return result.Frac, err
}

// scoreFiles scores the pictures of a model, a few prompts at a time; the scores of a prompt are in the order of its files.
func (r *pictureRun) scoreFiles(ctx context.Context, name string, s side, score scoreItems) ([][]float64, error) {
	task := r.app.progress().Start(name+" scores "+s.name, len(r.prompts))
	defer task.Stop()
	out := make([][]float64, len(r.prompts))
	for first := 0; first < len(r.prompts); first += scoring.ChunkSize {
		last := min(first+scoring.ChunkSize, len(r.prompts))
		var items []scoring.Item
		for i := first; i < last; i++ {
			for _, file := range s.files[i] {
				items = append(items, scoring.Item{Name: file, Prompt: r.prompts[i].Text, Load: func() ([]byte, error) { return readImageFile(file) }})
			}
		}
		values, err := score(items)
		if err != nil {
			return nil, err
		}
		for i := first; i < last; i++ {
			out[i], values = values[:len(s.files[i])], values[len(s.files[i]):]
		}
		task.Set(last)
	}
	return out, ctx.Err()
}

// listMissing names the first prompts of which why says that their pictures cannot be used.
func (r *pictureRun) listMissing(why func(prompt int) string) {
	const listed = 10
	n := 0
	for i, p := range r.prompts {
		if w := why(i); w != "" {
			if n++; n <= listed {
				r.app.warn("%s, line %d: %s", r.promptFile, p.Line, w)
			}
		}
	}
	if n > listed {
		r.app.warn("%s: %d more prompts like these", r.promptFile, n-listed)
	}
}
