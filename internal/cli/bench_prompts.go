package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"winnow/internal/minibench"
	"winnow/internal/miniworld"
)

// maxTrainingPrompts is far below the number of captions that there are.
const maxTrainingPrompts = 20000

func (a *app) benchPromptsCommand() *cobra.Command {
	var n int
	var seed uint64
	c := &cobra.Command{
		Use:   "prompts",
		Short: "Draw training prompts of the mini world",
		Long: `Prompts prints captions of random scenes, one a line, none of which is in the sets that
figures are reported on (heldout) or settings chosen on (validation).`,
		Example: `  winnow bench prompts --count 1500 > prompts.txt
  winnow label --prompts prompts.txt --num-images 8 --output pairs.parquet`,
		Args: a.noArgs,
		RunE: func(*cobra.Command, []string) error {
			if n < 1 || n > maxTrainingPrompts {
				return usagef("--count %d: want 1 to %d", n, maxTrainingPrompts)
			}
			prompts, err := trainingPrompts(n, seed)
			if err != nil {
				return err
			}
			for _, p := range prompts {
				fmt.Fprintln(a.stdout, p)
			}
			return nil
		},
	}
	c.Flags().IntVar(&n, "count", 1000, "prompts")
	c.Flags().Uint64Var(&seed, "seed", 1, "of the scenes")
	return c
}

// trainingPrompts draws prompts that are in none of the embedded sets.
func trainingPrompts(n int, seed uint64) ([]string, error) {
	var taken []miniworld.Prompt
	for _, set := range []string{"heldout", "validation"} {
		some, err := minibench.Prompts(set, 0)
		if err != nil {
			return nil, err
		}
		taken = append(taken, some...)
	}
	return miniworld.TrainingPrompts(n, seed, taken), nil
}
