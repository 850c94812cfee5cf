package cli

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"winnow/internal/lora"
)

// loraConvertOptions is the command line of lora convert.
type loraConvertOptions struct {
	in, out          string
	to, dtype, model string
	name             string
}

// loraConverted is the result, as --json prints it.
type loraConverted struct {
	Type    string        `json:"type"` // "summary"
	Command string        `json:"command"`
	File    string        `json:"file"`
	From    string        `json:"from"`
	Layout  string        `json:"layout"`
	DType   string        `json:"dtype"`
	Modules int           `json:"modules"`
	Readers []lora.Reader `json:"readers"`
}

func (a *app) loraConvertCommand() *cobra.Command {
	o := &loraConvertOptions{}
	c := &cobra.Command{
		Use:   "convert IN OUT --to LAYOUT",
		Short: "Write a LoRA file in another layout",
		Long: `Convert writes the adapters of a file in another layout. The products that they add
to the weights stay the same: where a layout has no place for alpha, it is multiplied
into the factors. Metadata of the file are kept, those of the layout are written anew.

  kohya          user interfaces, diffusers, InvokeAI: read nearly everywhere
  kohya-sgm      the same with the block names of Stability's code, as kohya's scripts
                 write for SDXL
  diffusers      pytorch_lora_weights.safetensors; for transformers ComfyUI, too
  diffusers-old  .processor.to_q_lora: attention layers alone
  peft           a folder with adapter_config.json, one network
  comfyui        diffusion_model.…

Names of kohya's files are read by the modules of Stable Diffusion 1, 2 and XL, or of
--model. Names of Stability's code depend on the layers a block has; without --model
these are two, as in those models.`,
		Example: `  winnow lora convert pytorch_lora_weights.safetensors style.safetensors --to kohya
  winnow lora convert style.safetensors out/pytorch_lora_weights.safetensors --to diffusers --dtype float16`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 2 {
				return &usageError{command: c.CommandPath(), err: errors.New("name the file to read and the file to write")}
			}
			o.in, o.out = args[0], args[1]
			return nil
		},
		RunE: func(*cobra.Command, []string) error { return a.loraConvert(o) },
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.to, "to", "", "layout: "+strings.Join(lora.Layouts, ", "))
	f.StringVar(&o.dtype, "dtype", "", "float32, float16 or bfloat16 (default: as it is)")
	f.StringVarP(&o.model, "model", "m", "", loraModelUsage)
	f.StringVar(&o.name, "name", "", "name that user interfaces show (default: the file's)")
	return c
}

func (a *app) loraConvert(o *loraConvertOptions) error {
	if !slices.Contains(lora.Layouts, o.to) {
		return usagef("--to %q: want one of %s", o.to, strings.Join(lora.Layouts, ", "))
	}
	if _, err := loraType(o.dtype, 0); err != nil {
		return err
	}
	if o.to != lora.PEFT {
		if err := writable(o.out); err != nil {
			return err
		}
	}
	graphs, done, err := loraGraphs(o.model)
	defer done()
	if err != nil {
		return err
	}
	f, s, err := lora.Open(o.in, graphs)
	if err != nil {
		return err
	}
	if numbered := []string{lora.KohyaSGM, lora.ComfyUI}; graphs == nil && f.Guess() == (lora.Base{}) &&
		slices.Contains(numbered, s.Layout) != slices.Contains(numbered, o.to) && len(f.Networks[lora.UNet]) > 0 {
		return usagef("--model: name the model's folder; block names of Stability's code depend on it, and %s is not for Stable Diffusion 1, 2 or XL", o.in)
	}
	dt, err := loraType(o.dtype, s.DType)
	if err != nil {
		return err
	}
	opt := lora.WriteOptions{
		Layout: o.to, DType: dt, KeepAlpha: true, Modules: moduleNames(graphs), Meta: lora.Meta{Name: o.name, More: keptMetadata(s.Metadata, o.name)},
	}
	if opt.Meta.Name == "" && s.Metadata["ss_output_name"] == "" {
		base := filepath.Base(o.out)
		opt.Meta.Name = strings.TrimSuffix(base, filepath.Ext(base))
	}
	if err := lora.Write(o.out, f, opt); err != nil {
		return err
	}
	_, written, err := lora.Open(o.out, graphs) // what was written, for the forecast
	if err != nil {
		return fmt.Errorf("written, but not readable: %w", err)
	}
	out := loraConverted{"summary", "lora convert", written.Path, s.Layout, o.to, dt.String(), f.Count(), lora.Readers(f, written)}
	if a.json {
		return a.line(out)
	}
	if !a.quiet {
		fmt.Fprintf(a.stderr, "%s, %s to %s, %s: %s\n", s.Layout, s.DType, o.to, dt,
			perNetwork(f.Names(), func(n string) int { return len(f.Networks[n]) }))
	}
	_, err = fmt.Fprintln(a.stdout, written.Path)
	return err
}

// keptMetadata leaves out what belongs to the layout and the bytes of the file that is read.
func keptMetadata(all map[string]string, name string) map[string]string {
	out := maps.Clone(all)
	for _, key := range []string{
		"format", "lora_adapter_metadata", "sshs_model_hash", "sshs_legacy_hash", "modelspec.hash_sha256", "modelspec.implementation",
		"ss_network_dim", "ss_network_alpha", "ss_network_module", "modelspec.sai_model_spec",
	} {
		delete(out, key)
	}
	if name != "" {
		delete(out, "ss_output_name")
		delete(out, "modelspec.title")
	}
	return out
}
