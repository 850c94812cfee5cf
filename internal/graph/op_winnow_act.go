package graph

import (
	"winnow/internal/kernel"
)

func init() {
	for _, a := range []activation{
		{"Silu", 1, func(*NodeCtx) (vecFunc, mapFunc, error) {
			return kernel.Silu, func(x float64) float64 { return x * sigmoid(x) }, nil
		}, actGrad(kernel.ActSilu)},
		{"QuickGelu", 1, quickGeluAct, actGrad(kernel.ActQuickGelu)},
		{"Gelu", 1, geluAct, geluGrad},
	} {
		op := activationOp(a)
		op.Domain = Domain
		Register(op)
	}
	Register(Operator{Name: "GEGLU", Domain: Domain, Since: 1, Infer: inferGEGLU, Compile: compileGEGLU, VJP: gegluVJP})
}

// quickGeluAct is x·sigmoid(alpha·x), alpha 1.702 by default.
func quickGeluAct(c *NodeCtx) (vecFunc, mapFunc, error) {
	alpha := c.AttrFloat("alpha", 1.702)
	f64 := func(x float64) float64 { return x * sigmoid(float64(alpha)*x) }
	if alpha == 1.702 {
		return kernel.QuickGelu, f64, nil
	}
	return nil, f64, nil
}

func inferGEGLU(c *NodeCtx) error {
	if err := checkArity(c, 1, 1, 1, 1); err != nil {
		return err
	}
	if err := checkFloat32(c); err != nil {
		return err
	}
	in := c.In[0].Shape
	if len(in) == 0 || in[len(in)-1]%2 != 0 {
		return badInput(c, 0, "of shape %v has no even last dimension", in)
	}
	if _, err := actOf(c, "gelu"); err != nil {
		return err
	}
	shape := append([]int{}, in...)
	shape[len(shape)-1] /= 2
	return out1(c, c.In[0].DType, shape)
}

func compileGEGLU(c *NodeCtx) (Kernel, error) {
	act, err := actOf(c, "gelu")
	if err != nil {
		return Kernel{}, err
	}
	n := c.Out[0].Shape[len(c.Out[0].Shape)-1]
	gateFirst := c.AttrInt("gate_first", 0) != 0
	return run(func(f *Frame) {
		dst, src := view[float32](f.Out[0]), view[float32](f.In[0])
		if n == 0 {
			return
		}
		rowTasks(f.Pool, len(dst)/n, n, func(lo, hi int) {
			for r := lo; r < hi; r++ {
				y, a, b := dst[r*n:][:n], src[2*r*n:][:n], src[(2*r+1)*n:][:n]
				if gateFirst {
					a, b = b, a
				}
				act.Apply(y, b)
				kernel.Mul(y, y, a)
			}
		})
	}), nil
}
