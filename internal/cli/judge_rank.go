package cli

import "github.com/spf13/cobra"

// judgeRankCommand is rank by a judge alone: the same engine and the same output.
func (a *app) judgeRankCommand() *cobra.Command {
	o := &rankOptions{}
	o.asked.log = a.logger()
	c := &cobra.Command{
		Use:   "rank --judge URL --prompt PROMPT IMAGE…",
		Short: "Pictures of a prompt in order, by comparisons of a schedule",
		Long: `Rank lets the judge compare pairs of pictures in both orders and prints them best
first: what "winnow rank --judge URL" does, without other rewards. "winnow help
rewards" lists the schedules.`,
		Example: `  winnow judge rank --judge http://localhost:8000 --prompt "a red fox" --judge-schedule swiss --judge-budget 40 photos/
  winnow judge rank --judge mini --json out/*.png`,
		RunE: func(c *cobra.Command, args []string) error {
			o.files, o.changed = args, c.Flags().Changed
			err := o.check(a.json)
			if err == nil {
				err = o.asked.named()
			}
			if err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			return a.rank(c.Context(), o)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVarP(&o.prompt, "prompt", "p", "", "what the images should show (default: the prompt inside the PNG files)")
	f.BoolVar(&o.perPicture, "per-picture-prompt", false, "compare the PNG files of each prompt inside them")
	o.asked.flags(f)
	o.asked.scheduleFlags(f, usualSchedule)
	f.BoolVar(&o.csv, "csv", false, "print a table by RFC 4180 instead")
	f.StringVar(&o.html, "html", "", "also write a report: one self-contained HTML file")
	f.IntVar(&o.threads, "threads", 0, "CPU threads of --judge mini (default: all)")
	o.executorOptions.flags(f)
	return c
}
