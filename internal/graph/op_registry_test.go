package graph

import (
	"archive/zip"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// exportedOps is the vocabulary of diffusion and reward networks as the TorchScript and dynamo exporters write them
// (opsets 14 to 24), and of common exports of other people. Constant, Identity and If are handled by the compiler too.
const exportedOps = `Abs Add And ArgMax Attention Cast Concat Constant ConstantOfShape Conv Cos Div Einsum Equal Erf Expand
Flatten Gather GatherND Gelu Gemm Greater GreaterOrEqual GroupNormalization Identity InstanceNormalization IsNaN
LayerNormalization Less LessOrEqual Log MatMul Max Min Mul Neg Pad Pow RMSNormalization Range Reciprocal ReduceMean Reshape
Resize Shape Sigmoid Sin Slice Softmax Split Sqrt Squeeze Sub Tanh Tile Transpose Trilu Unsqueeze Where
Clip CumSum Dropout Exp Floor GatherElements Not Or RandomNormalLike ReduceMax ReduceSum ReduceL2 Relu ScatterND TopK
DequantizeLinear QuantizeLinear DynamicQuantizeLinear MatMulInteger`

func TestRegistry_HoldsWhatExportsNeed(t *testing.T) {
	for _, name := range strings.Fields(exportedOps) {
		if len(registry[opKey{"", name}]) == 0 {
			t.Errorf("operator %s is not registered", name)
		}
	}
}

// inModels lists operators that only move values and that the ONNX project tests within models and in node tests of others:
// test_sequence_model1 to 8, test_loop13_seq, test_if_opt and the expanded forms of SequenceMap.
var inModels = []string{
	"SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceAt", "SequenceLength", "ConcatFromSequence", "Optional",
}

// TestRegistry_EveryOperatorHasGoldenCases keeps operators from being added without an independent oracle. Fused
// operators are held against their decompositions instead, random ones are refused.
func TestRegistry_EveryOperatorHasGoldenCases(t *testing.T) {
	covered := map[opKey]bool{}
	for _, g := range goldenCases(t) {
		covered[opKey{g.Domain, g.Op}] = true
	}
	for _, op := range slices.Concat(nodeTested(t), inModels) {
		covered[opKey{"", op}] = true
	}
	for key, entries := range registry {
		random := slices.ContainsFunc(entries, func(o Operator) bool { return o.Random })
		if key.domain != Domain && !random && !covered[key] {
			t.Errorf("operator %s.%s has no golden case", key.domain, key.name)
		}
	}
}

// nodeTested lists the standard operators that tests/conformance holds node tests of.
func nodeTested(t *testing.T) (ops []string) {
	t.Helper()
	z, err := zip.OpenReader("../../tests/conformance/testdata/node.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }() // read only
	f, err := z.Open("index.json")
	if err != nil {
		t.Fatal(err)
	}
	var index struct {
		Cases []struct{ Suite, Op, Domain string }
	}
	if err := json.NewDecoder(f).Decode(&index); err != nil {
		t.Fatal(err)
	}
	for _, c := range index.Cases {
		if c.Suite == "node" && c.Domain == "" {
			ops = append(ops, c.Op)
		}
	}
	return ops
}

// TestRandomOperatorsAreRefused: a network that draws its own noise cannot be repeated from a seed.
func TestRandomOperatorsAreRefused(t *testing.T) {
	for key, entries := range registry {
		for _, op := range entries {
			if !op.Random {
				continue
			}
			c := &NodeCtx{Node: &Node{Op: op.Name, Opset: op.Since, Outputs: []ValueID{0}}}
			checkRefusal(t, key.name, "random numbers", op.Infer(c))
		}
	}
}
