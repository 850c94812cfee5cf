package graph

import (
	"fmt"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "MatMul", Since: 1, Infer: inferMatMul, Compile: compileMatMul, VJP: matMulVJP})
}

// product is a batched matrix product with broadcast leading dimensions: for every batch
// C[m,n] = op(A)[m,k]·op(B)[k,n]. offA and offB hold the element offset of each batch's operands.
type product struct {
	m, n, k        int
	transA, transB bool
	offA, offB     []int
	shape          []int // of the result
}

// newProduct plans the product of shapes a and b (rank ≥ 2, see promote). It returns an error text when they do not fit.
func newProduct(a, b []int, transA, transB bool) (*product, string) {
	p := &product{transA: transA, transB: transB}
	p.m, p.k = lastTwo(a, transA)
	kb, n := lastTwo(b, transB)
	p.n = n
	if p.k != kb {
		return nil, fmt.Sprintf("inner dimensions of %v and %v differ", a, b)
	}
	ba, bb := a[:len(a)-2], b[:len(b)-2]
	batch, ok := broadcastShape(ba, bb)
	if !ok {
		return nil, fmt.Sprintf("leading dimensions of %v and %v do not broadcast", a, b)
	}
	p.shape = append(append([]int{}, batch...), p.m, p.n)
	if _, ok := elemCount(p.shape); !ok {
		return nil, "the result is too large"
	}
	return p, ""
}

// plan fills the batch offsets; products whose second operand is shared by all batches become one tall product.
func (p *product) plan(a, b []int) {
	ba, bb := a[:len(a)-2], b[:len(b)-2]
	batch := p.shape[:len(p.shape)-2]
	total := numElems(batch)
	if numElems(bb) == 1 && !p.transA && numElems(ba) == total {
		p.m *= total
		p.offA, p.offB = []int{0}, []int{0}
		return
	}
	w := newBcast(append(append([]int{}, batch...), 1), withOne(ba), withOne(bb))
	p.offA, p.offB = make([]int, 0, total), make([]int, 0, total)
	w.rows(0, total, func(_, n int, off []int) {
		for i := range n {
			p.offA = append(p.offA, (off[0]+i*w.step[0])*p.m*p.k)
			p.offB = append(p.offB, (off[1]+i*w.step[1])*p.k*p.n)
		}
	})
}

func withOne(s []int) []int { return append(append([]int{}, s...), 1) }

// lastTwo returns rows and columns of the last two dimensions, exchanged when trans.
func lastTwo(s []int, trans bool) (rows, cols int) {
	rows, cols = s[len(s)-2], s[len(s)-1]
	if trans {
		return cols, rows
	}
	return rows, cols
}

// matA and matB are the operands of batch i over the given data.
func (p *product) matA(x []float32, i int) kernel.Mat {
	if p.transA {
		return kernel.RowMajor(x[p.offA[i]:], p.m).Transposed()
	}
	return kernel.RowMajor(x[p.offA[i]:], p.k)
}

func (p *product) matB(x []float32, i int) kernel.Mat {
	if p.transB {
		return kernel.RowMajor(x[p.offB[i]:], p.k).Transposed()
	}
	return kernel.RowMajor(x[p.offB[i]:], p.n)
}

func (p *product) flops() float64 {
	return 2 * float64(p.m) * float64(p.n) * float64(p.k) * float64(len(p.offA))
}

// packB packs constant input i for a product with a single second operand; nil when it is not possible.
func (p *product) packB(c *NodeCtx, i int) *kernel.Packed {
	t := c.In[i].Const
	if t == nil || len(p.offB) != 1 || storage(t.DType) != tensor.F32 || p.k == 0 || p.n == 0 {
		return nil
	}
	src := kernel.Source{DType: t.DType, Data: t.Data, RowStride: p.n, ColStride: 1}
	if p.transB {
		src.RowStride, src.ColStride = 1, p.k
	}
	kind := fmt.Sprintf("gemmB/%dx%d/%v/%v", p.k, p.n, p.transB, t.DType)
	if t.DType == tensor.F32 && c.Repack(i, kind) { // half-precision weights are widened on the way, once
		return nil
	}
	return c.Packed(i, kind, func() (any, int) {
		pk := kernel.PackB(src, p.k, p.n)
		return pk, pk.Bytes()
	}).(*kernel.Packed)
}

