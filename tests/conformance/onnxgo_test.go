package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/owulveryck/onnx-go/backend/testbackend"
	_ "github.com/owulveryck/onnx-go/backend/testbackend/onnx" // registers the cases
	gorgonia "gorgonia.org/tensor"

	"winnow/internal/graph"
	"winnow/internal/onnx"
	"winnow/internal/tensor"
)

// onnxGoCases returns the cases of onnx-go's backend suite, which were made from the ONNX 1.5 node tests.
func onnxGoCases() ([]testCase, error) {
	var cases []testCase
	for _, build := range testbackend.GetAllRegisteredTests() {
		c, err := onnxGoCase(build())
		if err != nil {
			return nil, fmt.Errorf("onnx-go's %s: %w", c.Name, err)
		}
		cases = append(cases, c)
	}
	slices.SortFunc(cases, func(a, b testCase) int { return strings.Compare(a.Name, b.Name) })
	return cases, nil
}

func onnxGoCase(tc *testbackend.TestCase) (testCase, error) {
	c := testCase{Name: tc.Title, Suite: suiteOnnxGo, Op: tc.OpType, RTol: 1e-3, ATol: 1e-7, model: tc.ModelB}
	m, err := onnx.Parse(tc.Title, tc.ModelB, nil)
	if err != nil {
		return c, err
	}
	c.Opset = m.Opsets[""]
	set := dataSet{make([]datum, len(tc.Input)), make([]datum, len(tc.ExpectedOutput))}
	for i, v := range tc.Input {
		c.Inputs = append(c.Inputs, m.Graph.Value(m.Graph.Inputs[i]).Name)
		if set.in[i], err = fromGorgonia(v, m.Graph.Value(m.Graph.Inputs[i])); err != nil {
			return c, err
		}
	}
	for i, v := range tc.ExpectedOutput {
		if set.out[i], err = fromGorgonia(v, m.Graph.Value(m.Graph.Outputs[i])); err != nil {
			return c, err
		}
	}
	c.sets = []dataSet{set}
	return c, nil
}

// fromGorgonia converts a dense tensor. The suite writes every tensor with one element as a float32 of shape [1]: it
// gets the declared type and shape back.
func fromGorgonia(t gorgonia.Tensor, declared *graph.Value) (datum, error) {
	shape := []int(t.Shape())
	var out tensor.Tensor
	switch v := t.Data().(type) {
	case float32:
		out = single(v, declared)
	case []float32:
		out = tensor.FromF32(v, shape...)
	case []float64:
		out = tensor.FromF64(v, shape...)
	case []int32:
		out = tensor.FromI32(v, shape...)
	case []int64:
		out = tensor.FromI64(v, shape...)
	case []bool:
		out = tensor.FromBool(v, shape...)
	case []uint8:
		out = tensor.FromU8(v, shape...)
	default:
		return datum{}, fmt.Errorf("a tensor of %T", t.Data())
	}
	return datum{present: true, typ: out.DType.String(), tensor: out}, nil
}

func single(v float32, declared *graph.Value) tensor.Tensor {
	shape := make([]int, len(declared.Dims))
	for i := range shape {
		shape[i] = 1
	}
	switch declared.DType {
	case tensor.I64:
		return tensor.FromI64([]int64{int64(v)}, shape...)
	case tensor.I32:
		return tensor.FromI32([]int32{int32(v)}, shape...)
	case tensor.Bool:
		return tensor.FromBool([]bool{v != 0}, shape...)
	}
	return tensor.FromF32([]float32{v}, shape...)
}
