package graph

import (
	"context"
	"strings"
	"testing"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

// tryLowered is tryNode for an operator that is expanded: the node is compiled as a graph and run if that is small.
func tryLowered(t *testing.T, g garbage, c *NodeCtx, pool *kernel.Pool, i int) (accepted, ran bool) {
	t.Helper()
	check := func(err error) {
		if err != nil && strings.Contains(err.Error(), "internal fault") {
			t.Errorf("%s.%s node %d: %v\ninputs %v\nattributes %v", c.Node.Domain, c.Node.Op, i, err, describe(c), c.Node.Attrs)
		}
	}
	graph, feeds, small := loweredGraph(g, c)
	p, err := Compile(graph, typesOf(feeds), &Options{Pool: pool, MaxArena: 1 << 24})
	check(err)
	if err != nil {
		return false, false
	}
	defer p.Close()
	if !small {
		return true, false
	}
	_, err = p.Run(context.Background(), feeds)
	check(err)
	return true, err == nil
}

// loweredGraph makes a graph of one node; small says that its inputs hold data.
func loweredGraph(g garbage, c *NodeCtx) (graph *Graph, feeds map[string]tensor.Tensor, small bool) {
	graph = &Graph{Name: "garbage", Opsets: map[string]int{"": DefaultOpset, c.Node.Domain: c.Node.Opset}}
	value := func(v Value) ValueID {
		v.Name = string(rune('a' + len(graph.Values)))
		graph.Values = append(graph.Values, v)
		return ValueID(len(graph.Values) - 1)
	}
	feeds, small = map[string]tensor.Tensor{}, true
	node := *c.Node
	node.Inputs, node.Outputs = nil, nil
	for _, in := range c.In {
		switch {
		case !in.Present:
			node.Inputs = append(node.Inputs, None)
		case in.Const != nil:
			node.Inputs = append(node.Inputs, value(Value{DType: in.DType, Const: in.Const}))
		default:
			id := value(Value{DType: in.DType})
			node.Inputs, graph.Inputs = append(node.Inputs, id), append(graph.Inputs, id)
			x := tensor.Tensor{DType: in.DType, Shape: in.Shape}
			if n, ok := elemCount(in.Shape); ok && n <= 4096 && in.DType.Size() > 0 {
				x = g.value(in.DType, in.Shape)
			} else {
				small = false
			}
			feeds[graph.Values[id].Name] = x
		}
	}
	for range c.Node.Outputs {
		id := value(Value{})
		node.Outputs, graph.Outputs = append(node.Outputs, id), append(graph.Outputs, id)
	}
	graph.Nodes = []Node{node}
	return graph, feeds, small
}

// TestLowering_FoldsAndMerges: an expansion over constants leaves nothing to run, and two equal nodes are expanded into the
// same values.
func TestLowering_FoldsAndMerges(t *testing.T) {
	attrs := map[string]Attr{"groups": IntAttr(2), "activation": IntAttr(1)}
	b := NewBuilder("merged").Opset(MicrosoftDomain, 1).Opset("", 21)
	x, gamma, beta := b.Input("x", tensor.F32, 1, 3, 3, 4), b.Const(randn(1, 4)), b.Const(randn(2, 4))
	twice := [2]ValueID{}
	for i := range twice {
		twice[i] = b.OpA("com.microsoft.GroupNorm", attrs, x, gamma, beta)
	}
	b.Output("sum", b.Op("Add", twice[0], twice[1]))
	b.Output("known", b.OpA("com.microsoft.GroupNorm", attrs, b.Const(randn(3, 1, 3, 3, 4)), gamma, beta))
	_, stats := runBoth(t, buildGraph(t, b), map[string]tensor.Tensor{"x": randn(4, 1, 3, 3, 4)}, 1e-6)
	// Transpose, GroupNormalization, Sigmoid, Mul, Transpose once, and the Add.
	if stats.FoldedNodes != 6 {
		t.Errorf("%d nodes are left after folding, want 6", stats.FoldedNodes)
	}
	wantFused(t, stats, "groupnorm", 1)
}

// TestLowering_PacksWeightsOnce: channels-last weights are packed from the file's bytes, which are then let go, and programs
// for other sizes share the packed form.
func TestLowering_PacksWeightsOnce(t *testing.T) {
	w := randn(1, 64, 3, 3, 32)
	half := tensor.New(tensor.F16, w.Shape...)
	tensor.NarrowInto(half, 0, w.F32())
	for _, weights := range []tensor.Tensor{w, half} {
		b := NewBuilder("conv").Opset(MicrosoftDomain, 1)
		x := b.InputDims("x", weights.DType, Dim{Size: -1}, Dim{Size: -1}, Dim{Size: -1}, Dim{Size: 32})
		attrs := map[string]Attr{"pads": IntsAttr(1, 1, 1, 1)}
		b.Output("y", b.OpA("com.microsoft.NhwcConv", attrs, x, b.Const(weights), b.Const(tensor.New(weights.DType, 64))))
		g := buildGraph(t, b)
		packs, released, sizes := &Packs{}, 0, [2]int{}
		for i := range sizes {
			in := map[string]tensor.Tensor{"x": randn(2, 1, 4+i, 5, 32)}
			_, stats := runWith(t, g, in, Options{Packs: packs, Release: func(data []byte) {
				if &data[0] == &weights.Data[0] {
					released++
				}
			}})
			wantFused(t, stats, "channels-last weights", 1)
			runBoth(t, g, in, 1e-5)
			sizes[i] = packs.Bytes()
		}
		if sizes[0] == 0 || sizes[0] != sizes[1] || released != 2 {
			t.Errorf("%v: packed %v bytes, released %d times", weights.DType, sizes, released)
		}
	}
}

// TestLowering_NamesTheNode: an expansion's faults lead to the node of the file.
func TestLowering_NamesTheNode(t *testing.T) {
	b := NewBuilder("bad").Opset(MicrosoftDomain, 1).Source("unet.onnx")
	x := b.Input("x", tensor.F32, 1, 3, 3, 4)
	attrs := map[string]Attr{"groups": IntAttr(3), "activation": IntAttr(0)}
	b.Output("y", b.OpA("com.microsoft.GroupNorm", attrs, x, b.Const(randn(1, 4)), b.Const(randn(2, 4))))
	_, err := Compile(buildGraph(t, b), map[string]Type{"x": {tensor.F32, []int{1, 3, 3, 4}}}, nil)
	want := `unet.onnx: node "GroupNorm_0" (com.microsoft.GroupNorm): attribute groups = 3 does not divide 4 channels`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestProcessorLayoutIsRefusedWithTheCure: ONNX Runtime's highest optimisation level writes files for one processor.
func TestProcessorLayoutIsRefusedWithTheCure(t *testing.T) {
	b := NewBuilder("nchwc").Opset("com.microsoft.nchwc", 1)
	b.Output("y", b.Op("com.microsoft.nchwc.ReorderInput", b.Input("x", tensor.F32, 1, 16, 4, 4)))
	_, err := Compile(buildGraph(t, b), map[string]Type{"x": {tensor.F32, []int{1, 16, 4, 4}}}, nil)
	checkRefusal(t, "nchwc", `level "extended"`, err)
}

// TestLowering_RefusesByAttribute: variants that are not expanded are refused with the attribute at fault.
func TestLowering_RefusesByAttribute(t *testing.T) {
	for _, attr := range []string{"do_rotary", "past_present_share_buffer"} {
		b := NewBuilder("refused").Opset(MicrosoftDomain, 1)
		x, w := b.Input("x", tensor.F32, 1, 3, 4), b.Const(randn(1, 4, 12))
		b.Output("y", b.OpA("com.microsoft.Attention", map[string]Attr{"num_heads": IntAttr(2), attr: IntAttr(1)}, x, w))
		_, err := Compile(buildGraph(t, b), map[string]Type{"x": {tensor.F32, []int{1, 3, 4}}}, nil)
		checkRefusal(t, attr, attr, err)
	}
}

// TestLowering_SharesMasks: the causal masks of two layers are one constant, so that masks built on them merge too.
func TestLowering_SharesMasks(t *testing.T) {
	b := NewBuilder("layers").Opset(MicrosoftDomain, 1)
	x, seen := b.Input("x", tensor.F32, 1, 40, 8), b.Input("seen", tensor.I32, 1, 40)
	attrs := map[string]Attr{"num_heads": IntAttr(2), "unidirectional": IntAttr(1)}
	y := x
	for range 3 {
		y = b.OpA("com.microsoft.MultiHeadAttention", attrs, y, y, y, None, seen)
	}
	b.Output("y", y)
	mask := tensor.New(tensor.I32, 1, 40)
	for i := range 30 {
		mask.I32()[i] = 1
	}
	in := map[string]tensor.Tensor{"x": randn(1, 1, 40, 8), "seen": mask}
	_, stats := runBoth(t, buildGraph(t, b), in, 1e-5)
	wantFused(t, stats, "attention", 3)
	if stats.Steps != 7 { // Cast, Greater, Where and Add of the mask; three attentions
		t.Errorf("%d steps, want 7", stats.Steps)
	}
}
