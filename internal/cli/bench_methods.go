package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"winnow/dpo"
	"winnow/dpo/training"
	"winnow/internal/minibench"
)

// benchMethodsOptions is the command line of bench methods.
type benchMethodsOptions struct {
	protocol, output string
	only             []string
	jobs, threads    int
}

func (a *app) benchMethodsCommand() *cobra.Command {
	o := &benchMethodsOptions{}
	c := &cobra.Command{
		Use:   "methods --protocol FILE",
		Short: "Compare training methods on the mini world at equal cost",
		Long: `Methods trains the embedded model by every method of a protocol file, with the same pairs and
the same number of evaluations of the U-Net (a row forwards is one, with the way back three),
and compares the adapters on held-out prompts: by the exact checker, for each sort of prompt,
by the reward that labelled, and in wins over the base and over Diffusion-DPO, with 95 %
bootstrap intervals over prompts.

The protocol fixes how settings are chosen: as many trials for every method, trained with
seed 0 and compared by the reward that labels on validation prompts, over all guidance scales.
The chosen setting is trained with the protocol's seeds; the held-out prompts and the checker decide about nothing.

Every training is a process of its own: its processor time and memory are its own. A run
that was stopped goes on where it was. --output gets methods.md, methods.json and
methods.html with pictures.`,
		Example: `  winnow bench methods --protocol assets/mini/methods.yaml --output methods
  winnow bench methods --protocol assets/mini/methods.yaml --output methods --only dpo,ipo,kto --jobs 2`,
		Args: a.noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.benchMethods(c.Context(), o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.protocol, "protocol", "", "YAML file; assets/mini/methods.yaml is the one of METHODS.md")
	f.StringVarP(&o.output, "output", "o", "methods", "folder for pairs, trainings and tables")
	f.StringSliceVar(&o.only, "only", nil, "methods of the protocol, by name (default: all); dpo is always among them")
	f.IntVar(&o.jobs, "jobs", 1, "trainings at once; they share --threads")
	f.IntVar(&o.threads, "threads", 0, "CPU threads (default: all)")
	return c
}

// methodsBench is a run of bench methods.
type methodsBench struct {
	a        *app
	o        *benchMethodsOptions
	protocol *minibench.Protocol
	program  string // this program, which trains
	data     []byte // the protocol's file
}

func (a *app) benchMethods(ctx context.Context, o *benchMethodsOptions) (err error) {
	b := &methodsBench{a: a, o: o}
	if err := b.open(); err != nil {
		return err
	}
	held, err := training.LockOutput(o.output)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Release()) }()
	if err := b.claim(); err != nil {
		return err
	}
	if err := b.pool(ctx); err != nil {
		return a.stopped(ctx, o.output, err)
	}
	contenders, err := b.run(ctx)
	if err != nil {
		return a.stopped(ctx, o.output, err)
	}
	return b.report(ctx, contenders)
}

// open reads the protocol.
func (b *methodsBench) open() error {
	o := b.o
	if o.protocol == "" {
		return usagef("name a protocol, as in --protocol assets/mini/methods.yaml")
	}
	if o.jobs < 1 || o.threads < 0 {
		return usagef("--jobs %d, --threads %d: want numbers of at least 1", o.jobs, o.threads)
	}
	var err error
	if b.data, err = os.ReadFile(o.protocol); err != nil {
		return pathError("read", o.protocol, err)
	}
	if b.protocol, err = minibench.ReadProtocol(b.data); err != nil {
		return usagef("--protocol %s: %w", o.protocol, err)
	}
	for _, name := range o.only {
		if !slices.ContainsFunc(b.protocol.Methods, func(m minibench.ProtocolMethod) bool { return m.Name == name }) {
			return usagef("--only %s: the protocol has no such method", name)
		}
	}
	for _, m := range b.protocol.Methods {
		if _, err := dpo.FindMethod(m.Method); err != nil {
			return usagef("--protocol %s: %s: %s", o.protocol, m.Name, strings.TrimPrefix(err.Error(), "dpo: "))
		}
	}
	if o.threads == 0 {
		o.threads = runtime.GOMAXPROCS(0)
	}
	o.jobs = min(o.jobs, o.threads)
	b.program, err = os.Executable()
	return err
}