// kernel returns the float32 kernel; epilogue yields what happens to the product and may use scratch behind the
// GEMM's own. alpha 0 makes the product vanish, which the vector code expresses by an empty inner dimension.
func (p *product) kernel(c *NodeCtx, alpha float32, extra int, epilogue func(f *Frame, scratch []float32) kernel.Epilogue) Kernel {
	if numElems(p.shape) == 0 {
		return run(func(*Frame) {})
	}
	k := p.k
	if alpha == 0 {
		k = 0
	}
	packed := p.packB(c, 1)
	if k == 0 {
		packed = nil
	}
	own := kernel.GemmScratch(max(1, c.Threads), p.m, p.n, k, false, packed != nil)
	out := Kernel{Scratch: own + extra, Flops: p.flops()}
	if packed != nil {
		out.Absorbed = []int{1}
	}
	out.Run = func(f *Frame) error {
		ep := epilogue(f, f.Scratch[own:])
		ep.Alpha = alpha
		p.run(f, f.Scratch[:own], k, packed, ep)
		if c.In[1].Const != nil && packed == nil {
			c.Used(1)
		}
		return nil
	}
	return out
}

func (p *product) run(f *Frame, scratch []float32, k int, packed *kernel.Packed, ep kernel.Epilogue) {
	p.gemm(f.Pool, scratch, view[float32](f.Out[0]), view[float32](f.In[0]), view[float32](f.In[1]), k, packed, ep)
}

// multiply computes all batches of a·b without an epilogue.
func (p *product) multiply(pool *kernel.Pool, scratch, dst, a, b []float32) {
	p.gemm(pool, scratch, dst, a, b, p.k, nil, kernel.Epilogue{})
}

// gemm runs the batches over an inner dimension of k, which is 0 when the product vanishes.
func (p *product) gemm(pool *kernel.Pool, scratch, dst, a, b []float32, k int, packed *kernel.Packed, ep kernel.Epilogue) {
	residual := ep.Residual
	at := func(i int) kernel.GemmArgs {
		g := kernel.GemmArgs{M: p.m, N: p.n, K: k, C: dst[i*p.m*p.n:][:p.m*p.n], LDC: p.n, PB: packed, Ep: ep}
		if k > 0 {
			g.A = p.matA(a, i)
		}
		if packed == nil && k > 0 {
			g.B = p.matB(b, i)
		}
		if residual != nil {
			g.Ep.Residual = residual[i*p.m*p.n:][:p.m*p.n]
		}
		return g
	}
	if len(p.offA) == 1 {
		kernel.Gemm(pool, scratch, at(0))
		return
	}
	kernel.GemmBatch(pool, scratch, len(p.offA), at)
}

// promote gives one-dimensional operands their matrix form: [K] is [1,K] on the left and [K,1] on the right.
func promote(a, b []int) (pa, pb []int) {
	if len(a) == 1 {
		a = []int{1, a[0]}
	}
	if len(b) == 1 {
		b = []int{b[0], 1}
	}
	return a, b
}

func inferMatMul(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classNumber); err != nil {
		return err
	}
	if err := checkSameType(c, 0, 2); err != nil {
		return err
	}
	sa, sb := c.In[0].Shape, c.In[1].Shape
	if len(sa) == 0 || len(sb) == 0 {
		return badNode(c, "operands of shapes %v and %v: a scalar has no matrix product", sa, sb)
	}
	p, why := newPlainProduct(sa, sb)
	if p == nil {
		return badNode(c, "%s", why)
	}
	shape := p.shape[:len(p.shape)-2]
	if len(sa) > 1 {
		shape = append(shape, p.m)
	}
	if len(sb) > 1 {
		shape = append(shape, p.n)
	}
	return out1(c, c.In[0].DType, shape)
}

