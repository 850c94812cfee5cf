package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/cpu"

	"winnow/diffusion"
	"winnow/internal/graph"
	"winnow/internal/kernel"
	"winnow/internal/ort"
	"winnow/internal/tensor"
)

// doctorReport is what doctor finds, as --json prints it.
type doctorReport struct {
	Type     string       `json:"type"` // "doctor"
	Version  string       `json:"version"`
	Go       string       `json:"go"`
	Platform string       `json:"platform"`
	Threads  int          `json:"threads"`
	Features []string     `json:"cpu_features"`
	Kernel   string       `json:"kernel"`
	Kernels  []string     `json:"kernels"` // that can run here
	Total    uint64       `json:"memory_bytes,omitempty"`
	Free     uint64       `json:"memory_available_bytes,omitempty"`
	Embedded selfTest     `json:"embedded"`
	Library  *ortReport   `json:"onnxruntime,omitempty"`
	Missing  *missingNote `json:"onnxruntime_missing,omitempty"`
}

// ortReport describes a loaded ONNX Runtime.
type ortReport struct {
	Path      string     `json:"path"`
	Origin    string     `json:"found_by"`
	Version   string     `json:"version"`
	API       int        `json:"api_version"`
	Contained []string   `json:"providers"` // the library's own names
	Tests     []selfTest `json:"self_tests"`
}

// missingNote says where ONNX Runtime was looked for.
type missingNote struct {
	Tried []string `json:"tried"`
	Cure  string   `json:"cure"`
}

// selfTest is one executor tried out.
type selfTest struct {
	Executor string  `json:"executor"`
	OK       bool    `json:"ok"`
	Millis   float64 `json:"milliseconds"` // preparation included
	Problem  string  `json:"problem,omitempty"`
}

func (a *app) doctorCommand() *cobra.Command {
	library := ""
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Show what can run networks here, and try it out",
		Long: `Doctor prints the processor's features and the kernels chosen, memory, and which
ONNX Runtime is found with which providers. Every executor multiplies two small
matrices. It succeeds when the embedded executor does; ONNX Runtime is optional.`,
		Example: `  winnow doctor
  winnow doctor --ort-lib venv/lib/python3.12/site-packages/onnxruntime/capi`,
		Args: a.noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.doctor(c.Context(), library) },
	}
	c.Flags().StringVar(&library, "ort-lib", "", "ONNX Runtime's shared library or its folder (default: searched for)")
	return c
}

func (a *app) doctor(ctx context.Context, library string) error {
	d := examine(ctx, library)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := a.showDoctor(&d); err != nil {
		return err
	}
	if !d.Embedded.OK {
		return errors.New("the embedded executor fails its self-test: " + d.Embedded.Problem)
	}
	if library != "" && d.Missing != nil {
		return errors.New("the library named by --ort-lib cannot be used")
	}
	return nil
}

func (a *app) showDoctor(d *doctorReport) error {
	if !a.json {
		return d.text(a.stdout)
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(d)
}

// examine collects the facts and tries the executors out.
func examine(ctx context.Context, library string) doctorReport {
	d := doctorReport{
		Type: "doctor", Version: diffusion.Version(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Threads: runtime.GOMAXPROCS(0), Features: features(), Kernel: kernel.Selected(), Kernels: kernel.Available(),
	}
	d.Total, d.Free = memory()
	d.Embedded = try(ctx, &graph.Embedded{Options: &graph.Options{Threads: 1}})
	l, err := ort.Load(ctx, library)
	if err != nil {
		d.Missing = &missingNote{Tried: []string{err.Error()}}
		var e *ort.LibraryError
		if errors.As(err, &e) {
			*d.Missing = missingNote{Tried: e.Tried, Cure: e.Cure}
		}
		return d
	}
	d.Library = &ortReport{Path: l.Path, Origin: l.Origin, Version: l.Version, API: l.API, Contained: l.Providers}
	for _, p := range ort.ProviderNames() {
		if !l.Has(p) {
			continue
		}
		e, err := ort.New(ctx, ort.Options{Library: library, Provider: p, Threads: 1})
		if err != nil {
			d.Library.Tests = append(d.Library.Tests, selfTest{Executor: ort.Name + ":" + p, Problem: err.Error()})
			continue
		}
		d.Library.Tests = append(d.Library.Tests, try(ctx, e))
	}
	return d
}

// features lists what the processor offers of what kernels look at.
func features() []string {
	x, arm := &cpu.X86, &cpu.ARM64
	out := []string{}
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"avx", x.HasAVX},
		{"avx2", x.HasAVX2},
		{"fma", x.HasFMA},
		{"bmi2", x.HasBMI2},
		{"avx512f", x.HasAVX512F},
		{"avx512bw", x.HasAVX512BW},
		{"avx512dq", x.HasAVX512DQ},
		{"avx512vl", x.HasAVX512VL},
		{"avx512_bf16", x.HasAVX512BF16},
		{"asimd", arm.HasASIMD},
		{"asimdhp", arm.HasASIMDHP},
		{"sve", arm.HasSVE},
	} {
		if f.has {
			out = append(out, f.name)
		}
	}
	return out
}

