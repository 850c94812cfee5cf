package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"winnow/internal/lora"
	"winnow/internal/tensor"
)

// loraVerified is the result of lora verify, as --json prints it.
type loraVerified struct {
	Type      string            `json:"type"` // "lora_comparison"
	First     string            `json:"first"`
	Second    string            `json:"second"`
	Equal     bool              `json:"equal"`
	Tolerance float64           `json:"tolerance"`
	Relative  float64           `json:"relative"`     // the worst module's
	Max       float64           `json:"max_absolute"` // of all modules
	Modules   []lora.Difference `json:"modules"`      // in the order of their names
}

func (a *app) loraVerifyCommand() *cobra.Command {
	modelName, tolerance := "", 0.0
	c := &cobra.Command{
		Use:   "verify A B",
		Short: "Compare what two LoRA files add to the weights",
		Long: `Verify compares, module by module, what two files add to the weights, whatever their
layouts, ranks and alphas. They are equal when the Frobenius norm of the difference is
within --tolerance times that of the first, in every module; the default is what the
coarser type of the two can tell: 1e-5 for float32, 2e-3 for float16, 2e-2 for
bfloat16. Exit code 0 is equal, 5 is different.`,
		Example: `  winnow lora verify style.safetensors out/pytorch_lora_weights.safetensors
  winnow lora verify a.safetensors b.safetensors --json`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 2 {
				return &usageError{command: c.CommandPath(), err: errors.New("name two LoRA files")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if tolerance < 0 {
				return usagef("--tolerance %g: want a number that is not negative", tolerance)
			}
			given := c.Flags().Changed("tolerance")
			return a.loraVerify(c.Context(), args[0], args[1], modelName, tolerance, given)
		},
	}
	c.Flags().Float64Var(&tolerance, "tolerance", 0, "largest relative difference of a module (default: by the files' types)")
	c.Flags().StringVarP(&modelName, "model", "m", "", loraModelUsage)
	return c
}

func (a *app) loraVerify(ctx context.Context, first, second, modelName string, tolerance float64, given bool) error {
	graphs, done, err := loraGraphs(modelName)
	defer done()
	if err != nil {
		return err
	}
	one, s1, err := lora.Open(first, graphs)
	if err != nil {
		return err
	}
	two, s2, err := lora.Open(second, graphs)
	if err != nil {
		return err
	}
	if !given {
		tolerance = max(coarseness(s1.DType), coarseness(s2.DType))
	}
	differences, err := lora.Compare(ctx, one, two)
	if err != nil {
		return err
	}
	r := loraVerified{Type: "lora_comparison", First: s1.Path, Second: s2.Path, Tolerance: tolerance, Modules: differences, Equal: true}
	bad := 0
	for _, d := range differences {
		r.Relative, r.Max = max(r.Relative, d.Rel), max(r.Max, d.Max)
		if d.Missing != "" || d.Shapes || d.Rel > tolerance {
			bad++
		}
	}
	r.Equal = bad == 0
	if a.json {
		err = a.line(r)
	} else {
		err = a.showVerified(&r, bad)
	}
	if err == nil && !r.Equal {
		err = &belowError{fmt.Sprintf("%d of %d modules differ by more than %g", bad, len(differences), tolerance)}
	}
	return err
}

// coarseness is the relative difference that rounding both factors to a type explains.
func coarseness(dt tensor.DType) float64 {
	switch dt {
	case tensor.F16:
		return 2e-3
	case tensor.BF16:
		return 2e-2
	}
	return 1e-5
}

// showVerified lists the worst modules.
func (a *app) showVerified(r *loraVerified, bad int) error {
	verdict := "equal"
	if bad > 0 {
		verdict = "different"
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\t%d modules, largest relative difference %.3g, largest absolute difference %.3g\n", verdict, len(r.Modules), r.Relative, r.Max)
	worst := slices.Clone(r.Modules)
	slices.SortStableFunc(worst, func(a, b lora.Difference) int {
		switch {
		case a.Rel > b.Rel:
			return -1
		case a.Rel < b.Rel:
			return 1
		}
		return 0
	})
	for i, d := range worst {
		if i == 10 && bad > 10 {
			fmt.Fprintf(t, "…\t%d more\n", bad-10)
		}
		if i >= min(10, bad) {
			break
		}
		what := fmt.Sprintf("relative %.3g, absolute %.3g, norm %.3g", d.Rel, d.Max, d.Norm)
		switch {
		case d.Missing != "":
			what = "missing in the " + d.Missing + " file"
		case d.Shapes:
			what = "of another shape"
		}
		fmt.Fprintf(t, "%s\t%s\n", d.Network+"."+d.Module, what)
	}
	return t.Flush()
}
