package cli

import (
	"context"
	"strings"

	"github.com/spf13/pflag"

	"winnow/internal/scoring"
	"winnow/rewards"
)

// rewardOptions say how rewards run that score the pictures of a set.
type rewardOptions struct {
	models    []string
	transform string
	truncate  bool
	threads   int
	cache     string
	executorOptions
}

func (o *rewardOptions) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.models, "reward-model", nil, "folder of the reward's model; once per reward that needs one, in order")
	f.StringVar(&o.transform, "transform", "", "bring scores to one scale by reference.json in each folder: z, cdf or minmax")
	f.BoolVar(&o.truncate, "truncate", false, "drop the end of a prompt that is too long instead of leaving out its pictures")
	f.IntVar(&o.threads, "threads", 0, "CPU threads (default: all)")
	o.executorOptions.flags(f)
}

// rewardHelp lists the names for the help of a --reward flag.
func rewardHelp() string { return strings.Join(rewards.Names(), ", ") }

// open opens a weighted sum. The folders that it takes are removed from models.
func (o *rewardOptions) open(ctx context.Context, choices []string) (*rewards.Mix, error) {
	return rewards.OpenMix(ctx, choices, o.models, o.transform, &rewards.Options{
		Threads: o.threads, Truncate: o.truncate, Executor: o.executor, ORTLibrary: o.ortLibrary,
	})
}

// store opens the score cache at --cache, or at otherwise; nil without one.
func (o *rewardOptions) store(ctx context.Context, otherwise string) (*scoring.Store, error) {
	path := o.cache
	if path == "" {
		path = otherwise
	}
	if path == "" || path == "none" {
		return nil, nil
	}
	return scoring.OpenStore(ctx, path)
}
