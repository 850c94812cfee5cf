package cli

import (
	"context"

	"github.com/spf13/cobra"

	"winnow/datasets"
)

func (a *app) dataDedupeCommand() *cobra.Command {
	in := &dataInput{}
	output, by := "", ""
	c := &cobra.Command{
		Use:   "dedupe FILE --output FILE",
		Short: "Leave out records that were there before",
		Long: `Dedupe keeps the first of equal records. --by says what is compared: "prompt", "image"
(the content of the pictures, in any order, whatever they are called), or "both".
Pictures that cannot be read make their record fail, unless only prompts are
compared.`,
		Example: `  winnow data dedupe pairs.parquet --output clean.parquet
  winnow data dedupe prompts.csv --by prompt --output prompts.jsonl`,
		Args: in.oneFile,
		RunE: func(c *cobra.Command, _ []string) error { return a.dataDedupe(c.Context(), in, output, by) },
	}
	in.flags(c.Flags())
	in.keepFlag(c.Flags())
	c.Flags().StringVar(&by, "by", "both", "what makes records equal: prompt, image, both")
	c.Flags().StringVarP(&output, "output", "o", "", "file to write: .jsonl or .parquet")
	return c
}

func (a *app) dataDedupe(ctx context.Context, in *dataInput, output, by string) error {
	var d datasets.Deduper
	switch by {
	case "prompt":
		d.Prompt = true
	case "image":
		d.Images = true
	case "both":
		d.Prompt, d.Images = true, true
	default:
		return usagef("--by %s: want prompt, image or both", by)
	}
	duplicates := 0
	return a.rewrite(ctx, in, "data dedupe", []string{output}, func(r *datasets.Record) (int, error) {
		seen, err := d.Seen(r)
		if err != nil {
			return -1, &datasets.RowError{Err: err}
		}
		if seen {
			duplicates++
			return -1, nil
		}
		return 0, nil
	}, &duplicates)
}
