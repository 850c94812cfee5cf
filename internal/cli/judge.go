package cli

import (
	"context"
	"errors"
	"image"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"winnow/rewards"
	"winnow/vlmjudge"
)

func (a *app) judgeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "judge",
		Short: "Ask a vision-language model about pictures",
		Long: `Judge asks a vision-language model behind a chat server which of two pictures shows
a prompt better, or whether one shows it at all, and turns its answers into
probabilities. --judge names the server; --judge mini needs none: the embedded
reward answers. "winnow help rewards" describes judges.`,
		Args: subcommandOnly,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.judgeCompareCommand(), a.judgeScoreCommand(), a.judgeRankCommand(), a.judgeCalibrateCommand(), a.judgeCostCommand(), a.judgeProbeCommand(), a.judgeDatasetCommand(), a.judgeTemplateCommand())
	return c
}

// judgeQuestion is what the commands share that ask a judge about pictures.
type judgeQuestion struct {
	prompt  string
	threads int
	asked   judgeOptions
	executorOptions
}

func (o *judgeQuestion) flags(c *cobra.Command) {
	f := c.Flags()
	f.SortFlags = false
	f.StringVarP(&o.prompt, "prompt", "p", "", "what the images should show (default: the prompt inside the PNG files)")
	o.judgeFlags(f)
}

// judgeFlags are those of a command without a prompt of its own.
func (o *judgeQuestion) judgeFlags(f *pflag.FlagSet) {
	o.asked.flags(f)
	f.IntVar(&o.threads, "threads", 0, "CPU threads of --judge mini (default: all)")
	o.executorOptions.flags(f)
}

// check refuses what cannot work; it also needs the judge.
func (o *judgeQuestion) check() error {
	if err := o.asked.named(); err != nil {
		return err
	}
	return errors.Join(o.asked.check(), o.executorOptions.check())
}

func (o *judgeQuestion) open(ctx context.Context) (*vlmjudge.Judge, error) {
	return o.asked.open(ctx, &rewards.Options{Threads: o.threads, Executor: o.executor, ORTLibrary: o.ortLibrary})
}

// settlePrompt takes the prompt that the files carry where none was given.
func (o *judgeQuestion) settlePrompt(files []string) (err error) {
	if o.prompt == "" {
		o.prompt, err = commonPrompt(files)
	}
	return err
}

// decodeFiles decodes pictures as people see them.
func decodeFiles(files []string) (images []image.Image, err error) {
	for _, file := range files {
		img, err := decodeFile(file)
		if err != nil {
			return nil, err
		}
		images = append(images, img)
	}
	return images, nil
}
