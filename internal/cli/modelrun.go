package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"winnow/internal/graph"
	"winnow/internal/mmap"
	"winnow/internal/onnx"
	"winnow/internal/ort"
	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// runOptions is the command line of model run.
type runOptions struct {
	network               string
	inputs, outputs       string
	cotangents, gradients string
	checkpoint            bool
	threads               int
	executorOptions
}

func (a *app) runCommand() *cobra.Command {
	o := &runOptions{}
	c := &cobra.Command{
		Use:   "run FILE.onnx --inputs FILE --outputs FILE",
		Short: "Run a network on tensors of a file, and its gradient",
		Long: `Run evaluates an ONNX file: tensors are taken from a safetensors file by the names
of the network's inputs and written by the names of its outputs.

With --cotangents, a file that holds a tensor for outputs by name (one left out is
zero), it also goes backwards and writes to --gradients, for every input of a
floating-point type, the sum over outputs of cotangent times derivative, under
the input's name.`,
		Example: `  winnow model run unet/model.onnx --inputs in.safetensors --outputs out.safetensors
  winnow model run vae_decoder/model.onnx --inputs z.safetensors --outputs x.safetensors \
    --cotangents dx.safetensors --gradients dz.safetensors --executor onnxruntime`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{command: c.CommandPath(), err: errors.New("name one ONNX file")}
			}
			o.network = args[0]
			if err := o.check(); err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			return a.runNetwork(c.Context(), o)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.inputs, "inputs", "", "safetensors file with a tensor for every input")
	f.StringVar(&o.outputs, "outputs", "", "safetensors file to write the outputs to")
	f.StringVar(&o.cotangents, "cotangents", "", "safetensors file with a cotangent for outputs")
	f.StringVar(&o.gradients, "gradients", "", "safetensors file to write the gradients of the inputs to")
	f.BoolVar(&o.checkpoint, "gradient-checkpointing", false, "keep less for the backward pass and compute the rest again")
	f.IntVar(&o.threads, "threads", 0, "CPU threads (default: all)")
	o.executorOptions.flags(f)
	return c
}

// check refuses flags that do not go together.
func (o *runOptions) check() error {
	switch {
	case o.inputs == "" || o.outputs == "":
		return errors.New("--inputs and --outputs are needed")
	case (o.cotangents == "") != (o.gradients == ""):
		return errors.New("--cotangents and --gradients need each other")
	case o.checkpoint && o.gradients == "":
		return errors.New("--gradient-checkpointing needs --cotangents and --gradients")
	case o.gradients != "" && filepath.Clean(o.gradients) == filepath.Clean(o.outputs):
		return fmt.Errorf("--outputs and --gradients are the same file, %s", o.outputs)
	case o.threads < 0:
		return fmt.Errorf("--threads %d: want 0 or more", o.threads)
	}
	return o.executorOptions.check()
}

// runReport is the result of model run, as --json prints it.
type runReport struct {
	Type      string     `json:"type"` // "run"
	File      string     `json:"file"`
	Executor  string     `json:"executor"`
	Seconds   float64    `json:"seconds"` // of the passes, without loading and compiling
	Outputs   runTensors `json:"outputs"`
	Gradients runTensors `json:"gradients,omitzero"`
}

// runTensors is a file that was written.
type runTensors struct {
	File    string      `json:"file"`
	Tensors []runTensor `json:"tensors"`
	values  map[string]tensor.Tensor
}

type runTensor struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
}

// runNetwork reads everything, runs, and writes when all has succeeded.
func (a *app) runNetwork(ctx context.Context, o *runOptions) (err error) {
	for _, path := range []string{o.outputs, o.gradients} { // a run may take long
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return pathError("write", path, err)
		}
	}
	m, err := onnx.Open(o.network)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	in, err := safetensors.Read(o.inputs)
	if err != nil {
		return err
	}
	defer in.Close()
	g := m.Graph
	given, err := (&border{"input", g, g.Inputs}).matched(in, o.inputs, true)
	if err != nil {
		return err
	}
	x, err := ort.Open(ctx, o.executor, o.ortLibrary, o.threads)
	if err != nil {
		return err
	}
	if x == nil {
		x = &graph.Embedded{Options: &graph.Options{Threads: o.threads, Release: mmap.Release}}
	}
	r := &runReport{Type: "run", File: o.network, Executor: x.Name(), Outputs: runTensors{File: o.outputs}}
	if o.gradients == "" {
		err = r.forward(ctx, x, g, given)
	} else {
		r.Gradients.File = o.gradients
		err = r.gradient(ctx, x, g, given, o)
	}
	if err != nil {
		return err
	}
	for _, out := range []*runTensors{&r.Outputs, &r.Gradients} {
		if err := a.writeTensors(out); err != nil {
			return err
		}
	}
	return a.showRun(r)
}

