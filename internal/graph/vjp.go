package graph

import (
	"fmt"
	"slices"

	"winnow/internal/tensor"
)

// Names of the reverse pass's border: a cotangent goes in for every output, a gradient comes out for every wanted input.
const (
	cotangentPrefix = "cotangent/"
	gradientPrefix  = "gradient/"
)

// differentiator adds the reverse pass to a specialised graph: it walks the nodes from last to first and lets every
// operator turn the cotangents of its outputs into those of its inputs. Only what the wanted inputs need is built.
type differentiator struct {
	*ir
	active []bool    // by forward value: depends on a wanted input
	cot    []ValueID // by forward value: its cotangent as far as it is known, None: zero
	fused  bool      // operators of Winnow's own domain may be used
}

// differentiate appends the reverse pass for the given outputs and wanted inputs. With fused set it may use operators of
// Winnow's domain, otherwise it consists of ordinary ONNX operators.
func (p *ir) differentiate(spec GradientSpec, fused bool) error {
	d := &differentiator{ir: p, active: make([]bool, len(p.vals)), cot: slices.Repeat([]ValueID{None}, len(p.vals)), fused: fused}
	wrt, err := d.wanted(spec.Wrt)
	if err != nil {
		return err
	}
	d.spread()
	if err := d.seed(spec.Outputs); err != nil {
		return err
	}
	forward := slices.IndexFunc(p.nodes, func(n *irNode) bool { return n.back })
	if forward < 0 {
		forward = len(p.nodes)
	}
	for i := forward - 1; i >= 0; i-- {
		if err := d.reverse(p.nodes[i]); err != nil {
			return err
		}
	}
	for i, port := range wrt {
		p.outputs = append(p.outputs, irPort{name: gradientPrefix + spec.Wrt[i], value: d.gradient(port), back: true})
	}
	p.sweep()
	return nil
}

// wanted looks the inputs up and marks them.
func (d *differentiator) wanted(names []string) ([]irPort, error) {
	if len(names) == 0 {
		return nil, d.portError("", "no input is named whose gradient is wanted")
	}
	var ports []irPort
	for _, name := range names {
		i := slices.IndexFunc(d.inputs, func(p irPort) bool { return p.name == name })
		if i < 0 {
			return nil, d.portError(name, "the gradient of an input that the graph does not have is wanted; it has %s", inputNames(d.src))
		}
		port := d.inputs[i]
		if t := d.val(port.value).typ; !t.DType.IsFloat() {
			return nil, d.portError(name, "is %v; only floating-point inputs have a gradient", t)
		}
		d.active[port.value] = true
		ports = append(ports, port)
	}
	return ports, nil
}

func (d *differentiator) portError(name, format string, args ...any) error {
	e := &ShapeError{Source: d.src.Source, Why: fmt.Sprintf(format, args...)}
	if name != "" {
		e.Input = fmt.Sprintf("%q", name)
	}
	return e
}

// spread marks every floating-point value that depends on a wanted input.
func (d *differentiator) spread() {
	for _, n := range d.nodes {
		if n.op.Flat || n.op.ShapeOnly || !slices.ContainsFunc(n.Inputs, d.isActive) {
			continue
		}
		for _, o := range n.Outputs {
			if o != None && d.val(o).typ.DType.IsFloat() {
				d.active[o] = true
			}
		}
	}
}

func (d *differentiator) isActive(id ValueID) bool { return id != None && d.active[id] }

// seed adds an input for the cotangent of every output asked for; none named means all of a floating-point type.
func (d *differentiator) seed(names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(d.outputs, func(p irPort) bool { return p.name == name }) {
			return d.portError("", "the graph has no output %q to differentiate", name)
		}
	}
	for _, port := range slices.Clone(d.outputs) {
		typ := d.val(port.value).typ
		named := slices.Contains(names, port.name)
		if named && !typ.DType.IsFloat() {
			return d.portError("", "output %q is %v; only floating-point outputs can be differentiated", port.name, typ)
		}
		if !named && (len(names) > 0 || !typ.DType.IsFloat()) {
			continue
		}
		name := cotangentPrefix + port.name
		id := d.addValue(irValue{name: name, typ: typ, input: len(d.inputs)})
		d.inputs = append(d.inputs, irPort{name: name, value: id, back: true})
		if d.active[port.value] {
			b := d.border(port)
			d.cot[port.value] = b.Sum(d.cot[port.value], id)
			if b.err != nil {
				return b.err
			}
		}
	}
	return nil
}

// reverse lets one node pass its cotangents on.
func (d *differentiator) reverse(n *irNode) error {
	live := false
	for _, o := range n.Outputs {
		live = live || o != None && d.active[o] && d.cot[o] != None
	}
	if !live || !slices.ContainsFunc(n.Inputs, d.isActive) {
		return nil
	}
	b := d.backward(n)
	if n.op.VJP == nil {
		return b.Refuse("", "the gradient of this operator is not implemented")
	}
	for i, o := range n.Outputs {
		if o != None && d.active[o] {
			b.cot[i] = d.cot[o]
		}
	}
	if err := d.apply(b); err != nil {
		return err
	}
	for i, gs := range b.grads { // added up at once, so that no contribution waits in memory for the others
		if b.Needs(i) {
			d.cot[n.Inputs[i]] = b.Sum(append(gs, d.cot[n.Inputs[i]])...)
		}
	}
	return b.err
}

// apply calls the operator's rule. A panic there is a defect of ours and becomes an error that names the node.
func (d *differentiator) apply(b *Backward) (err error) {
	defer d.recoverInto(b.n, &err)
	if err := b.n.op.VJP(b); err != nil {
		return err
	}
	return b.err
}

func (d *differentiator) backward(n *irNode) *Backward {
	b := &Backward{NodeCtx: d.context(n), Fused: d.fused, p: d.ir, n: n}
	for _, id := range n.Outputs {
		t := Type{}
		if id != None {
			t = d.val(id).typ
		}
		b.Out = append(b.Out, t)
		b.cot = append(b.cot, None)
	}
	b.grads = make([][]ValueID, len(n.Inputs))
	b.needs = make([]bool, len(n.Inputs))
	for i, id := range n.Inputs {
		b.needs[i] = d.isActive(id)
	}
	return b
}

// border is a builder for what belongs to an input or output rather than to a node.
func (d *differentiator) border(port irPort) *Backward {
	like := &irNode{Node: Node{Name: gradientPrefix + port.name, Index: -1, Opset: d.src.Opsets[""]}, back: true}
	return &Backward{NodeCtx: d.context(like), p: d.ir, n: like}
}

// gradient returns the cotangent of an input, zeros when nothing depends on it.
func (d *differentiator) gradient(port irPort) ValueID {
	if g := d.cot[port.value]; g != None {
		return g
	}
	return d.border(port).Zeros(d.val(port.value).typ)
}

// zeros is a constant of zeros; half types are held as float32.
func zeros(t Type) tensor.Tensor { return tensor.New(t.Storage(), t.Shape...) }
