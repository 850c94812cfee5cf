package graph

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
	"unsafe"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

// Program is a compiled graph: kernels in order and a memory plan. Run may be called from several goroutines; calls run
// one after another, because they share the arena.
type Program struct {
	opt     *Options
	ir      *ir
	steps   []step
	forward int // steps of the forward pass; the reverse pass follows
	buffers []buffer
	blockOf []int     // by value: buffer, -1 for inputs and constants
	rootOf  []ValueID // by value: the value whose memory it shares
	consts  map[ValueID]tensor.Tensor
	pool    *kernel.Pool
	ownPool bool
	stats   Stats

	mu    sync.Mutex
	arena []byte
	wires []wire
	prof  profile
}

// wire is a place in a frame that each run connects to the caller's input.
type wire struct {
	step, arg int
	input     int
	typ       Type
}

// Stats describe a program.
type Stats struct {
	FileNodes    int            // nodes in the file, taken branches included
	FoldedNodes  int            // nodes left after folding and merging
	Steps        int            // kernel calls of one run
	Views        int            // nodes that cost nothing because they only rename memory
	InPlace      int            // kernel calls that write over an operand
	Fused        map[string]int // rewrites applied, by name
	ArenaBytes   int            // memory for intermediate values and scratch
	ScratchBytes int            // largest scratch of one kernel, part of the arena
	ConstBytes   int            // constants read at run time as they are
	PackedBytes  int            // weights in the kernels' own form
	SavedBytes   int            // part of the arena that holds values between forward and reverse pass
	Flops        float64        // estimated floating-point operations of one run
}

// Stats returns figures about the program.
func (g *Program) Stats() Stats { return g.stats }

// Types returns the static type of every input and output by name.
func (g *Program) Types() (in, out map[string]Type) {
	in, out = map[string]Type{}, map[string]Type{}
	for _, p := range g.ir.inputs {
		in[p.name] = g.ir.val(p.value).typ
	}
	for _, p := range g.ir.outputs {
		out[p.name] = g.ir.val(p.value).typ
	}
	return in, out
}

// Close ends the program's own worker pool, if it has one, and drops its memory. A run in progress ends first.
func (g *Program) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dropArena()
	if g.ownPool {
		g.pool.Close()
	}
}

// Trim drops the arena until the next run, which allocates it anew.
func (g *Program) Trim() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dropArena()
}

func (g *Program) dropArena() {
	g.arena, g.wires = nil, nil
	for i := range g.steps {
		g.steps[i].frame = Frame{}
	}
}

// Run computes the outputs for the given inputs, which must have the types that Compile was given; float32 may be passed
// for an input declared as float16 or bfloat16. Inputs are only read. Outputs are fresh tensors. The context is checked
// between steps.
func (g *Program) Run(ctx context.Context, in map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.start(in); err != nil {
		return nil, err
	}
	defer g.disconnect()
	if err := g.runSteps(ctx, 0, len(g.steps)); err != nil {
		return nil, err
	}
	if g.opt.Debug >= 2 {
		g.printProfile()
	}
	return g.collectOutputs(in, false), nil
}

// start checks the inputs of the forward pass and puts them in place.
func (g *Program) start(in map[string]tensor.Tensor) error {
	if err := g.checkTensors(in, false); err != nil {
		return err
	}
	if g.arena == nil {
		g.prepare()
	}
	if g.opt.Paranoid {
		fill(g.arena, poisonByte)
	}
	g.connect(in, false)
	g.prof.start(g.opt.Debug >= 2, len(g.steps))
	return nil
}

// runSteps calls the kernels from lo to hi-1.
func (g *Program) runSteps(ctx context.Context, lo, hi int) error {
	for s := lo; s < hi; s++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := g.runStep(s); err != nil {
			return err
		}
	}
	return nil
}

// runStep calls one kernel.
func (g *Program) runStep(s int) error {
	st := &g.steps[s]
	if g.empty(st) {
		return nil
	}
	if g.opt.Paranoid {
		g.armGuards(st)
	}
	begin := time.Time{}
	if g.prof.on {
		begin = time.Now()
	}
	if err := g.call(st); err != nil {
		return &RunError{Source: g.ir.src.Source, Node: st.node.Label(), Err: err}
	}
	if g.prof.on {
		g.prof.spent[s] += time.Since(begin)
	}
	if g.opt.Paranoid {
		if err := g.checkGuards(s); err != nil {
			return err
		}
	}
	if g.opt.CheckNaN || g.opt.Debug >= 4 {
		return g.checkNaN(st)
	}
	return nil
}

