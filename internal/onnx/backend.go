package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	onnxgo "github.com/owulveryck/onnx-go"
	gonum "gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/simple"
)

// backend receives a graph from onnx-go. The embedded gonum graph holds the topology (edges point from a node's output to
// its inputs, as onnx-go draws them); what a gonum graph cannot say, the order and repetition of inputs, goes to edges.
type backend struct {
	*simple.WeightedDirectedGraph
	last    int64
	pending []gonum.WeightedEdge // since the last operation
	ops     []operation
}

// operation is one node as onnx-go reports it.
type operation struct {
	op      string
	attrs   map[string]any
	inputs  []string
	outputs []string
}

// value is a node of the gonum graph: a value of the ONNX graph. It carries no data on purpose (it is no
// onnxgo.DataCarrier), so that onnx-go leaves tensors alone.
type value struct {
	id   int64
	name string
}

func (v *value) ID() int64           { return v.id }
func (v *value) SetName(name string) { v.name = name }
func (v *value) GetName() string     { return v.name }

func newBackend() *backend {
	return &backend{WeightedDirectedGraph: simple.NewWeightedDirectedGraph(0, math.Inf(1)), last: -1}
}

// NewNode implements graph.NodeAdder with identifiers in order.
func (b *backend) NewNode() gonum.Node {
	b.last++
	return &value{id: b.last}
}

// SetWeightedEdge implements graph.WeightedEdgeAdder. The weight is the position of the input.
func (b *backend) SetWeightedEdge(e gonum.WeightedEdge) {
	b.pending = append(b.pending, e)
	if e.From().ID() != e.To().ID() { // gonum's graph refuses loops; the file check reports them
		b.WeightedDirectedGraph.SetWeightedEdge(e)
	}
}

// ApplyOperation implements onnxgo.OperationCarrier. onnx-go drew the edges of each output just before the call.
func (b *backend) ApplyOperation(op onnxgo.Operation, outs ...gonum.Node) error {
	if len(outs) == 0 || len(b.pending)%len(outs) != 0 {
		return fmt.Errorf("operation %s has %d outputs and %d edges", op.Name, len(outs), len(b.pending))
	}
	o := operation{op: op.Name, attrs: op.Attributes}
	inputs := len(b.pending) / len(outs)
	for i, out := range outs {
		edges := b.pending[i*inputs : (i+1)*inputs]
		names := make([]string, inputs)
		for k, e := range edges {
			if e.From() != out || e.Weight() != float64(k) {
				return fmt.Errorf("operation %s: edge %d of output %d is out of place", op.Name, k, i)
			}
			names[k] = e.To().(*value).name
		}
		if i == 0 {
			o.inputs = names
		} else if !slices.Equal(o.inputs, names) {
			return fmt.Errorf("operation %s: outputs differ in their inputs", op.Name)
		}
		o.outputs = append(o.outputs, out.(*value).name)
	}
	b.pending = b.pending[:0]
	b.ops = append(b.ops, o)
	return nil
}

// decode lets onnx-go read a hollow model. onnx-go may panic on what it does not expect; that becomes an error.
func (h *hollow) decode() (ops []operation, err error) {
	if len(h.nodes) == 0 { // a branch of If may consist of constants; onnx-go calls that an empty graph
		return nil, nil
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("onnx-go: %v", r)
		}
	}()
	b := newBackend()
	if err := unmarshal(b, h.bytes); err != nil {
		return nil, fmt.Errorf("onnx-go: %w", err)
	}
	if len(b.ops) != len(h.nodes) {
		return nil, fmt.Errorf("onnx-go reports %d of %d nodes", len(b.ops), len(h.nodes))
	}
	for i := range b.ops {
		if err := h.agree(i, &b.ops[i]); err != nil {
			return nil, err
		}
	}
	return b.ops, nil
}

func unmarshal(b onnxgo.Backend, data []byte) error { return onnxgo.NewModel(b).UnmarshalBinary(data) }

// agree checks onnx-go's view of node i against the scan, and takes out the input that onnx-go invents for a node without.
func (h *hollow) agree(i int, o *operation) error {
	n := h.nodes[i]
	if len(n.inputs) == 0 && slices.Equal(o.inputs, []string{hollowName(i) + "/input"}) {
		o.inputs = nil
	}
	if o.op != n.op || !slices.Equal(o.inputs, n.inputs) || !slices.Equal(o.outputs, n.outputs) || len(o.attrs) != len(n.attrs) {
		return errors.New("onnx-go and the file scan disagree about " + n.label())
	}
	return nil
}
