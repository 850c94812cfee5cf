package cli

import (
	"context"

	"github.com/spf13/cobra"

	"winnow/datasets"
)

func (a *app) dataSplitCommand() *cobra.Command {
	in := &dataInput{}
	var (
		train, validation string
		fraction          float64
		seed              uint64
	)
	c := &cobra.Command{
		Use:   "split FILE --train FILE --validation FILE",
		Short: "Split a set into training and validation by prompt",
		Long: `Split writes two files with no prompt in both. Where a prompt goes depends on the
prompt and --seed alone, so splits of several files, or of a file that has grown,
fit each other; the part of prompts in validation is near --fraction.`,
		Example: `  winnow data split pairs.parquet --train train.parquet --validation val.parquet --fraction 0.05 --seed 1`,
		Args:    in.oneFile,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.dataSplit(c.Context(), in, train, validation, fraction, seed)
		},
	}
	in.flags(c.Flags())
	in.keepFlag(c.Flags())
	c.Flags().StringVar(&train, "train", "", "file for training: .jsonl or .parquet")
	c.Flags().StringVar(&validation, "validation", "", "file for validation")
	c.Flags().Float64Var(&fraction, "fraction", 0.1, "part of the prompts for validation")
	c.Flags().Uint64Var(&seed, "seed", 0, "another seed gives another split")
	return c
}

func (a *app) dataSplit(ctx context.Context, in *dataInput, train, validation string, fraction float64, seed uint64) error {
	switch {
	case !(fraction > 0 && fraction < 1):
		return usagef("--fraction %v: want a number between 0 and 1", fraction)
	case train == "" || validation == "":
		return usagef("name both files: --train and --validation")
	case train == validation:
		return usagef("--train and --validation are one file")
	}
	return a.rewrite(ctx, in, "data split", []string{train, validation}, func(r *datasets.Record) (int, error) {
		if datasets.InValidation(r.Prompt, seed, fraction) {
			return 1, nil
		}
		return 0, nil
	}, nil)
}
