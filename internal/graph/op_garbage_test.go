package graph

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

// garbage draws nodes that no exporter would write.
type garbage struct{ *rand.Rand }

var garbageTypes = []tensor.DType{
	tensor.F32, tensor.F32, tensor.F32, tensor.F32, tensor.I64, tensor.I64, tensor.I64, tensor.Bool, tensor.F16, tensor.F64,
	tensor.I32, tensor.U8, tensor.I8, tensor.U64, tensor.BF16, tensor.I16, tensor.String, tensor.Invalid,
	tensor.F8E4M3FN, tensor.U4,
}

func (g garbage) pick(n ...int) int { return n[g.IntN(len(n))] }

func (g garbage) shape() []int {
	shape := make([]int, g.pick(0, 1, 1, 1, 2, 2, 3, 4, 4, 5))
	for i := range shape {
		shape[i] = g.pick(0, 1, 1, 2, 2, 3, 4, 4, 6)
		if g.IntN(200) == 0 {
			shape[i] = g.pick(1<<20, 1<<33, 1<<40)
		}
	}
	return shape
}

func (g garbage) integer() int64 {
	if g.IntN(20) == 0 {
		return []int64{math.MaxInt64, math.MinInt64, 1 << 40, -1 << 40, 1 << 31}[g.IntN(5)]
	}
	return int64(g.pick(-2, -1, -1, 0, 0, 1, 1, 1, 2, 2, 3, 4, 7))
}

func (g garbage) ints() []int64 {
	v := make([]int64, g.pick(0, 1, 1, 2, 2, 3, 4, 5, 8))
	for i := range v {
		v[i] = g.integer()
	}
	return v
}

func (g garbage) float() float32 {
	return []float32{0, 1, -1, 0.5, 2, 1e-5, 1e30, float32(math.NaN()), float32(math.Inf(1))}[g.IntN(9)]
}

// value returns a small tensor of the type with unruly contents.
func (g garbage) value(dt tensor.DType, shape []int) tensor.Tensor {
	if dt == tensor.String {
		return g.strings(shape)
	}
	if dt.Size() == 0 { // an input that the operator ignores may have any type
		return tensor.Tensor{}
	}
	t := tensor.New(dt, shape...)
	for i := range t.Elems() {
		switch dt {
		case tensor.Bool:
			t.Bools()[i] = g.IntN(2) == 0
		case tensor.I64:
			t.I64()[i] = g.integer()
		case tensor.F32:
			t.F32()[i] = g.float()
		case tensor.I32:
			t.I32()[i] = int32(g.integer())
		default:
			t.Data[i*dt.Size()] = byte(g.IntN(256))
		}
	}
	return t
}

func (g garbage) strings(shape []int) tensor.Tensor {
	texts := make([]string, numElems(shape))
	for i := range texts {
		texts[i] = []string{"", "1", "-2.5", "inf", "no number", "1e400"}[g.IntN(6)]
	}
	return tensor.FromStrings(texts, shape...)
}

func (g garbage) operand(like *Operand) Operand {
	if g.IntN(12) == 0 {
		return Operand{}
	}
	o := Operand{Type: Type{garbageTypes[g.IntN(len(garbageTypes))], g.shape()}, Present: true}
	if like != nil && g.IntN(2) == 0 { // plausible enough to come past the first checks
		o.DType = like.DType
	}
	if like != nil && g.IntN(3) == 0 {
		o.Shape = slices.Clone(like.Shape)
	}
	n, ok := elemCount(o.Shape)
	if ok && n <= 512 && o.DType.Size() > 0 && g.IntN(2) == 0 {
		t := g.value(o.DType, o.Shape)
		o.Const = &t
	}
	return o
}

var garbageNames = []string{
	"axis", "axes", "keepdims", "perm", "to", "kernel_shape", "strides", "pads", "dilations", "group", "auto_pad", "mode",
	"alpha", "beta", "epsilon", "num_groups", "transA", "transB", "trans_a", "trans_b", "act", "num_heads", "q_num_heads",
	"kv_num_heads", "q_layout", "k_layout", "v_layout", "o_layout", "value", "value_ints", "start", "end", "split",
	"num_outputs", "equation", "batch_dims", "reduction", "blocksize", "block_size", "k", "largest", "direction", "fmod",
	"starts", "ends", "steps", "scales", "coordinate_transformation_mode", "nearest_mode", "antialias", "upper", "p",
	"dtype", "shape", "allowzero", "output_shape", "output_padding", "ceil_mode", "stash_type", "rotary_embedding_dim",
	"groups", "activation", "unidirectional", "channels_last", "qkv_hidden_sizes",
	"keep_aspect_ratio_policy", "cubic_coeff_a", "exclude_outside", "batch_axis", "time_axis", "noop_with_empty_axes",
}