// call runs a kernel. A panic there is a defect of ours; it ends the run with an error that names the node instead of the
// user's process, except under Options.Paranoid, where the stack is wanted.
func (g *Program) call(st *step) (err error) {
	if !g.opt.Paranoid {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("internal fault: %v", r)
			}
		}()
	}
	return st.kernel.Run(&st.frame)
}

// empty reports whether all outputs have zero elements, so that there is nothing to compute.
func (g *Program) empty(st *step) bool {
	for _, t := range st.frame.Out {
		if len(t.Data) > 0 {
			return false
		}
	}
	return true
}

// checkTensors compares the caller's tensors with the compiled types, for the forward or the reverse pass.
func (g *Program) checkTensors(in map[string]tensor.Tensor, back bool) error {
	want := 0
	for _, p := range g.ir.inputs {
		if p.back != back {
			continue
		}
		want++
		typ := g.ir.val(p.value).typ
		t, ok := in[p.name]
		bad := func(format string, args ...any) error {
			return &ShapeError{Source: g.ir.src.Source, Input: fmt.Sprintf("%q", p.name), Why: fmt.Sprintf(format, args...)}
		}
		switch {
		case !ok:
			return bad("missing")
		case t.DType != typ.DType && t.DType != typ.Storage(), !slices.Equal(t.Shape, typ.Shape):
			return bad("given %v%s, the program is compiled for %v", t.DType, shapeString(t.Shape), typ)
		case t.DType == tensor.String:
			if err := t.CheckStrings(); err != nil {
				return bad("%v", err)
			}
		case len(t.Data) != t.Elems()*t.DType.Size():
			return bad("%d bytes of data where %v needs %d", len(t.Data), typ, t.Elems()*t.DType.Size())
		}
	}
	if len(in) > want {
		for name := range in {
			if !slices.ContainsFunc(g.ir.inputs, func(p irPort) bool { return p.name == name && p.back == back }) {
				return &ShapeError{Source: g.ir.src.Source, Input: fmt.Sprintf("%q", name), Why: "the graph has no such input"}
			}
		}
	}
	return nil
}

// prepare allocates the arena and builds the frames.
func (g *Program) prepare() {
	g.arena = tensor.New(tensor.U8, max(g.stats.ArenaBytes, blockAlign)).Data
	for s := range g.steps {
		st := &g.steps[s]
		n := st.node
		st.frame = Frame{In: make([]tensor.Tensor, len(n.Inputs)), Out: make([]tensor.Tensor, len(n.Outputs)), Pool: g.pool}
		for i, id := range n.Inputs {
			if id == None || n.absorbed != nil && n.absorbed[i] {
				continue
			}
			st.frame.In[i] = g.bind(s, i, id)
		}
		for i, id := range n.Outputs {
			st.frame.Out[i] = g.inArena(id)
		}
		if st.scratch >= 0 {
			b := &g.buffers[st.scratch]
			st.frame.Scratch = floats(g.arena[b.off : b.off+b.used])
		}
	}
}

// bind returns the tensor for a value, or notes that each run has to connect it.
func (g *Program) bind(step, arg int, id ValueID) tensor.Tensor {
	typ := g.ir.val(id).typ
	if c, ok := g.consts[g.rootOf[id]]; ok {
		return tensor.Tensor{DType: typ.Storage(), Shape: typ.Shape, Data: c.Data}
	}
	if g.blockOf[id] >= 0 {
		return g.inArena(id)
	}
	g.wires = append(g.wires, wire{step, arg, g.ir.val(g.rootOf[id]).input, typ})
	return tensor.Tensor{}
}

func (g *Program) inArena(id ValueID) tensor.Tensor {
	typ := g.ir.val(id).typ
	b := &g.buffers[g.blockOf[id]]
	n := typ.Bytes()
	return tensor.Tensor{DType: typ.Storage(), Shape: typ.Shape, Data: g.arena[b.off : b.off+n : b.off+n]}
}

