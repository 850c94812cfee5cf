package graph

import (
	"fmt"
	"math"
	"slices"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

// Domain is the operator domain of Winnow's own fused operators; fused.go lists their contracts.
const Domain = "winnow"

// Type is the static type of a value after specialisation: every dimension is known.
//
// Float16 and bfloat16 are nominal: such a value is stored as float32 while a program runs.
type Type struct {
	DType tensor.DType
	Shape []int
}

// Elems is the number of elements.
func (t Type) Elems() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Equal reports whether type and shape agree.
func (t Type) Equal(u Type) bool { return t.DType == u.DType && slices.Equal(t.Shape, u.Shape) }

// String prints for example "float32[2,4,64,64]".
func (t Type) String() string { return fmt.Sprintf("%v%v", t.DType, shapeString(t.Shape)) }

// Storage is the type in which a value lies in memory while a program runs: float32 for the two half types.
func (t Type) Storage() tensor.DType { return storage(t.DType) }

// Bytes is the size of the stored value.
func (t Type) Bytes() int { return t.Elems() * t.Storage().Size() }

func storage(d tensor.DType) tensor.DType {
	if d == tensor.F16 || d == tensor.BF16 {
		return tensor.F32
	}
	return d
}

// Operand is one input of a node as the compiler knows it.
type Operand struct {
	Type
	// Const is the value if it is known at compile time. Its DType may be narrower than Type.DType: float16 and
	// bfloat16 weights stay in the file's format and are widened when packed (NodeCtx.ConstF32 widens too).
	Const   *tensor.Tensor
	Present bool // false: optional input left out
}

// NodeCtx is what an operator sees at inference and compile time.
type NodeCtx struct {
	Node    *Node
	In      []Operand // one per node input; trailing inputs may be missing altogether, see Has
	Out     []Type    // set by Infer, one per node output; filled in when Compile is called
	Threads int       // workers that the kernel may count on, at least 1
	graph   *Graph
	packs   *Packs
	own     []bool // by input: a constant that this program computed
	lean    bool   // see Repack
	release func(data []byte)
	packed  map[any]int // bytes of every packed form that this program uses
}

// Kernel is the compiled form of a node.
type Kernel struct {
	// Scratch is the number of float32 elements that Run needs in Frame.Scratch; contents are undefined at entry.
	Scratch int
	// Run computes the outputs. It returns errors only for faults that depend on data (an index out of range).
	Run func(f *Frame) error
	// Absorbed lists constant inputs that the kernel holds in its own (packed) form: Run finds a zero Tensor there,
	// and the original may be dropped from memory.
	Absorbed []int
	// Flops is the arithmetic of one call, for Stats; 0: not estimated.
	Flops float64
}

// Frame carries the arguments of one kernel call. Absent optional inputs, and constant inputs that the kernel absorbed,
// are zero Tensors. Outputs that nobody reads still have storage.
type Frame struct {
	In, Out []tensor.Tensor
	Scratch []float32
	Pool    *kernel.Pool
}

// Operator is one entry of the operator table.
type Operator struct {
	Name, Domain string
	// Since is the lowest opset whose semantics Infer and Compile implement. Of several entries with one name the one
	// with the highest Since not above the node's opset is taken. Smaller differences are read from Node.Opset.
	Since int
	// Infer checks arity, attributes, types and shapes and sets c.Out. It never panics on a bad model.
	Infer func(c *NodeCtx) error
	// Compile chooses a kernel and may pack constants. Unsupported variants return c.Refuse.
	Compile func(c *NodeCtx) (Kernel, error)
	// Lower, when set, expands the node into operators of the standard domain while the graph is specialised; Infer and
	// Compile are not needed then. See Lowering.
	Lower func(l *Lowering) error
	// View marks operators whose output 0 is the bytes of input 0 under another shape. Their kernel must also work by
	// copying (folding and odd placements use it).
	View bool
	// InPlace lists inputs whose storage output 0 may take over when they are as large and read for the last time.
	InPlace []int
	// ShapeOnly marks operators whose result depends on input shapes only: they fold without constant inputs.
	ShapeOnly bool
	// VJP adds the reverse pass of one node: it turns the cotangents of the outputs into those of the inputs. nil: the
	// operator has no derivative here, and a gradient through it is refused.
	VJP func(b *Backward) error
	// Flat marks operators whose derivative is zero wherever it exists (Floor, Sign): nothing is passed on.
	Flat bool
	// Containers marks operators that take sequences and optionals (Lower only); others are refused them.
	Containers bool
	// Random marks operators that must neither be folded nor merged although their inputs are constant.
	Random bool
}

type opKey struct{ domain, name string }

var registry = map[opKey][]Operator{}

// Register enters an operator; it is called from init functions. A second entry with the same name, domain and Since
// panics at start.
func Register(op Operator) {
	op.Domain = canonicalDomain(op.Domain)
	key := opKey{op.Domain, op.Name}
	if (op.Infer == nil || op.Compile == nil) && op.Lower == nil {
		panic("graph: operator " + op.Name + " lacks Infer or Compile, and has no Lower")
	}
	for _, o := range registry[key] {
		if o.Since == op.Since {
			panic(fmt.Sprintf("graph: operator %s.%s since %d registered twice", op.Domain, op.Name, op.Since))
		}
	}
	registry[key] = append(registry[key], op)
}

// lookup finds the entry for a node, or explains what is missing.
func lookup(g *Graph, n *Node) (*Operator, error) {
	entries := registry[opKey{canonicalDomain(n.Domain), n.Op}]
	var best *Operator
	for i := range entries {
		o := &entries[i]
		if (o.Since <= n.Opset || n.Opset == 0) && (best == nil || o.Since > best.Since) {
			best = o
		}
	}
	if best != nil {
		return best, nil
	}
	why := "the embedded executor does not know this operator"
	if len(entries) > 0 {
		lowest := slices.MinFunc(entries, func(a, b Operator) int { return a.Since - b.Since })
		why = fmt.Sprintf("the embedded executor implements it from opset %d on; export with a newer opset", lowest.Since)
	}
	if canonicalDomain(n.Domain) == "com.microsoft.nchwc" {
		why = "ONNX Runtime laid the weights out for one kind of processor; save the model with the graph optimisation level " +
			"\"extended\" instead of \"all\", or use the model before that"
	}
	return nil, unsupported(g, n, "", why)
}

// compiledAway are the operators of the standard domain that need no entry because specialising leaves nothing of them, with
// the opset from which they are known.
var compiledAway = map[string]int{"Identity": 1, "If": 1, "Loop": 1, "Scan": 8, "SequenceMap": 17}

// Operators lists the known ones as "domain.Name/since" in no particular order, "Name/since" for the standard domain.
func Operators() []string {
	var out []string
	for name, since := range compiledAway {
		out = append(out, fmt.Sprintf("%s/%d", name, since))
	}
	for key, entries := range registry {
		for _, o := range entries {
			name := fmt.Sprintf("%s/%d", key.name, o.Since)
			if key.domain != "" {
				name = key.domain + "." + name
			}
			out = append(out, name)
		}
	}
	return out
}

// Has reports whether input i is present.
func (c *NodeCtx) Has(i int) bool { return i < len(c.In) && c.In[i].Present }

// Attr returns an attribute and whether it is set.
func (c *NodeCtx) Attr(name string) (Attr, bool) {
	a, ok := c.Node.Attrs[name]
	return a, ok && a.Kind != AttrNone
}

// AttrInt returns an integer attribute, or def when it is absent or of another kind.
func (c *NodeCtx) AttrInt(name string, def int64) int64 {
	if a, ok := c.Node.Attrs[name]; ok && a.Kind == AttrInt {
		return a.I
	}
	return def
}

// AttrFloat returns a float attribute, or def when it is absent or of another kind.
func (c *NodeCtx) AttrFloat(name string, def float32) float32 {
	if a, ok := c.Node.Attrs[name]; ok && a.Kind == AttrFloat {
		return a.F
	}
	return def
}

// AttrString returns a string attribute, or def when it is absent or of another kind.
func (c *NodeCtx) AttrString(name, def string) string {
	if a, ok := c.Node.Attrs[name]; ok && a.Kind == AttrString {
		return a.S
	}
	return def
}

// AttrInts returns a list attribute and whether it is there.
func (c *NodeCtx) AttrInts(name string) ([]int64, bool) {
	a, ok := c.Node.Attrs[name]
	return a.Ints, ok && a.Kind == AttrInts
}

// AttrTensor returns a tensor attribute, nil if absent.
func (c *NodeCtx) AttrTensor(name string) *tensor.Tensor {
	if a, ok := c.Node.Attrs[name]; ok && a.Kind == AttrTensor {
		return a.T
	}
	return nil
}

// ConstInts returns input i as integers. The input must be known at compile time and of an integer type.
func (c *NodeCtx) ConstInts(i int) ([]int64, error) {
	t, err := c.constant(i)
	if err != nil {
		return nil, err
	}
	switch t.DType {
	case tensor.I64:
		return t.I64(), nil
	case tensor.I32:
		out := make([]int64, t.Elems())
		for k, v := range t.I32() {
			out[k] = int64(v)
		}
		return out, nil
	}
	return nil, c.ShapeErrorf(i, "%v where int64 or int32 is required", t.DType)
}

// ConstF32 returns input i widened to float32 (aliasing the data when it is float32 already). The input must be known at
// compile time and of a floating type.
func (c *NodeCtx) ConstF32(i int) ([]float32, error) {
	t, err := c.constant(i)
	if err != nil {
		return nil, err
	}
	if !t.DType.IsFloat() {
		return nil, c.ShapeErrorf(i, "%v where a floating type is required", t.DType)
	}
	return t.Float32s(), nil
}

// ConstScalar returns input i as one number if it is a known constant with a single element of a numeric type.
func (c *NodeCtx) ConstScalar(i int) (float64, bool) {
	if !c.Has(i) || c.In[i].Const == nil {
		return 0, false
	}
	return scalarOf(*c.In[i].Const)
}

func (c *NodeCtx) constant(i int) (*tensor.Tensor, error) {
	if !c.Has(i) {
		return nil, c.ShapeErrorf(i, "required input is missing")
	}
	if c.In[i].Const == nil {
		return nil, c.Refuse("", fmt.Sprintf("input %d must be known when the graph is compiled; here it depends on the "+
			"contents of a graph input", i))
	}
	return c.In[i].Const, nil
}

// scalarOf reads a one-element tensor of a numeric type.
func scalarOf(t tensor.Tensor) (float64, bool) {
	if t.Elems() != 1 {
		return math.NaN(), false
	}
	switch t.DType {
	case tensor.F32, tensor.F16, tensor.BF16:
		return float64(t.Float32s()[0]), true
	case tensor.F64:
		return t.F64()[0], true
	case tensor.I64:
		return float64(t.I64()[0]), true
	case tensor.I32:
		return float64(t.I32()[0]), true
	}
	return math.NaN(), false
}