var garbageStrings = []string{
	"", "x", "SAME_UPPER", "VALID", "linear", "cubic", "nearest", "reflect", "edge", "wrap", "bhsd", "bshd", "add", "max",
	"LEFT", "tanh", "silu", "ij,jk->ik", "ii->i", "...ij->...", "tf_crop_and_resize", "align_corners", "floor", "not_larger",
}

func (g garbage) attr() Attr {
	switch g.IntN(6) {
	case 0, 1:
		return Attr{Kind: AttrInt, I: g.integer()}
	case 2:
		return Attr{Kind: AttrInts, Ints: g.ints()}
	case 3:
		return FloatAttr(g.float())
	case 4:
		return StringAttr(garbageStrings[g.IntN(len(garbageStrings))])
	}
	return TensorAttr(g.value(tensor.F32, []int{g.IntN(3)}))
}

func (g garbage) node(op Operator) *NodeCtx {
	n := &Node{Op: op.Name, Domain: op.Domain, Opset: op.Since, Attrs: map[string]Attr{}, Name: "garbage"}
	if op.Domain == "" {
		n.Opset = g.pick(op.Since, max(op.Since, 9), max(op.Since, 11), max(op.Since, 13), max(op.Since, 18), 23)
		n.Opset = max(n.Opset, op.Since)
	}
	for range g.IntN(6) {
		n.Attrs[garbageNames[g.IntN(len(garbageNames))]] = g.attr()
	}
	c := &NodeCtx{Node: n, Threads: 2}
	for range g.pick(0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5, 6) {
		var like *Operand
		if len(c.In) > 0 {
			like = &c.In[0]
		}
		c.In = append(c.In, g.operand(like))
		n.Inputs = append(n.Inputs, ValueID(len(n.Inputs)))
	}
	for range g.pick(1, 1, 1, 1, 2, 3) {
		n.Outputs = append(n.Outputs, ValueID(100+len(n.Outputs)))
	}
	return c
}

// garbageNodes is the number of nodes drawn for each operator; 40,000 were run once without a panic.
const garbageNodes = 600

// TestOperatorsSurviveGarbage feeds every operator nodes of wrong arity, rank, type and attributes. They must be refused
// with an error; those that pass must compile and run on whatever data without a panic.
func TestOperatorsSurviveGarbage(t *testing.T) {
	pool := kernel.NewPool(2)
	defer pool.Close()
	for key, entries := range registry {
		for _, op := range entries {
			g := garbage{rand.New(rand.NewPCG(uint64(len(key.name)), 20260801))}
			passed, ran := 0, 0
			for i := range garbageNodes {
				ok, done := tryGarbage(t, op, g, pool, i)
				if ok {
					passed++
				}
				if done {
					ran++
				}
			}
			if passed == garbageNodes {
				t.Errorf("%s.%s accepted every node", key.domain, key.name)
			}
			if testing.Verbose() {
				t.Logf("%s.%s/%d: %d accepted, %d run", key.domain, key.name, op.Since, passed, ran)
			}
		}
	}
}

func tryGarbage(t *testing.T, op Operator, g garbage, pool *kernel.Pool, i int) (accepted, ran bool) {
	t.Helper()
	return tryNode(t, op, g, g.node(op), pool, i)
}

func tryNode(t *testing.T, op Operator, g garbage, c *NodeCtx, pool *kernel.Pool, i int) (accepted, ran bool) {
	t.Helper()
	if op.Lower != nil {
		return tryLowered(t, g, c, pool, i)
	}
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("%s.%s node %d: panic: %v\ninputs %v\nattributes %v, opset %d, out %v", op.Domain, op.Name, i, r, describe(c),
				c.Node.Attrs, c.Node.Opset, c.Out)
		}
	}()
	if err := op.Infer(c); err != nil {
		return false, false
	}
	if len(c.Out) < len(c.Node.Outputs) {
		t.Fatalf("%s: %d types for %d outputs", op.Name, len(c.Out), len(c.Node.Outputs))
	}
	f := &Frame{Pool: pool}
	total := 0
	for _, o := range c.Out {
		n, ok := elemCount(o.Shape)
		if !ok || classOf(o.DType)&classStored == 0 {
			t.Fatalf("%s: Infer accepted a result %v", op.Name, o)
		}
		total += n
	}
	for _, in := range c.In {
		n, ok := elemCount(in.Shape)
		if !ok {
			return true, false
		}
		total += n
	}
	if total > 4096 {
		return true, false
	}
	return true, runGarbage(op, g, c, f)
}

func runGarbage(op Operator, g garbage, c *NodeCtx, f *Frame) bool {
	k, err := op.Compile(c)
	if err != nil {
		return false
	}
	for i, in := range c.In {
		switch {
		case !in.Present || slices.Contains(k.Absorbed, i):
			f.In = append(f.In, tensor.Tensor{})
		case in.Const != nil:
			f.In = append(f.In, stored(*in.Const, in.Type))
		default:
			f.In = append(f.In, g.value(in.Storage(), in.Shape))
		}
	}
	for _, o := range c.Out {
		f.Out = append(f.Out, tensor.New(o.Storage(), o.Shape...))
	}
	f.Scratch = make([]float32, k.Scratch)
	return k.Run(f) == nil
}

