package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"winnow/diffusion"
	"winnow/internal/graph"
	"winnow/internal/ldm"
	"winnow/internal/lora"
	"winnow/internal/model"
	"winnow/internal/tensor"
)

func (a *app) loraCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "lora",
		Short: "Look into LoRA files; convert, merge and compare them",
		Long: `Lora works on adapters as diffusers, PEFT, kohya's scripts and ComfyUI store them:
which tools load a file, the same adapter in another layout, a model with adapters
in its weights, and whether two files do the same to the weights.
"winnow help files" says what is read.`,
		Args: subcommandOnly,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.loraInspectCommand(), a.loraConvertCommand(), a.loraMergeCommand(), a.loraVerifyCommand())
	return c
}

const loraModelUsage = "model folder whose modules tell what names mean, or \"mini\" (default: names of Stable Diffusion 1, 2 and XL)"

// modelFolder is the folder that --model means.
func modelFolder(name string) (model.Folder, error) {
	if name != diffusion.Mini && !exists(name) {
		return model.Folder{}, usagef("--model %s: there is no such folder", name)
	}
	return ldm.OpenFolder(name)
}

// loraGraphs opens the networks of a model that adapters may change; without a name there are none. The caller calls done.
func loraGraphs(name string) (graphs map[string]*graph.Graph, done func(), err error) {
	var open []*model.Model
	done = func() {
		for _, m := range open {
			_ = m.Close() // read only
		}
	}
	if name == "" {
		return nil, done, nil
	}
	folder, err := modelFolder(name)
	if err != nil {
		return nil, done, err
	}
	graphs = map[string]*graph.Graph{}
	for _, component := range []string{lora.UNet, lora.Transformer, lora.TextEncoder, lora.TextEncoder2} {
		file := component + "/model.onnx"
		if !folder.Has(file) {
			continue
		}
		m, err := folder.Open(file, nil)
		if err != nil {
			done()
			return nil, func() {}, err
		}
		open = append(open, m)
		graphs[component] = m.File().Graph
	}
	if len(graphs) == 0 {
		return nil, done, usagef("--model %s: it holds no unet/model.onnx, transformer/model.onnx or text_encoder/model.onnx", name)
	}
	return graphs, done, nil
}

// moduleNames lists the modules of networks.
func moduleNames(graphs map[string]*graph.Graph) map[string][]string {
	if graphs == nil {
		return nil
	}
	out := map[string][]string{}
	for network, g := range graphs {
		for _, m := range lora.List(g) {
			out[network] = append(out[network], m.Name)
		}
	}
	return out
}

// loraTypes are the values of --dtype.
var loraTypes = map[string]tensor.DType{"float32": tensor.F32, "float16": tensor.F16, "bfloat16": tensor.BF16}

func loraType(name string, same tensor.DType) (tensor.DType, error) {
	if name == "" {
		if same == tensor.F64 {
			same = tensor.F32
		}
		return same, nil
	}
	dt, ok := loraTypes[name]
	if !ok {
		return dt, usagef("--dtype %s: want float32, float16 or bfloat16", name)
	}
	return dt, nil
}

// perNetwork says how many modules of each network there are.
func perNetwork(names []string, count func(name string) int) string {
	var parts []string
	for _, n := range names {
		parts = append(parts, fmt.Sprintf("%d of %s", count(n), n))
	}
	return strings.Join(parts, ", ")
}
