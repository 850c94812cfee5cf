package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"winnow/diffusion"
	"winnow/internal/atomicfile"
	"winnow/internal/minibench"
	"winnow/rewards"
)

// benchRewardOptions is the command line of bench reward.
type benchRewardOptions struct {
	benchOptions
	rewardOptions
	reward []string
	count  int
	output string
}

func (a *app) benchRewardCommand() *cobra.Command {
	o := &benchRewardOptions{}
	c := &cobra.Command{
		Use:   "reward",
		Short: "Measure how well a reward orders pictures of the mini world",
		Long: `Reward draws several pictures for each prompt of a set of the mini world and compares
the order that a reward gives them with that of the exact checker: the share of pairs
that are ordered alike, of those whose checker scores differ by more than 0.03, with a
95 % bootstrap interval over prompts, and what choosing the best of each group by the
reward is worth. With the defaults, the first 250 prompts are those of assets/mini/EVAL.md.
--output keeps the pictures and groups.jsonl, which "winnow eval" reads.`,
		Example: `  winnow bench reward
  winnow bench reward --limit 50 --output held-out && winnow eval held-out/groups.jsonl --reward mini`,
		Args: a.noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.benchReward(c.Context(), o) },
	}
	f := c.Flags()
	o.benchOptions.flags(f, []float64{3}, 99)
	f.IntVar(&o.count, "num-images", 4, "pictures per prompt")
	f.StringSliceVar(&o.reward, "reward", []string{rewards.Mini}, "reward to measure, or NAME=WEIGHT,NAME=WEIGHT for a sum"+rewardHelp)
	f.StringArrayVar(&o.models, "reward-model", nil, "folder of the reward's model; once per reward that needs one, in order")
	f.StringVar(&o.transform, "transform", "", "bring scores to one scale by reference.json in each folder: z, cdf or minmax")
	f.StringVarP(&o.output, "output", "o", "", "folder to keep the pictures and groups.jsonl in")
	return c
}

func (a *app) benchReward(ctx context.Context, o *benchRewardOptions) (err error) {
	prompts, err := o.read()
	if err != nil {
		return err
	}
	if o.count < 2 || len(o.guidance) != 1 {
		return usagef("want --num-images of 2 or more and one --guidance-scale")
	}
	o.rewardOptions.threads, o.rewardOptions.executorOptions = o.benchOptions.threads, o.benchOptions.executorOptions
	mix, err := o.open(ctx, o.reward)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mix.Close()) }()
	p, err := diffusion.Open(ctx, o.model, &diffusion.Options{
		Threads: o.benchOptions.threads, Executor: o.benchOptions.executor, ORTLibrary: o.benchOptions.ortLibrary, Logger: a.logger(),
	})
	if err != nil {
		return err
	}
	defer p.Close()
	keep, finish, err := o.keeper(len(prompts))
	if err != nil {
		return err
	}
	bar := a.progress().Start("drawing", len(prompts)*o.count)
	defer bar.Stop()
	r, err := minibench.RunReward(ctx, p, mix, prompts, o.count, minibench.Options{
		Steps: o.steps, Guidance: o.guidance[0], Scheduler: o.scheduler, Seed: o.seed, Batch: o.batch,
		OnPicture: func(done, _ int) { bar.Set(done) },
	}, keep)
	if err == nil {
		err = finish()
	}
	if err != nil {
		return err
	}
	bar.Stop()
	return a.showBenchReward(mix.Info(), r)
}

// group is a line of groups.jsonl.
type group struct {
	Prompt string    `json:"prompt"`
	Images []string  `json:"images"`
	Rank   []float64 `json:"rank"` // the checker's score, negative: the best has the lowest
}

// keeper writes pictures as they come, and groups.jsonl at the end.
func (o *benchRewardOptions) keeper(prompts int) (keep func(int, diffusion.Image, float64, float64) error, finish func() error, err error) {
	if o.output == "" {
		return nil, func() error { return nil }, nil
	}
	if err := (output{folder: o.output}).check(); err != nil {
		return nil, nil, err
	}
	groups := make([]group, prompts)
	keep = func(k int, im diffusion.Image, checker, _ float64) error {
		g := &groups[k]
		g.Prompt = im.Params.Prompt
		name := fmt.Sprintf("%05d_%d.png", k, len(g.Images))
		g.Images, g.Rank = append(g.Images, name), append(g.Rank, -checker)
		data, err := encodePNG(im)
		if err != nil {
			return err
		}
		return writeFile(filepath.Join(o.output, name), data)
	}
	finish = func() error {
		path := filepath.Join(o.output, "groups.jsonl")
		return pathError("write", path, atomicfile.Write(path, func(w io.Writer) error {
			enc := json.NewEncoder(w)
			for _, g := range groups {
				if err := enc.Encode(g); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	return keep, finish, nil
}

func (a *app) showBenchReward(info rewards.Info, r minibench.RewardReport) error {
	if a.json {
		return a.line(struct {
			Type   string       `json:"type"`
			Reward rewards.Info `json:"reward"`
			minibench.RewardReport
		}{"reward_figures", info, r})
	}
	return a.table(func(w io.Writer) {
		var byGap []string
		for _, g := range r.ByGap {
			byGap = append(byGap, fmt.Sprintf("above %g: %.3f of %d", g.From, g.Accuracy, g.Pairs))
		}
		fmt.Fprintf(w, "%s, %d prompts, %d pictures each\n\n", info.Name, r.Prompts, r.Pictures)
		fmt.Fprintf(w, "pair accuracy\t%v\t%d pairs; by difference of the checker's scores, %s\n", r.Accuracy, r.Pairs, strings.Join(byGap, ", "))
		fmt.Fprintf(w, "temperature\t%.4g\tdifference of rewards at which the odds are e to 1\n", r.Temperature)
		fmt.Fprintf(w, "checker score\tfirst %v\tchosen by the reward %v, best %v\n", r.First, r.Chosen, r.Best)
	})
}