func describe(c *NodeCtx) string {
	s := ""
	for _, in := range c.In {
		if in.Const != nil && in.Const.DType == tensor.I64 {
			s += fmt.Sprintf("%v=%v ", in.Type, in.Const.I64())
			continue
		}
		s += fmt.Sprintf("%v(const %v) ", in.Type, in.Const != nil)
	}
	return s
}

// TestOperatorsSurviveMutations breaks golden nodes in one or two places each: unlike pure garbage these come past the
// first checks.
func TestOperatorsSurviveMutations(t *testing.T) {
	pool := kernel.NewPool(2)
	defer pool.Close()
	g := garbage{rand.New(rand.NewPCG(1, 20260801))}
	accepted, ran, total := 0, 0, 0
	for _, gold := range goldenCases(t) {
		node := Node{Op: gold.Op, Domain: gold.Domain, Opset: gold.Opset, Name: gold.Name}
		op, err := lookup(&Graph{}, &node)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 8 {
			c := g.mutated(&gold)
			ok, done := tryNode(t, *op, g, c, pool, i)
			total++
			if ok {
				accepted++
			}
			if done {
				ran++
			}
		}
	}
	t.Logf("%d nodes, %d accepted, %d run", total, accepted, ran)
	if accepted == total || ran < total/10 {
		t.Errorf("of %d mutated nodes %d were accepted and %d ran", total, accepted, ran)
	}
}

// mutated returns a golden node with one to three faults.
func (g garbage) mutated(gold *goldenCase) *NodeCtx {
	n := &Node{Op: gold.Op, Domain: gold.Domain, Opset: gold.Opset, Attrs: gold.attrs(), Name: gold.Name}
	c := &NodeCtx{Node: n, Threads: 2}
	for i, ref := range gold.In {
		n.Inputs = append(n.Inputs, ValueID(i))
		if ref < 0 {
			c.In = append(c.In, Operand{})
			continue
		}
		v := gold.tensors[ref]
		o := Operand{Type: Type{v.DType, slices.Clone(v.Shape)}, Present: true}
		if isShapeInput(gold.Op, i) || g.IntN(3) == 0 {
			o.Const = &v
		}
		c.In = append(c.In, o)
	}
	for i := range gold.Out {
		n.Outputs = append(n.Outputs, ValueID(100+i))
	}
	for range g.pick(1, 1, 2, 3) {
		g.mutate(c)
	}
	return c
}

func (g garbage) mutate(c *NodeCtx) {
	names := []string{}
	for name := range c.Node.Attrs {
		names = append(names, name)
	}
	slices.Sort(names)
	switch what := g.IntN(8); {
	case what == 0 && len(names) > 0:
		delete(c.Node.Attrs, names[g.IntN(len(names))])
	case what <= 2 && len(names) > 0:
		g.mutateAttr(c, names[g.IntN(len(names))])
	case what == 3:
		c.Node.Opset = g.pick(7, 10, 11, 13, 17, 18, 21, 23)
	case what == 4:
		c.Node.Outputs = append(c.Node.Outputs, 200)
	case len(c.In) > 0:
		g.mutateInput(&c.In[g.IntN(len(c.In))])
	}
}

// mutateAttr changes one entry of a list, or the whole value.
func (g garbage) mutateAttr(c *NodeCtx, name string) {
	a := c.Node.Attrs[name]
	switch {
	case a.Kind == AttrInts && len(a.Ints) > 0 && g.IntN(4) > 0:
		a.Ints = slices.Clone(a.Ints)
		a.Ints[g.IntN(len(a.Ints))] = g.integer()
	case a.Kind == AttrInt && g.IntN(4) > 0:
		a.I = g.integer()
	case a.Kind == AttrString && g.IntN(4) > 0:
		a.S = garbageStrings[g.IntN(len(garbageStrings))]
	default:
		a = g.attr()
	}
	c.Node.Attrs[name] = a
}

func (g garbage) mutateInput(o *Operand) {
	switch g.IntN(6) {
	case 0:
		*o = Operand{}
		return
	case 1:
		o.Const = nil
		o.DType = garbageTypes[g.IntN(len(garbageTypes))]
		return
	case 2:
		if o.Const != nil && o.DType == tensor.I64 && o.Const.Elems() > 0 {
			t := o.Const.Clone()
			t.I64()[g.IntN(t.Elems())] = g.integer()
			o.Const = &t
			return
		}
	case 3:
		o.Shape = append([]int{g.pick(1, 2)}, o.Shape...)
	case 4:
		o.Shape = o.Shape[min(1, len(o.Shape)):]
	}
	if len(o.Shape) > 0 {
		o.Shape[g.IntN(len(o.Shape))] = g.pick(0, 1, 2, 3, 5)
	}
	if o.Const != nil {
		t := g.value(o.DType, o.Shape)
		o.Const = &t
	}
}