// newPlainProduct is newProduct after promotion, without transposition.
func newPlainProduct(a, b []int) (*product, string) {
	a, b = promote(a, b)
	return newProduct(a, b, false, false)
}

func compileMatMul(c *NodeCtx) (Kernel, error) {
	sa, sb := promote(c.In[0].Shape, c.In[1].Shape)
	p, why := newProduct(sa, sb, false, false)
	if p == nil {
		return Kernel{}, badNode(c, "%s", why)
	}
	p.plan(sa, sb)
	if storage(c.In[0].DType) == tensor.F32 {
		return p.kernel(c, 1, 0, func(*Frame, []float32) kernel.Epilogue { return kernel.Epilogue{} }), nil
	}
	return p.plainKernel(c)
}

// plainKernel serves the types without vector code.
func (p *product) plainKernel(c *NodeCtx) (Kernel, error) {
	switch c.In[0].DType {
	case tensor.F64:
		return plainProduct[float64](p), nil
	case tensor.I32:
		return plainProduct[int32](p), nil
	case tensor.I64:
		return plainProduct[int64](p), nil
	case tensor.U32:
		return plainProduct[uint32](p), nil
	case tensor.U64:
		return plainProduct[uint64](p), nil
	}
	return Kernel{}, c.Refuse("", "element type "+c.In[0].DType.String())
}

func plainProduct[T number](p *product) Kernel {
	k := run(func(f *Frame) {
		a, b, dst := view[T](f.In[0]), view[T](f.In[1]), view[T](f.Out[0])
		clear(dst)
		rowTasks(f.Pool, len(p.offA)*p.m, p.k*p.n, func(lo, hi int) {
			for r := lo; r < hi; r++ {
				i := r / p.m
				productRow(p, dst[r*p.n:][:p.n], a[p.offA[i]:], b[p.offB[i]:], r%p.m)
			}
		})
	})
	k.Flops = p.flops()
	return k
}

// productRow adds row r of op(A)·op(B) to dst.
func productRow[T number](p *product, dst, a, b []T, r int) {
	ars, acs := p.k, 1
	if p.transA {
		ars, acs = 1, p.m
	}
	brs, bcs := p.n, 1
	if p.transB {
		brs, bcs = 1, p.k
	}
	for k := range p.k {
		x := a[r*ars+k*acs]
		for j := range dst {
			dst[j] += x * b[k*brs+j*bcs]
		}
	}
}

// matMulVJP: with C = A·B, dA = G·Bᵀ and dB = Aᵀ·G, summed over broadcast batches. A matrix B that all batches share takes
// them as one tall product.
func matMulVJP(b *Backward) error {
	sa, sb := promote(b.In[0].Shape, b.In[1].Shape)
	p, why := newProduct(sa, sb, false, false)
	if p == nil {
		return badNode(b.NodeCtx, "%s", why)
	}
	x, w, g := b.Reshape(b.X(0), sa...), b.Reshape(b.X(1), sb...), b.Reshape(b.G(0), p.shape...)
	if b.Needs(0) {
		dx := b.SumTo(b.Op("MatMul", g, b.TransposeLast(w)), sa)
		b.Give(0, b.Reshape(dx, b.In[0].Shape...))
	}
	if !b.Needs(1) {
		return nil
	}
	if rows := numElems(sa) / max(1, p.k); numElems(sb) == p.k*p.n && rows*p.n == numElems(p.shape) {
		x, g, sb = b.Reshape(x, rows, p.k), b.Reshape(g, rows, p.n), []int{p.k, p.n}
	}
	dw := b.SumTo(b.Op("MatMul", b.TransposeLast(x), g), sb)
	b.Give(1, b.Reshape(dw, b.In[1].Shape...))
	return nil
}
