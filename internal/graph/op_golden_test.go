package graph

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/internal/tensor"
)

// goldenCase is one node with inputs and expected outputs, written by tests/oracle/ops.py. Numbers refer to tensors of
// the same file, -1 is an absent one.
type goldenCase struct {
	Name, Op, Domain, By string
	Opset                int
	Attrs                map[string]goldenAttr
	In, Out              []int
	Cot, Grad            []int // of gradient cases: by output, by input
	tensors              []tensor.Tensor
	standard             int // version of the standard domain, 0: as the case or the default
}

type goldenAttr struct {
	I       *int64
	F       *float32
	S       *string
	T       *int
	Ints    []int64
	Floats  []float32
	Strings []string
}

// goldenCases reads every file of testdata/ops.
func goldenCases(t *testing.T) []goldenCase {
	t.Helper()
	files, err := filepath.Glob("testdata/ops/*.safetensors")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d golden files (%v), want at least 10", len(files), err)
	}
	var all []goldenCase
	for _, name := range files {
		all = append(all, readGolden(t, name)...)
	}
	return all
}

var goldenTypes = map[string]tensor.DType{
	"F32": tensor.F32, "F64": tensor.F64, "F16": tensor.F16, "BF16": tensor.BF16, "BOOL": tensor.Bool,
	"I8": tensor.I8, "I16": tensor.I16, "I32": tensor.I32, "I64": tensor.I64,
	"U8": tensor.U8, "U16": tensor.U16, "U32": tensor.U32, "U64": tensor.U64,
	"F8_E4M3": tensor.F8E4M3FN, "F8_E4M3FNUZ": tensor.F8E4M3FNUZ, "F8_E5M2": tensor.F8E5M2, "F8_E5M2FNUZ": tensor.F8E5M2FNUZ,
	"F8_E8M0": tensor.F8E8M0, "F4": tensor.F4E2M1, "U4": tensor.U4, "I4": tensor.I4, "U2": tensor.U2, "I2": tensor.I2,
}

