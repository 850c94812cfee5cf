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
	threads     int
}

func (a *app) modelCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "model",
		Short: "Look into model files",
		Args:  subcommandOnly,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.inspectCommand())
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
as batch 1, 77 tokens, 64 rows and columns.`,
		Example: `  winnow model inspect mini
  winnow model inspect unet/model.onnx --plan --shape sample=2x4x64x64 --shape encoder_hidden_states=2x77x768
  winnow model inspect ./model --check --json`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{command: c.CommandPath(), err: errors.New("name one ONNX file, one model folder, or mini")}
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

type plan struct {
	Inputs      map[string][]int `json:"inputs"`
	Steps       int              `json:"steps"`
	ArenaBytes  int              `json:"arena_bytes"`
	PackedBytes int              `json:"packed_bytes"`
	Flops       float64          `json:"flops"`
	Fused       map[string]int   `json:"fused"`
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
		p, err := planOf(m, shapes)
		if err != nil {
			n.Problem = err.Error()
			return n, nil
		}
		n.Plan = p
	}
	return n, nil
}

// openSize stands for a size that the file leaves open: pictures and latents
// have four axes, token embeddings and ids fewer.
func openSize(axis, rank, batch int) int {
	switch {
	case axis == 0:
		return max(batch, 1)
	case rank == 4:
		return 64
	}
	return 77
}

// planOf compiles a network for the shapes given.
func planOf(m *model.Model, shapes map[string][]int) (*plan, error) {
	p := &plan{Inputs: map[string][]int{}}
	types := map[string]graph.Type{}
	symbols := boundSymbols(m, shapes)
	for _, in := range m.Inputs() {
		shape := slices.Clone(in.Shape)
		for i, d := range shape {
			if d >= 0 {
				continue
			}
			size, bound := symbols[in.Dims[i]]
			if !bound {
				size = openSize(i, len(shape), symbols[batch])
			}
			if in.Dims[i] != "?" {
				symbols[in.Dims[i]] = size
			}
			shape[i] = size
		}
		if s, ok := shapes[in.Name]; ok {
			shape = s
		}
		types[in.Name] = graph.Type{DType: in.DType, Shape: shape}
		p.Inputs[in.Name] = shape
	}
	program, err := m.Compile(types)
	if err != nil {
		return nil, err
	}
	s := program.Stats()
	p.Steps, p.ArenaBytes, p.PackedBytes, p.Flops, p.Fused = s.Steps, s.ArenaBytes, s.PackedBytes, s.Flops, s.Fused
	return p, nil
}

// batch is the key of the batch size among the named sizes; no symbol is empty.
const batch = ""

// boundSymbols are the named sizes that --shape decides, so that a batch size
// given for one input holds for all.
func boundSymbols(m *model.Model, shapes map[string][]int) map[string]int {
	symbols := map[string]int{}
	for _, in := range m.Inputs() {
		for i, d := range shapes[in.Name] {
			if i < len(in.Dims) && in.Shape[i] < 0 && in.Dims[i] != "?" {
				symbols[in.Dims[i]] = d
				if i == 0 {
					symbols[batch] = d
				}
			}
		}
	}
	return symbols
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
	return fmt.Sprintf("%s: %s [%s]", p.Name, p.DType, strings.Join(p.Shape, ", "))
}

func planText(p *plan) string {
	var in []string
	for _, name := range sortedKeys(p.Inputs) {
		in = append(in, fmt.Sprintf("%s %v", name, p.Inputs[name]))
	}
	return fmt.Sprintf("%d kernel calls, %.3g GFLOP, %s of working memory, %s of packed weights, for %s",
		p.Steps, p.Flops/1e9, size(int64(p.ArenaBytes)), size(int64(p.PackedBytes)), strings.Join(in, ", "))
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
