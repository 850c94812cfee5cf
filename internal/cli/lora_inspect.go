package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"winnow/internal/lora"
)

// loraReport is what lora inspect finds, as --json prints it.
type loraReport struct {
	Type     string            `json:"type"` // "lora"
	File     string            `json:"file"`
	Layout   string            `json:"layout"`
	Layouts  []string          `json:"layouts"`
	DType    string            `json:"dtype"`
	Tensors  int               `json:"tensors"`
	Base     string            `json:"base_model,omitempty"`
	Networks []loraNetwork     `json:"networks"`
	Readers  []lora.Reader     `json:"readers"`
	Metadata map[string]string `json:"metadata"`
}

type loraNetwork struct {
	Name    string      `json:"name"`
	Modules int         `json:"modules"`
	Params  int         `json:"parameters"`
	Ranks   []loraCount `json:"ranks"`
	Alphas  []loraCount `json:"alphas"`
	Targets []loraCount `json:"targets"`
	Norm    float64     `json:"norm"` // Frobenius, of all that is added to the weights
	Blocks  []loraBlock `json:"blocks"`
}

// loraCount is a value and how many modules have it.
type loraCount struct {
	Value any `json:"value"`
	Count int `json:"modules"`
}

type loraBlock struct {
	Name    string  `json:"name"`
	Modules int     `json:"modules"`
	Norm    float64 `json:"norm"`
}

func (a *app) loraInspectCommand() *cobra.Command {
	modelName := ""
	c := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show layout, ranks, targets and norms of a LoRA file, and which tools load it",
		Long: `Inspect shows what a LoRA file, or a folder with one, holds: layout, networks, ranks,
alphas, target modules, the norm of what it adds to the weights of each block, and
metadata. For common tools it predicts, from the rules of their sources, whether
they load the file, and why not.`,
		Example: `  winnow lora inspect style.safetensors
  winnow lora inspect style.safetensors --model ./model --json`,
		Args: oneArgument("name one LoRA file"),
		RunE: func(c *cobra.Command, args []string) error { return a.loraInspect(c.Context(), args[0], modelName) },
	}
	c.Flags().StringVarP(&modelName, "model", "m", "", loraModelUsage)
	return c
}

// oneArgument wants one argument.
func oneArgument(want string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return &usageError{command: c.CommandPath(), err: fmt.Errorf("%s", want)}
		}
		return nil
	}
}

func (a *app) loraInspect(ctx context.Context, path, modelName string) error {
	graphs, done, err := loraGraphs(modelName)
	defer done()
	if err != nil {
		return err
	}
	f, s, err := lora.Open(path, graphs)
	if err != nil {
		return err
	}
	r := &loraReport{
		Type: "lora", File: s.Path, Layout: s.Layout, Layouts: s.Layouts, DType: s.DType.String(), Tensors: len(s.Keys), Base: f.Guess().Name,
		Readers: lora.Readers(f, s), Metadata: s.Metadata,
	}
	if r.Metadata == nil {
		r.Metadata = map[string]string{}
	}
	for _, name := range f.Names() {
		norms, err := lora.Norms(ctx, f.Networks[name])
		if err != nil {
			return err
		}
		r.Networks = append(r.Networks, describeAdapters(name, f.Networks[name], norms))
	}
	if a.json {
		return a.line(r)
	}
	return r.write(a.stdout)
}

func describeAdapters(name string, all []lora.Factors, norms []float64) loraNetwork {
	n := loraNetwork{Name: name, Modules: len(all)}
	ranks, alphas, targets := map[int]int{}, map[float64]int{}, map[string]int{}
	squares := 0.0
	for i := range all {
		f := &all[i]
		n.Params += f.A.Elems() + f.B.Elems()
		ranks[f.Rank()]++
		alphas[f.Scale()*float64(f.Rank())]++
		targets[lora.Target(f.Module)]++
		norm := norms[i]
		squares += norm * norm
		block := lora.Block(f.Module)
		at := slices.IndexFunc(n.Blocks, func(b loraBlock) bool { return b.Name == block })
		if at < 0 {
			n.Blocks = append(n.Blocks, loraBlock{Name: block})
			at = len(n.Blocks) - 1
		}
		n.Blocks[at].Modules++
		n.Blocks[at].Norm = math.Hypot(n.Blocks[at].Norm, norm)
	}
	n.Norm = math.Sqrt(squares)
	n.Ranks, n.Alphas, n.Targets = counts(ranks), counts(alphas), counts(targets)
	return n
}

// counts sorts by frequency.
func counts[K cmp.Ordered](m map[K]int) []loraCount {
	keys := slices.SortedFunc(maps.Keys(m), func(a, b K) int { return cmp.Or(m[b]-m[a], cmp.Compare(a, b)) })
	out := []loraCount{}
	for _, k := range keys {
		out = append(out, loraCount{k, m[k]})
	}
	return out
}

func showCounts(all []loraCount) string {
	parts := make([]string, len(all))
	for i, c := range all {
		parts[i] = fmt.Sprintf("%v", c.Value)
		if len(all) > 1 {
			parts[i] += fmt.Sprintf(" (%d)", c.Count)
		}
	}
	return strings.Join(parts, ", ")
}

func (r *loraReport) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	row("file", "%s", r.File)
	row("layout", "%s", strings.Join(r.Layouts, " and "))
	row("type", "%s", r.DType)
	row("tensors", "%d", r.Tensors)
	row("base model", "%s", cmp.Or(r.Base, "not told by the weights"))
	for _, n := range r.Networks {
		row(n.Name, "%d modules, %d parameters, norm %.4g", n.Modules, n.Params, n.Norm)
		row("  rank", "%s", showCounts(n.Ranks))
		row("  alpha", "%s", showCounts(n.Alphas))
		row("  targets", "%s", showCounts(n.Targets))
		for _, b := range n.Blocks {
			row("  "+b.Name, "%d modules, norm %.4g", b.Modules, b.Norm)
		}
	}
	for _, reader := range r.Readers {
		why := ""
		if reader.Why != "" {
			why = ": " + reader.Why
		}
		row("loads in "+reader.Tool, "%s%s", reader.Loads, why)
	}
	for _, key := range slices.Sorted(maps.Keys(r.Metadata)) {
		row(key, "%s", shortened(r.Metadata[key]))
	}
	return t.Flush()
}

// shortened is text for one line of a table.
func shortened(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	const limit = 100
	if r := []rune(text); len(r) > limit {
		return string(r[:limit]) + fmt.Sprintf("… (%d characters)", len(r))
	}
	return text
}
