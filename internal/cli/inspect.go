package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"winnow/assets"
	"winnow/diffusion"
	"winnow/internal/graph"
	"winnow/internal/kernel"
	"winnow/internal/model"
	"winnow/internal/onnx"
)

// inspectOptions is the command line of model inspect.
type inspectOptions struct {
	target      string
	plan, check bool
	shapes      []string
	gradient    []string
	checkpoint  bool
	threads     int
}

func (a *app) modelCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "model",
		Short: "Look into model files, and run them",
		Args:  subcommandOnly,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.inspectCommand(), a.runCommand())
	return c
}

func (a *app) inspectCommand() *cobra.Command {
	o := &inspectOptions{}
	c := &cobra.Command{
		Use:   "inspect FILE.onnx|DIR|mini",
		Short: "Show the inputs, outputs, operators and weights of networks",
		Long: `Inspect shows what an ONNX file, or every ONNX file of a folder, holds, without
running it. --check also reads all weights and fails when one is not a number or
when an operator is not supported. --plan compiles each network and shows memory
and work; where the file leaves a size open, --shape gives it, else it is taken
as batch 1, 77 tokens, 64 rows and columns. With --gradient the plan is that of a
forward and a backward pass, for the gradient with respect to the inputs named.`,
		Example: `  winnow model inspect mini
  winnow model inspect unet/model.onnx --plan --shape sample=2x4x64x64 --shape encoder_hidden_states=2x77x768
  winnow model inspect vae_decoder/model.onnx --plan --gradient latent_sample --gradient-checkpointing
  winnow model inspect ./model --check --json`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{command: c.CommandPath(), err: errors.New("name one ONNX file, one model folder, or mini")}
			}
			if !o.plan && (len(o.gradient) > 0 || o.checkpoint) {
				return &usageError{command: c.CommandPath(), err: errors.New("--gradient and --gradient-checkpointing need --plan")}
			}
			o.target = args[0]
			return a.inspect(c.Context(), o)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.BoolVar(&o.plan, "plan", false, "compile, and show memory and work")
	f.BoolVar(&o.check, "check", false, "read all weights and look for NaN, infinity and unsupported operators")
	f.StringArrayVar(&o.shapes, "shape", nil, "shape of an input for --plan: NAME=2x4x64x64; may be repeated")
	f.StringSliceVar(&o.gradient, "gradient", nil, "plan forward and backward pass for the gradient of these inputs; needs --plan")
	f.BoolVar(&o.checkpoint, "gradient-checkpointing", false, "plan a backward pass that computes blocks again instead of keeping them")
	f.IntVar(&o.threads, "threads", 0, "CPU threads that the plan is for (default: all)")
	return c
}

// network is what is known of one ONNX file; its JSON form is a line of --json.
type network struct {
	Type string `json:"type"` // "network"
	onnx.Summary
	Unsupported []string `json:"unsupported"` // operators that the executor lacks, with a node each
	Problem     string   `json:"problem,omitempty"`
	Plan        *plan    `json:"plan,omitempty"`
}

func (a *app) inspect(ctx context.Context, o *inspectOptions) error {
	shapes, err := parseShapes(o.shapes)
	if err != nil {
		return err
	}
	fsys, names, err := findNetworks(o.target)
	if err != nil {
		return err
	}
	pool := kernel.NewPool(o.threads)
	defer pool.Close()
	var problems []error
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := describe(fsys, name, o, shapes, &model.Options{Pool: pool})
		if err != nil {
			return err
		}
		if err := a.showNetwork(n, len(names) > 1); err != nil {
			return err
		}
		if n.Problem != "" {
			problems = append(problems, errors.New(n.Problem))
		}
		if o.check && len(n.Unsupported) > 0 {
			problems = append(problems, fmt.Errorf("%s: unsupported operators: %s", n.File, strings.Join(n.Unsupported, ", ")))
		}
	}
	return errors.Join(problems...)
}

// findNetworks lists the ONNX files that a target means. A nil fsys means disk.
func findNetworks(target string) (fs.FS, []string, error) {
	if target == diffusion.Mini {
		fsys := assets.Mini()
		names, err := onnxFiles(fsys)
		return fsys, names, err
	}
	info, err := os.Stat(target)
	if err != nil {
		return nil, nil, pathError("open", target, err)
	}
	if !info.IsDir() {
		return nil, []string{target}, nil
	}
	names, err := onnxFiles(os.DirFS(target))
	if err != nil {
		return nil, nil, pathError("read", target, err)
	}
	if len(names) == 0 {
		return nil, nil, usagef("folder %s holds no .onnx file", target)
	}
	for i, name := range names {
		names[i] = filepath.Join(target, filepath.FromSlash(name))
	}
	return nil, names, nil
}

func onnxFiles(fsys fs.FS) ([]string, error) {
	var names []string
	err := fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".onnx") {
			names = append(names, path)
		}
		return err
	})
	return names, err
}