// claim keeps the protocol in the folder, and refuses one with another: runs of two protocols do not compare. Methods
// may be added and changed.
func (b *methodsBench) claim() error {
	path := b.at("protocol.yaml")
	before, err := os.ReadFile(path)
	if err != nil {
		return writeFile(path, b.data)
	}
	was, err := minibench.ReadProtocol(before)
	if err != nil {
		return usagef("%s: %w; remove it", path, err)
	}
	now := *b.protocol
	now.Methods, was.Methods, now.Orders, was.Orders = nil, nil, nil, nil
	if fmt.Sprint(now) != fmt.Sprint(*was) {
		return usagef("%s holds trainings by another protocol; name another --output", b.o.output)
	}
	return writeFile(path, b.data)
}

// chosen are the methods that take part.
func (b *methodsBench) chosen() []minibench.ProtocolMethod {
	var out []minibench.ProtocolMethod
	for _, m := range b.protocol.Methods {
		if len(b.o.only) == 0 || m.Name == minibench.DPOName || slices.Contains(b.o.only, m.Name) {
			out = append(out, m)
		}
	}
	return out
}

func (b *methodsBench) at(name string) string { return filepath.Join(b.o.output, name) }

// Files of what all methods learn from.
const (
	methodsPrompts = "prompts.txt"
	methodsPairs   = "pairs.jsonl"
	methodsGroups  = "groups.jsonl"
	methodsCache   = "latents.sqlite" // of encoded pictures and prompts, which every training begins with
)

// pool makes the pictures that all methods learn from, as pairs and as rankings.
func (b *methodsBench) pool(ctx context.Context) error {
	prompts, err := trainingPrompts(b.protocol.Training, 1)
	if err != nil {
		return err
	}
	if err := writeFile(b.at(methodsPrompts), []byte(strings.Join(prompts, "\n")+"\n")); err != nil {
		return err
	}
	groups := yaml.MapSlice{{Key: "pairs", Value: "group"}}
	for _, set := range []struct {
		name  string
		flags yaml.MapSlice
	}{{methodsPairs, b.protocol.Label}, {methodsGroups, groups}} {
		if exists(b.at(set.name)) {
			continue
		}
		config := b.at(strings.TrimSuffix(set.name, ".jsonl") + ".yaml")
		if err := saveConfig(config, append(slices.Clone(b.protocol.Make), set.flags...)); err != nil {
			return err
		}
		if err := b.a.part(ctx, []string{
			"label", "--config", config, "--prompts", b.at(methodsPrompts), "--reward", b.protocol.Reward, "--threads", fmt.Sprint(b.o.threads),
			"--pictures", b.at("pictures"), "--cache", b.at("scores.sqlite"), "--output", b.at(set.name),
		}); err != nil {
			return err
		}
	}
	return b.encode(ctx)
}

// encode has the pictures of both sets encoded once: a training's time is that of the training.
func (b *methodsBench) encode(ctx context.Context) error {
	if exists(b.at(methodsCache)) {
		return nil
	}
	temp := b.at("encode")
	defer os.RemoveAll(temp)
	cache := filepath.Join(temp, methodsCache)
	if err := os.MkdirAll(temp, 0o777); err != nil {
		return err
	}
	// A seed of its own: the reference's errors of its only batch are of no use to any other training.
	err := b.a.part(ctx, []string{
		"train", "dpo", "--data", b.at(methodsPairs), "--data", b.at(methodsGroups), "--max-train-steps", "1", "--train-batch-size", "1", "--seed", "4242",
		"--cache", cache, "--output", filepath.Join(temp, "run"), "--overwrite", "--threads", fmt.Sprint(b.o.threads),
	})
	if err != nil {
		return err
	}
	return os.Rename(cache, b.at(methodsCache))
}