// connect puts the caller's inputs of one pass in place, converting half types.
func (g *Program) connect(in map[string]tensor.Tensor, back bool) {
	for _, p := range g.ir.inputs {
		if p.back != back || g.blockOf[p.value] < 0 {
			continue
		}
		src := in[p.name]
		dst := g.inArena(p.value).F32()
		tensor.WidenInto(dst, src, 0)
		if src.DType == tensor.F32 {
			roundHalf(dst, g.ir.val(p.value).typ.DType)
		}
	}
	for _, w := range g.wires {
		if g.ir.inputs[w.input].back != back {
			continue
		}
		data := in[g.ir.inputs[w.input].name].Data
		g.steps[w.step].frame.In[w.arg] = tensor.Tensor{DType: w.typ.Storage(), Shape: w.typ.Shape, Data: data}
	}
}

// disconnect forgets the caller's inputs, so that the program does not keep them in memory.
func (g *Program) disconnect() {
	for _, w := range g.wires {
		g.steps[w.step].frame.In[w.arg] = tensor.Tensor{}
	}
}

// collectOutputs copies the outputs of one pass into fresh tensors of their nominal type. in holds every input so far.
func (g *Program) collectOutputs(in map[string]tensor.Tensor, back bool) map[string]tensor.Tensor {
	out := make(map[string]tensor.Tensor, len(g.ir.outputs))
	for _, p := range g.ir.outputs {
		if p.back != back {
			continue
		}
		typ := g.ir.val(p.value).typ
		var t tensor.Tensor
		switch c, ok := g.consts[g.rootOf[p.value]]; {
		case ok:
			t = c
		case g.blockOf[p.value] >= 0:
			t = g.inArena(p.value)
		default:
			t = in[g.ir.inputs[g.ir.val(g.rootOf[p.value]).input].name]
		}
		out[p.name] = narrowed(t, typ)
	}
	return out
}

// narrowed copies a stored tensor to its nominal type.
func narrowed(t tensor.Tensor, typ Type) tensor.Tensor {
	if typ.DType == t.DType {
		return tensor.Tensor{DType: t.DType, Shape: typ.Shape, Data: t.Data}.Clone()
	}
	out := tensor.New(typ.DType, typ.Shape...)
	dst := out.F16()
	for i, v := range t.F32() {
		if typ.DType == tensor.F16 {
			dst[i] = tensor.F32ToF16(v)
		} else {
			dst[i] = tensor.F32ToBF16(v)
		}
	}
	return out
}

// roundHalf rounds float32 numbers to the nearest value of a half type.
func roundHalf(x []float32, dt tensor.DType) {
	for i, v := range x {
		switch dt {
		case tensor.F16:
			x[i] = tensor.F16ToF32(tensor.F32ToF16(v))
		case tensor.BF16:
			x[i] = tensor.BF16ToF32(tensor.F32ToBF16(v))
		}
	}
}

// checkNaN looks for a NaN among the float outputs of a step.
func (g *Program) checkNaN(st *step) error {
	for i, t := range st.frame.Out {
		if t.DType != tensor.F32 || !hasNaN(t.F32()) {
			continue
		}
		err := &RunError{Source: g.ir.src.Source, Node: st.node.Label(), Err: &NaNError{
			Value: g.ir.val(st.node.Outputs[i]).name, Weight: g.nanWeight(st.node),
		}}
		if g.opt.CheckNaN {
			return err
		}
		if !g.prof.sawNaN {
			g.prof.sawNaN = true
			fmt.Fprintf(g.opt.Log, "winnow: first NaN: %v\n", err)
		}
	}
	return nil
}

// nanWeight names a constant operand of a node that holds a NaN, "" if there is none.
func (g *Program) nanWeight(n *irNode) string {
	for _, id := range n.Inputs {
		if id == None {
			continue
		}
		if v := g.ir.val(id); v.konst != nil && v.typ.Storage() == tensor.F32 && hasNaN(v.konst.Float32s()) {
			return v.name
		}
	}
	return ""
}

func hasNaN(x []float32) bool {
	for _, v := range x {
		if v != v {
			return true
		}
	}
	return false
}

// floats views bytes of the arena as float32.
func floats(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}