func (r *runReport) forward(ctx context.Context, x graph.Executor, g *graph.Graph, in map[string]tensor.Tensor) error {
	p, err := x.Compile(g, typesOf(in))
	if err != nil {
		return err
	}
	defer p.Close()
	begin := time.Now()
	r.Outputs.values, err = p.Run(ctx, in)
	r.Seconds = time.Since(begin).Seconds()
	return err
}

// gradient goes forward and backward.
func (r *runReport) gradient(ctx context.Context, x graph.Executor, g *graph.Graph, in map[string]tensor.Tensor, o *runOptions) error {
	f, err := safetensors.Read(o.cotangents)
	if err != nil {
		return err
	}
	defer f.Close()
	outputs := &border{"output", g, g.Outputs}
	cot, err := outputs.matched(f, o.cotangents, false)
	if err != nil {
		return err
	}
	spec := graph.GradientSpec{Outputs: sortedKeys(cot), Wrt: floats(g, in), Checkpoint: o.checkpoint}
	switch {
	case len(spec.Outputs) == 0:
		return usagef("%s holds no tensor; want a cotangent for outputs: %s", o.cotangents, outputs.names())
	case len(spec.Wrt) == 0:
		return usagef("%s has no input of a floating-point type, so there is no gradient", o.network)
	}
	d, err := x.CompileGradient(g, typesOf(in), spec)
	if err != nil {
		return err
	}
	defer d.Close()
	begin := time.Now()
	if r.Outputs.values, err = d.Forward(ctx, in); err != nil {
		return err
	}
	for _, name := range spec.Outputs {
		y := r.Outputs.values[name]
		if why := misfit(cot[name], y.DType, sizes(y.Shape)); why != "" {
			return usagef("%s: tensor %q: %s, as the output for these inputs", o.cotangents, name, why)
		}
	}
	r.Gradients.values, err = d.Backward(ctx, cot)
	r.Seconds = time.Since(begin).Seconds()
	return err
}

// floats lists the inputs of a floating-point type.
func floats(g *graph.Graph, in map[string]tensor.Tensor) []string {
	var names []string
	for _, id := range g.Inputs {
		if name := g.Value(id).Name; in[name].DType.IsFloat() {
			names = append(names, name)
		}
	}
	return names
}

func sizes(shape []int) []graph.Dim {
	dims := make([]graph.Dim, len(shape))
	for i, n := range shape {
		dims[i].Size = n
	}
	return dims
}

func typesOf(in map[string]tensor.Tensor) map[string]graph.Type {
	types := make(map[string]graph.Type, len(in))
	for name, t := range in {
		types[name] = graph.Type{DType: t.DType, Shape: t.Shape}
	}
	return types
}

// writeTensors stores a file of the report and describes it.
func (a *app) writeTensors(out *runTensors) error {
	if out.File == "" {
		return nil
	}
	for _, name := range sortedKeys(out.values) {
		t := out.values[name]
		out.Tensors = append(out.Tensors, runTensor{name, t.DType.String(), append([]int{}, t.Shape...)})
		if t.DType.IsFloat() && !finite(t) {
			a.warn("%s: %q holds NaN or infinity", out.File, name)
		}
	}
	return safetensors.Write(out.File, out.values, nil)
}

func finite(t tensor.Tensor) bool {
	if t.DType == tensor.F64 {
		return !slices.ContainsFunc(t.F64(), func(v float64) bool { return math.IsNaN(v - v) })
	}
	return !slices.ContainsFunc(t.Float32s(), func(v float32) bool { return v-v != 0 })
}

func (a *app) showRun(r *runReport) error {
	if a.json {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(r)
	}
	var b strings.Builder
	for _, out := range []runTensors{r.Outputs, r.Gradients} {
		if out.File != "" {
			fmt.Fprintln(&b, out.File)
		}
		for _, t := range out.Tensors {
			fmt.Fprintf(&b, "  %s: %s %v\n", t.Name, t.DType, t.Shape)
		}
	}
	_, err := fmt.Fprint(a.stdout, b.String())
	return err
}
