package graph

import "slices"

// recompute decides which values of the forward pass are kept for the reverse pass and lets it compute the others again.
// Elementwise values and normalisations are never kept when what they come from is: reading memory twice costs less than
// holding it. With checkpoint set only the values at the borders of blocks are kept (Chen et al. 2016, Training deep nets
// with sublinear memory cost); the blocks are chosen by size.
func (p *ir) recompute(checkpoint bool) {
	r := newRecomputation(p)
	if len(r.forward) == len(p.nodes) {
		return
	}
	if checkpoint {
		r.keepBorders()
	} else {
		r.keepAll()
	}
	r.dropCheap()
	r.rewrite()
	p.sweep()
}

// recomputation works over a graph that consists of a forward and a reverse pass.
type recomputation struct {
	*ir
	forward []*irNode
	born    []int  // by value: position of the producer in forward, -1: input, constant or reverse pass
	dies    []int  // by value: position of the last reader in forward; len(forward) for outputs
	read    []bool // by value: the reverse pass reads it
	keep    []bool // by value: kept for the reverse pass
	clones  map[ValueID]ValueID
	out     []*irNode // reverse pass being rewritten
}

func newRecomputation(p *ir) *recomputation {
	n := len(p.vals)
	r := &recomputation{
		ir: p, born: slices.Repeat([]int{-1}, n), dies: slices.Repeat([]int{-1}, n),
		read: make([]bool, n), keep: make([]bool, n), clones: map[ValueID]ValueID{},
	}
	for _, node := range p.nodes {
		if node.back {
			r.markRead(node)
			continue
		}
		for _, id := range node.Inputs {
			if id != None {
				r.dies[id] = len(r.forward)
			}
		}
		for _, id := range node.Outputs {
			r.born[id] = len(r.forward)
		}
		r.forward = append(r.forward, node)
	}
	for _, o := range p.outputs {
		if !o.back {
			r.dies[o.value] = len(r.forward)
		}
	}
	return r
}

func (r *recomputation) markRead(n *irNode) {
	for _, id := range n.Inputs {
		if id != None && r.born[id] >= 0 {
			r.read[id] = true
		}
	}
}

// free reports whether a value costs nothing to keep: inputs and constants stay anyway.
func (r *recomputation) free(id ValueID) bool { return id == None || r.born[id] < 0 }

func (r *recomputation) bytes(id ValueID) int { return r.val(id).typ.Bytes() }

// keepAll keeps everything that the reverse pass reads.
func (r *recomputation) keepAll() { copy(r.keep, r.read) }

// cheap are the operators whose results are computed again rather than kept. Views are among them: as memory they are
// their operand.
var cheap = map[string]bool{
	"Add": true, "Sub": true, "Mul": true, "Div": true, "Neg": true, "Sqrt": true, "Exp": true, "Sigmoid": true, "Tanh": true,
	"Relu": true, "Erf": true, "Pow": true, "Clip": true, "Where": true, "Cast": true, "Gelu": true, "Reciprocal": true,
	"LeakyRelu": true, "Elu": true, "HardSigmoid": true, "Swish": true, "Max": true, "Min": true, "Sin": true, "Cos": true,
	"Reshape": true, "Flatten": true, "Squeeze": true, "Unsqueeze": true, "Transpose": true, "Slice": true, "Concat": true,
	"Expand": true, "Split": true, "Resize": true, "LayerNormalization": true, "RMSNormalization": true,
	"winnow.Silu": true, "winnow.Gelu": true, "winnow.QuickGelu": true, "winnow.GEGLU": true, "winnow.GroupNorm": true,
}

func (n *irNode) isCheap() bool {
	name := n.Op
	if d := canonicalDomain(n.Domain); d != "" {
		name = d + "." + name
	}
	return cheap[name] && !n.op.Random
}

// dropCheap lets go of the kept values that are cheap to compute from others, unless that would keep more memory. It goes
// from last to first, so that what a later value comes from is looked at after it.
func (r *recomputation) dropCheap() {
	for i := len(r.forward) - 1; i >= 0; i-- {
		n := r.forward[i]
		if !n.isCheap() || len(n.Outputs) != 1 || !r.keep[n.Outputs[0]] {
			continue
		}
		more := 0
		for _, id := range n.Inputs {
			if !r.free(id) && !r.keep[id] {
				more += r.bytes(id)
			}
		}
		if more >= r.bytes(n.Outputs[0]) && more > 0 {
			continue
		}
		r.keep[n.Outputs[0]] = false
		for _, id := range n.Inputs {
			if !r.free(id) {
				r.keep[id] = true
			}
		}
	}
}

// rewrite makes the reverse pass read clones of what is not kept. A clone stands right before its first reader.
func (r *recomputation) rewrite() {
	for _, n := range r.nodes {
		if !n.back {
			continue
		}
		inputs := slices.Clone(n.Inputs)
		for i, id := range inputs {
			inputs[i] = r.available(id)
		}
		n.Inputs = inputs
		r.out = append(r.out, n)
	}
	r.nodes = append(slices.Clone(r.forward), r.out...)
}

// available returns the value itself when it is kept, otherwise its clone, made from what is available.
func (r *recomputation) available(id ValueID) ValueID {
	if r.free(id) || r.keep[id] {
		return id
	}
	if c, ok := r.clones[id]; ok {
		return c
	}
	from := r.val(id).def
	if from.op.Random { // its result cannot be had twice
		r.keep[id] = true
		return id
	}
	n := *from
	n.back, n.Inputs, n.Outputs = true, slices.Clone(from.Inputs), make([]ValueID, len(from.Outputs))
	for i, in := range n.Inputs {
		n.Inputs[i] = r.available(in)
	}
	for i, o := range from.Outputs {
		v := *r.val(o)
		v.def, v.uses = &n, 0
		n.Outputs[i] = r.addValue(v)
		r.born, r.keep = append(r.born, -1), append(r.keep, false)
		r.clones[o] = n.Outputs[i]
	}
	r.out = append(r.out, &n)
	return r.clones[id]
}
