package cli

import (
	"context"
	"errors"
	"image"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"winnow/internal/scoring"
	"winnow/rewards"
	"winnow/vlmjudge"
)

// rewardOptions say how rewards run that score the pictures of a set.
type rewardOptions struct {
	models       []string
	transform    string
	truncate     bool
	threads      int
	cache        string
	address      string // of the reward "remote"
	reference    []string
	taken        []string // of reference, by scorers that were opened
	asked        judgeOptions
	onPair       func(done, pairs int)
	onTournament func(prompt string, members []int, t vlmjudge.Tournament)
	executorOptions
}

func (o *rewardOptions) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.models, "reward-model", nil, "folder of the reward's model; once per reward that needs one, in order")
	o.addressFlag(f)
	o.scaleFlags(f)
	f.BoolVar(&o.truncate, "truncate", false, "drop the end of a prompt that is too long instead of leaving out its pictures")
	f.IntVar(&o.threads, "threads", 0, "CPU threads (default: all)")
	o.executorOptions.flags(f)
}

// scaleFlags say what scores are held against.
func (o *rewardOptions) scaleFlags(f *pflag.FlagSet) {
	f.StringVar(&o.transform, "transform", "", "bring scores to one scale by reference.json in each folder: z, cdf or minmax")
	f.StringArrayVar(&o.reference, "reference", nil, "file of \"winnow reference\" instead of the folder's, for the reward that it names; may be repeated")
}

func (o *rewardOptions) addressFlag(f *pflag.FlagSet) {
	f.StringVar(&o.address, "reward-url", "", "address of the reward \"remote\" (key from WINNOW_API_KEY); see winnow help rewards")
}

// choose gives the rewards that are named, or else the one that the addresses are for, or else the usual ones; judge is the
// reward that --judge alone stands for. It refuses addresses that no reward uses, and rewards without an address.
func (o *rewardOptions) choose(named []string, judge string, usual ...string) ([]string, error) {
	if err := o.asked.check(); err != nil {
		return nil, err
	}
	if len(named) == 0 {
		switch {
		case o.asked.url != "" && o.address != "":
			return nil, usagef("--judge and --reward-url: say by --reward what counts, for example --reward %s,%s", judge, rewards.Remote)
		case o.asked.url != "":
			return []string{judge}, nil
		case o.address != "":
			return []string{rewards.Remote}, nil
		}
		named = usual
	}
	asks, remote := "", false
	for _, choice := range named {
		switch name, _, _ := strings.Cut(choice, "="); name {
		case rewards.Judge, rewards.VQAScore:
			asks = name
		case rewards.Remote:
			remote = true
		}
	}
	switch {
	case asks != "" && o.asked.url == "":
		return nil, usagef("the reward %q asks a judge; name its server by --judge URL", asks)
	case asks == "" && o.asked.url != "":
		return nil, usagef("--judge %s is asked by none of the rewards; add %s to --reward", o.asked.url, judge)
	case remote && o.address == "":
		return nil, usagef("the reward %q runs elsewhere; give its address by --reward-url", rewards.Remote)
	case !remote && o.address != "":
		return nil, usagef("--reward-url %s belongs to none of the rewards; add %s to --reward", o.address, rewards.Remote)
	}
	return named, nil
}

// judgeAmong separates the judge, which compares pictures, from the rewards that score them one by one. Each of named is a
// scorer: a reward or a sum. A judge that is only asked by vqascore compares nothing, unless it is named too.
func (o *rewardOptions) judgeAmong(named []string) (scorers []string, compares bool, err error) {
	if err := o.asked.check(); err != nil {
		return nil, false, err
	}
	asked := false
	for _, choice := range named {
		if choice == rewards.Judge {
			compares = true
			continue
		}
		for _, part := range strings.Split(choice, ",") {
			switch name, _, _ := strings.Cut(part, "="); {
			case name == rewards.Judge:
				return nil, false, usagef("--reward %s: the judge compares pictures and has no scores to add; name it alone", choice)
			case name == rewards.VQAScore:
				asked = true
			case name == rewards.Remote && o.address == "":
				return nil, false, usagef("the reward %q runs elsewhere; give its address by --reward-url", rewards.Remote)
			}
		}
		scorers = append(scorers, choice)
	}
	switch {
	case (asked || compares) && o.asked.url == "":
		return nil, false, usagef("--reward %s asks a judge; name its server by --judge URL", strings.Join(named, " "))
	case o.asked.url != "" && !asked:
		compares = true
	}
	return scorers, compares, nil
}