func readGolden(t *testing.T, name string) []goldenCase {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(data)
	header, body := data[8:8+n], data[8+n:]
	var raw map[string]json.RawMessage
	decode := func(b []byte, into any) {
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	decode(header, &raw)
	var meta struct{ Cases string }
	decode(raw["__metadata__"], &meta)
	tensors := make([]tensor.Tensor, len(raw)-1)
	for i := range tensors {
		var e struct {
			DType   string
			Shape   []int
			Offsets [2]int `json:"data_offsets"`
		}
		decode(raw[fmt.Sprint(i)], &e)
		tensors[i] = tensor.New(goldenTypes[e.DType], e.Shape...)
		copy(tensors[i].Data, body[e.Offsets[0]:e.Offsets[1]])
	}
	var cases []goldenCase
	decode([]byte(meta.Cases), &cases)
	for i := range cases {
		cases[i].tensors = tensors
	}
	return cases
}

func (g *goldenCase) attrs() map[string]Attr {
	out := map[string]Attr{}
	for name, a := range g.Attrs {
		switch {
		case a.I != nil:
			out[name] = Attr{Kind: AttrInt, I: *a.I}
		case a.F != nil:
			out[name] = FloatAttr(*a.F)
		case a.S != nil:
			out[name] = StringAttr(*a.S)
		case a.T != nil:
			out[name] = TensorAttr(g.tensors[*a.T])
		case a.Floats != nil:
			out[name] = Attr{Kind: AttrFloats, Floats: a.Floats}
		case a.Strings != nil:
			out[name] = Attr{Kind: AttrStrings, Strings: a.Strings}
		default:
			out[name] = Attr{Kind: AttrInts, Ints: a.Ints}
		}
	}
	return out
}

// shapeInputs lists the inputs that an operator needs at compile time.
var shapeInputs = map[string][]int{
	"Reshape": {1}, "Expand": {1}, "Tile": {1}, "Slice": {1, 2, 3, 4}, "Pad": {1, 3}, "Squeeze": {1}, "Unsqueeze": {1},
	"Split": {1}, "Resize": {1, 2, 3}, "Upsample": {1}, "TopK": {1}, "CumSum": {1}, "Trilu": {1}, "Range": {0, 1, 2},
	"ConstantOfShape": {0}, "Dropout": {1, 2}, "NonZero": {0}, "OneHot": {1}, "Compress": {1}, "CenterCropPad": {1},
	"AffineGrid": {1}, "Col2Im": {1, 2},
	"BiasDropout": {3, 4}, "MatMulNBits": {1, 2, 3}, "GroupQueryAttention": {6},
}

func isShapeInput(op string, i int) bool {
	if strings.HasPrefix(op, "Reduce") && i == 1 {
		return true
	}
	return containsInt(shapeInputs[op], i)
}

// graph builds the case: fixed says which inputs become constants, the others are graph inputs.
func (g *goldenCase) graph(fixed func(i int) bool) (*Graph, map[string]Type, map[string]tensor.Tensor, error) {
	b := NewBuilder(g.Name)
	if g.standard > 0 {
		b.Opset("", g.standard)
	}
	b.Opset(g.Domain, g.Opset)
	types, feeds := map[string]Type{}, map[string]tensor.Tensor{}
	ids := make([]ValueID, len(g.In))
	for i, ref := range g.In {
		if ref < 0 {
			ids[i] = None
			continue
		}
		v := g.tensors[ref]
		if fixed(i) {
			ids[i] = b.Const(v)
			continue
		}
		name := fmt.Sprintf("x%d", i)
		ids[i] = b.Input(name, v.DType, v.Shape...)
		types[name], feeds[name] = Type{v.DType, v.Shape}, v
	}
	op := g.Op
	if g.Domain != "" {
		op = g.Domain + "." + op
	}
	outs := b.OpN(op, g.attrs(), len(g.Out), ids...)
	for i, id := range outs {
		if g.Out[i] >= 0 {
			b.Output(fmt.Sprintf("y%d", i), id)
		} else {
			outs[i] = None // the node shares the slice: a file would leave the name empty
		}
	}
	graph, err := b.Build()
	return graph, types, feeds, err
}

// goldenModes are the ways in which a node meets its operands.
var goldenModes = []struct {
	name  string
	fixed func(op string, i int) bool
}{
	{"computed", isShapeInput},
	{"weights", func(_ string, i int) bool { return i > 0 }},
	{"folded", func(string, int) bool { return true }},
}

// TestGolden runs every golden case three times: all operands computed, weights constant (which packs them), everything
// constant (which folds the node).
func TestGolden(t *testing.T) {
	cases := goldenCases(t)
	if len(cases) < 1500 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, g := range cases {
		for _, g.standard = range g.standardOpsets() {
			for _, m := range goldenModes {
				g.check(t, m.name, func(i int) bool { return m.fixed(g.Op, i) || isShapeInput(g.Op, i) })
			}
		}
	}
}

// standardOpsets lists the versions of the standard domain under which a case runs: operators of another domain are expanded
// in the forms of each.
func (g *goldenCase) standardOpsets() []int {
	if g.Domain == "" {
		return []int{0}
	}
	return []int{oldestForm, DefaultOpset, 20, 23}
}

func (g *goldenCase) check(t *testing.T, mode string, fixed func(i int) bool) {
	t.Helper()
	got, err := g.run(fixed)
	if err != nil {
		t.Errorf("%s (%s): %v", g.Name, mode, err)
		return
	}
	for i, ref := range g.Out {
		if ref >= 0 {
			what := fmt.Sprintf("%s (%s) output %d", g.Name, mode, i)
			compare(t, what, got[fmt.Sprintf("y%d", i)], g.tensors[ref], g.tolerance())
		}
	}
}

func checkRefusal(t *testing.T, name, why string, err error) {
	t.Helper()
	var u *UnsupportedError
	if !errors.As(err, &u) {
		t.Errorf("%s: error %v is no *UnsupportedError", name, err)
		return
	}
	if !strings.Contains(u.Error(), why) {
		t.Errorf("%s: refused with %q, want a message with %q", name, u.Error(), why)
	}
}

func (g *goldenCase) run(fixed func(i int) bool) (map[string]tensor.Tensor, error) {
	graph, types, feeds, err := g.graph(fixed)
	if err != nil {
		return nil, err
	}
	p, err := Compile(graph, types, &Options{Threads: 2, Paranoid: true})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Run(context.Background(), feeds)
}

// tolerance is the largest accepted |got-want| / (1 + |want|), by the type of the result.
type tolerance map[tensor.DType]float64

// goldenTolerance: float32 sums of up to a few hundred products of unit size; half types are computed in float32 here and
// in their own precision by the oracle, so that a few units in the last place differ.
var goldenTolerance = tolerance{tensor.F32: 5e-6, tensor.F64: 1e-12, tensor.F16: 4e-3, tensor.BF16: 2e-2}

// looseOps are operators and cases that are compared less strictly, with the reason.
var looseOps = map[string]tolerance{
	// the oracle rounds scores and probabilities to the type of the inputs
	"Attention": {tensor.F32: 1e-5, tensor.F16: 1e-2, tensor.BF16: 4e-2},
	// test_averagepool_2d_ceil_last_window_starts_on_pad states its results with four digits
	"test_averagepool_2d_ceil_last_window_starts_on_pad": {tensor.F32: 1e-4},
}

func (g *goldenCase) tolerance() tolerance {
	for _, key := range []string{g.Op, g.Name} {
		if tol, ok := looseOps[key]; ok {
			return tol
		}
	}
	return goldenTolerance
}

// compare checks type, shape and every element; integers, bools and non-finite floats exactly.
func compare(t *testing.T, what string, got, want tensor.Tensor, tol tolerance) {
	t.Helper()
	if got.DType != want.DType || !equalShape(got.Shape, want.Shape) {
		t.Errorf("%s: got %v, want %v", what, got, want)
		return
	}
	if !want.DType.IsFloat() {
		if string(got.Data) != string(want.Data) {
			t.Errorf("%s: got %v, want %v", what, head(got), head(want))
		}
		return
	}
	limit, ok := tol[want.DType]
	if !ok {
		t.Fatalf("no tolerance for %v", want.DType)
	}
	worst, at := 0.0, 0
	x, y := float64s(got), float64s(want)
	for i := range y {
		if e := floatError(x[i], y[i]); !(e <= worst) {
			worst, at = e, i
		}
	}
	if !(worst <= limit) {
		t.Errorf("%s: element %d is %v, want %v (relative error %.3g, limit %.3g)", what, at, x[at], y[at], worst, limit)
	}
}

func floatError(x, y float64) float64 {
	switch {
	case math.IsNaN(x) && math.IsNaN(y) || x == y:
		return 0
	case math.IsNaN(x) || math.IsNaN(y) || math.IsInf(x, 0) || math.IsInf(y, 0):
		return math.Inf(1)
	}
	return math.Abs(x-y) / (1 + math.Abs(y))
}

func float64s(t tensor.Tensor) []float64 {
	if t.DType == tensor.F64 {
		return t.F64()
	}
	out := make([]float64, t.Elems())
	for i, v := range t.Float32s() {
		out[i] = float64(v)
	}
	return out
}

// head shows the first bytes of a tensor.
func head(t tensor.Tensor) string { return fmt.Sprintf("%v %v…", t, t.Data[:min(len(t.Data), 48)]) }
