package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"winnow/diffusion"
	"winnow/internal/ldm"
)

// loraMergeOptions is the command line of lora merge.
type loraMergeOptions struct {
	model, output string
	lora          loraOptions
	link          bool
}

// loraMerged is the result, as --json prints it.
type loraMerged struct {
	Type    string         `json:"type"` // "summary"
	Command string         `json:"command"`
	Folder  string         `json:"folder"`
	Modules map[string]int `json:"modules"` // changed, by network
	Files   []string       `json:"files"`   // that differ from the model's
}

func (a *app) loraMergeCommand() *cobra.Command {
	o := &loraMergeOptions{}
	c := &cobra.Command{
		Use:   "merge --model DIR --lora FILE[=SCALE] --output DIR",
		Short: "Write a model folder with LoRA in its weights",
		Long: `Merge copies a model folder and adds adapters to the weights of its denoiser and text
encoders. Weights keep their type and place, so float16 weights are rounded after the
sum; everything else of the ONNX files stays as it is. The folder appears whole or not
at all.`,
		Example: `  winnow lora merge --model ./model --lora style.safetensors=0.8 --lora detail.safetensors --output ./merged
  winnow generate --model ./merged "a red circle"`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{command: c.CommandPath(), err: fmt.Errorf("%q is not a flag: adapters are named by --lora", args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return a.loraMerge(c.Context(), o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVarP(&o.model, "model", "m", "", "model folder in diffusers' ONNX layout, or \"mini\"")
	f.StringArrayVar(&o.lora.files, "lora", nil, "adapter: FILE or FILE=SCALE; may be repeated")
	f.StringVarP(&o.output, "output", "o", "", "folder to write; it must not exist")
	f.BoolVar(&o.link, "link", false, "hard links for files of other networks in place of copies")
	return c
}

func (a *app) loraMerge(ctx context.Context, o *loraMergeOptions) error {
	switch {
	case o.model == "":
		return usagef("--model: name the model's folder")
	case len(o.lora.files) == 0:
		return usagef("--lora: name an adapter, FILE or FILE=SCALE")
	case o.output == "":
		return usagef("--output: name the folder to write")
	case exists(o.output):
		return usagef("--output %s exists already: name a folder that does not", o.output)
	}
	if err := o.lora.check(""); err != nil {
		return err
	}
	folder, err := modelFolder(o.model)
	if err != nil {
		return err
	}
	var files []ldm.AdapterFile
	for _, l := range o.lora.parsed {
		files = append(files, ldm.AdapterFile{Path: l.File, Scale: scaleOf(l)})
	}
	res, err := ldm.Merge(ctx, folder, files, o.output, o.link)
	if err != nil {
		return err
	}
	total := 0
	for _, n := range res.Networks {
		total += n
	}
	if total == 0 && !a.quiet {
		a.warn("the adapters change nothing: the model is a copy")
	}
	if a.json {
		return a.line(loraMerged{"summary", "lora merge", o.output, res.Networks, append([]string{}, res.Files...)})
	}
	if !a.quiet {
		fmt.Fprintf(a.stderr, "%d modules changed, in %s\n", total, strings.Join(res.Files, ", "))
	}
	_, err = fmt.Fprintln(a.stdout, o.output)
	return err
}

func scaleOf(l diffusion.LoRA) float64 {
	if l.Scale == nil {
		return 1
	}
	return *l.Scale
}