// rewardHelp ends the help of a --reward flag: the list of names is long.
const rewardHelp = "; see winnow help rewards"

// options are those of rewards.
func (o *rewardOptions) options() *rewards.Options {
	opt := &rewards.Options{
		Threads: o.threads, Truncate: o.truncate, Executor: o.executor, ORTLibrary: o.ortLibrary, OnPair: o.onPair, OnTournament: o.onTournament, References: o.reference,
	}
	o.asked.apply(opt)
	return opt
}

// open opens a weighted sum. The folders that it takes are removed from models.
func (o *rewardOptions) open(ctx context.Context, choices []string) (*rewards.Mix, error) {
	opt := o.options()
	if o.address != "" {
		opt.Remote = &vlmjudge.RemoteOptions{URL: o.address, Key: os.Getenv("WINNOW_API_KEY"), Logger: o.asked.log}
	}
	return rewards.OpenMix(ctx, choices, o.models, o.transform, opt)
}

// stored is a scorer with the store of its scores.
type stored struct {
	mix   *rewards.Mix
	by    *scoring.Scorer
	store *scoring.Store // nil: none
}

// stored opens a scorer, and the store that --cache names, or else the one beside an output; "" is none.
func (o *rewardOptions) stored(ctx context.Context, choices []string, beside string) (*stored, error) {
	mix, err := o.open(ctx, choices)
	if err != nil {
		return nil, err
	}
	s := &stored{mix: mix}
	if s.store, err = o.store(ctx, beside); err == nil {
		s.by, err = scoring.New(ctx, mix, o.executor, s.store)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close closes both.
func (s *stored) Close() error {
	var err error
	if s.store != nil {
		err = s.store.Close()
	}
	return errors.Join(err, s.mix.Close())
}

// scoreEach is a reward as a function of pictures with a prompt each.
func scoreEach(s rewards.SampleScorer) func(ctx context.Context, prompts []string, pictures []image.Image) ([]float64, error) {
	return func(ctx context.Context, prompts []string, pictures []image.Image) ([]float64, error) {
		samples := make([]rewards.Sample, len(prompts))
		for i, p := range prompts {
			samples[i] = rewards.Sample{Prompt: p, Image: pictures[i]}
		}
		return s.ScoreSamples(ctx, samples)
	}
}

// scorer opens one scorer: a reward or a sum, as NAME=WEIGHT,NAME=WEIGHT. It takes its folders from models, so that scorers are
// opened in the order of their flags. The mix is the caller's to close.
func (o *rewardOptions) scorer(ctx context.Context, choice string, store *scoring.Store) (*rewards.Mix, *scoring.Scorer, error) {
	choices, mine := strings.Split(choice, ","), *o
	mine.models, o.models = takeFolders(choices, o.models)
	var err error
	if mine.reference, err = o.referencesOf(choices); err != nil {
		return nil, nil, err
	}
	mix, err := mine.open(ctx, choices)
	if err != nil {
		return nil, nil, err
	}
	by, err := scoring.New(ctx, mix, o.executor, store)
	if err != nil {
		return nil, nil, errors.Join(err, mix.Close())
	}
	return mix, by, nil
}

// takeFolders gives the rewards of one scorer their folders, and returns the rest.
func takeFolders(choices, folders []string) (mine, rest []string) {
	n := 0
	for _, c := range choices {
		if name, _, _ := strings.Cut(c, "="); rewards.NeedsFolder(name) {
			n++
		}
	}
	n = min(n, len(folders))
	return folders[:n], folders[n:]
}

// referencesOf are the files of --reference for the rewards of one scorer.
func (o *rewardOptions) referencesOf(choices []string) (mine []string, err error) {
	for _, path := range o.reference {
		r, err := rewards.ReadReference(path)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(choices, func(choice string) bool { name, _, _ := strings.Cut(choice, "="); return name == r.Reward }) {
			mine = append(mine, path)
			o.taken = append(o.taken, path)
		}
	}
	return mine, nil
}

// spent refuses folders and references that no scorer took.
func (o *rewardOptions) spent() error {
	if len(o.models) > 0 {
		return usagef("--reward-model %s belongs to no reward; name one reward for each folder", o.models[0])
	}
	for _, path := range o.reference {
		if !slices.Contains(o.taken, path) {
			return usagef("--reference %s is of none of the rewards", path)
		}
	}
	return nil
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