// describe opens one network and answers what the flags ask.
func describe(fsys fs.FS, name string, o *inspectOptions, shapes map[string][]int, opt *model.Options) (n network, err error) {
	open := func() (*model.Model, error) {
		if fsys != nil {
			return model.OpenFS(fsys, name, opt)
		}
		return model.Open(name, opt)
	}
	m, err := open()
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	n = network{Type: "network", Summary: m.File().Summary(), Unsupported: unsupported(m.File().Graph)}
	if o.check {
		if err := m.File().CheckFinite(); err != nil {
			n.Problem = err.Error()
		}
	}
	if o.plan {
		p, err := planOf(m, o, shapes, opt)
		if err != nil {
			n.Problem = err.Error()
			return n, nil
		}
		n.Plan = p
	}
	return n, nil
}

// parseShapes reads NAME=2x4x64x64.
func parseShapes(flags []string) (map[string][]int, error) {
	shapes := map[string][]int{}
	for _, f := range flags {
		name, dims, ok := strings.Cut(f, "=")
		shape := []int{}
		for part := range strings.SplitSeq(dims, "x") {
			d, err := strconv.Atoi(part)
			if err != nil || d < 1 || d > 1<<20 {
				ok = false
				break
			}
			shape = append(shape, d)
		}
		if !ok || name == "" {
			return nil, usagef("--shape %s: want NAME=2x4x64x64", f)
		}
		shapes[name] = shape
	}
	return shapes, nil
}

// unsupported lists the operators of a graph that are not registered, with one
// node of each.
func unsupported(g *graph.Graph) []string {
	lowest := map[string]int{}
	for _, entry := range graph.Operators() {
		name, since, _ := strings.Cut(entry, "/")
		v, err := strconv.Atoi(since)
		if have, ok := lowest[name]; err == nil && (!ok || v < have) {
			lowest[name] = v
		}
	}
	out := []string{}
	seen := map[string]bool{}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		name := n.Op
		if n.Domain != "" && n.Domain != "ai.onnx" {
			name = n.Domain + "." + n.Op
		}
		since, ok := lowest[name]
		if (ok && (since <= n.Opset || n.Opset == 0)) || seen[name] {
			continue
		}
		seen[name] = true
		out = append(out, fmt.Sprintf("%s (opset %d, %s)", name, n.Opset, n.Label()))
	}
	return out
}

func (a *app) showNetwork(n network, many bool) error {
	if a.json {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(n)
	}
	var b strings.Builder
	n.text(&b)
	if many {
		b.WriteByte('\n')
	}
	_, err := fmt.Fprint(a.stdout, b.String())
	return err
}

// text writes the description for people.
func (n *network) text(b *strings.Builder) {
	row := func(label, format string, args ...any) {
		fmt.Fprintf(b, "  %-11s %s\n", label, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(b, "%s\n", n.File)
	row("made by", "%s, %s", strings.TrimSpace(n.Producer+" "+n.ProducerVersion), opsets(n.Opsets))
	row("weights", "%s; %s in the file%s", parameterText(n.Parameters), size(n.InlineBytes), external(n.Summary))
	for _, p := range n.Inputs {
		row("input", "%s", port(p))
	}
	for _, p := range n.Outputs {
		row("output", "%s", port(p))
	}
	var ops []string
	for _, name := range n.TopOperators() {
		ops = append(ops, fmt.Sprintf("%s %d", name, n.Operators[name]))
	}
	row("nodes", "%d: %s", n.Nodes, strings.Join(ops, ", "))
	if len(n.Unsupported) > 0 {
		row("unsupported", "%s", strings.Join(n.Unsupported, ", "))
	}
	if p := n.Plan; p != nil {
		row("plan", "%s", planText(p))
	}
}

func opsets(m map[string]int) string {
	var parts []string
	for _, domain := range sortedKeys(m) {
		parts = append(parts, fmt.Sprintf("%s opset %d", domain, m[domain]))
	}
	return strings.Join(parts, ", ")
}

func parameterText(m map[string]int64) string {
	var parts []string
	for _, dt := range sortedKeys(m) {
		parts = append(parts, fmt.Sprintf("%s %s", count(m[dt]), dt))
	}
	return strings.Join(parts, ", ")
}

func external(s onnx.Summary) string {
	if s.ExternalBytes == 0 {
		return ""
	}
	return fmt.Sprintf(", %s beside it in %s", size(s.ExternalBytes), strings.Join(sortedKeys(s.ExternalFiles), ", "))
}

func port(p onnx.Port) string {
	text := fmt.Sprintf("%s [%s]", p.DType, strings.Join(p.Shape, ", "))
	if p.Container != "" {
		text = strings.Replace(p.Container, "tensor", text, 1)
	}
	return p.Name + ": " + text
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, cmp.Compare[string])
	return keys
}

// size shows bytes in binary units.
func size(n int64) string {
	for _, u := range []struct {
		shift uint
		name  string
	}{{30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if n >= 1<<u.shift {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(int64(1)<<u.shift), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// count shows a number of parameters.
func count(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f G", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.2f M", float64(n)/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.1f k", float64(n)/1e3)
	}
	return strconv.FormatInt(n, 10)
}