// try lets an executor multiply two matrices of small whole numbers, whose product is exact under any arithmetic.
func try(ctx context.Context, e graph.Executor) selfTest {
	start := time.Now()
	err := multiply(ctx, e)
	t := selfTest{Executor: e.Name(), OK: err == nil, Millis: float64(time.Since(start).Microseconds()) / 1000}
	if err != nil {
		t.Problem = err.Error()
	}
	return t
}

func multiply(ctx context.Context, e graph.Executor) error {
	b := graph.NewBuilder("self-test")
	b.Output("y", b.Op("MatMul", b.Input("x", tensor.F32, 2, 3), b.Const(tensor.FromF32([]float32{1, 2, 3, 4, 5, 6}, 3, 2))))
	g, err := b.Build()
	if err != nil {
		return err
	}
	r, err := e.Compile(g, map[string]graph.Type{"x": {DType: tensor.F32, Shape: []int{2, 3}}})
	if err != nil {
		return err
	}
	defer r.Close()
	out, err := r.Run(ctx, map[string]tensor.Tensor{"x": tensor.FromF32([]float32{1, 0, -1, 2, 2, 2}, 2, 3)})
	if err != nil {
		return err
	}
	want := tensor.FromF32([]float32{-4, -4, 18, 24}, 2, 2)
	if y := out["y"]; !y.Equal(want) {
		return fmt.Errorf("MatMul gives %v %v, the product is %v", y, y.Data, want.F32())
	}
	return nil
}

// text writes the report for people.
func (d *doctorReport) text(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "winnow\t%s (%s, %s)\n", d.Version, d.Go, d.Platform)
	fmt.Fprintf(w, "processor\t%d threads; %s\n", d.Threads, cmp.Or(strings.Join(d.Features, " "), "no features that kernels use"))
	fmt.Fprintf(w, "kernels\t%s (available: %s)\n", d.Kernel, strings.Join(d.Kernels, ", "))
	if d.Total > 0 {
		fmt.Fprintf(w, "memory\t%s", gib(d.Total))
		if d.Free > 0 {
			fmt.Fprintf(w, ", %s available", gib(d.Free))
		}
		fmt.Fprintln(w)
	}
	d.Embedded.row(w)
	switch {
	case d.Library != nil:
		d.Library.text(w)
	case d.Missing != nil:
		fmt.Fprintln(w, "onnxruntime\tnot found (optional)")
	}
	if err := w.Flush(); err != nil || d.Missing == nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\nONNX Runtime was looked for here:\n  %s\n%s.\n", strings.Join(d.Missing.Tried, "\n  "), d.Missing.Cure)
	return err
}

func (l *ortReport) text(w io.Writer) {
	fmt.Fprintf(w, "ONNX Runtime\t%s (interface %d), %s\n", l.Version, l.API, l.Path)
	fmt.Fprintf(w, "\tproviders: %s\n", strings.Join(l.Contained, ", "))
	for i := range l.Tests {
		l.Tests[i].row(w)
	}
	if len(l.Tests) < 2 && !slices.Contains(l.Contained, "CUDAExecutionProvider") {
		fmt.Fprintln(w, "\tfor accelerators see winnow help executors")
	}
}

func (t *selfTest) row(w io.Writer) {
	if t.OK {
		fmt.Fprintf(w, "%s\tself-test passed (%.1f ms)\n", t.Executor, t.Millis)
		return
	}
	fmt.Fprintf(w, "%s\tself-test FAILED: %s\n", t.Executor, strings.ReplaceAll(t.Problem, "\n", " "))
}

func gib(n uint64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }
