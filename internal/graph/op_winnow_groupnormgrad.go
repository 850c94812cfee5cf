package graph

import "winnow/internal/kernel"

func init() {
	Register(Operator{
		Name: "GroupNormGrad", Domain: Domain, Since: 1, InPlace: []int{3}, Infer: inferGroupNormGrad, Compile: compileGroupNormGrad,
	})
}

// vjpFusedGroupNorm goes back through normalisation and activation at once: the input is all that it needs.
func vjpFusedGroupNorm(b *Backward) error {
	grads := b.OpN("winnow.GroupNormGrad", b.Node.Attrs, 3, b.X(0), b.X(1), b.X(2), b.G(0))
	b.Give(0, grads[0])
	for i := 1; i <= 2; i++ {
		if b.Needs(i) {
			b.Give(i, b.Reshape(grads[i], b.In[i].Shape...))
		}
	}
	return nil
}

func inferGroupNormGrad(c *NodeCtx) error {
	if err := checkArity(c, 1, 4, 3, 3); err != nil {
		return err
	}
	in, out := c.In, c.Node.Outputs
	if !c.Has(3) {
		return badInput(c, 3, "is missing")
	}
	if err := checkShape(c, 3, in[0].Shape...); err != nil {
		return err
	}
	// Everything else is as in the forward operator, which has inputs 0 to 2 and one output.
	node := *c.Node
	node.Outputs = out[:1]
	forward := *c
	forward.Node, forward.In = &node, in[:3]
	if err := inferFusedGroupNorm(&forward); err != nil {
		return err
	}
	perChannel := Type{in[0].DType, []int{in[0].Shape[1]}}
	return setOut(c, in[0].Type, perChannel, perChannel)
}

func compileGroupNormGrad(c *NodeCtx) (Kernel, error) {
	s := groupSpec(c, int(c.AttrInt("num_groups", 1)))
	act, err := actOf(c, "")
	if err != nil {
		return Kernel{}, err
	}
	s.Act = act
	if s.N*s.C*s.HW == 0 {
		return run(func(f *Frame) { clear(f.Out[1].Data); clear(f.Out[2].Data) }), nil
	}
	return Kernel{Scratch: 2 * s.N * s.C, Run: func(f *Frame) error {
		s, sums := s, f.Scratch[:2*s.N*s.C]
		s.Gamma, s.Beta = optional[float32](f, 1), optional[float32](f, 2)
		kernel.GroupNormBackward(f.Pool, view[float32](f.Out[0]), sums, view[float32](f.In[0]), view[float32](f.In[3]), s)
		dgamma, dbeta := view[float32](f.Out[1]), view[float32](f.Out[2])
		clear(dgamma)
		clear(dbeta)
		for i := range s.N * s.C {
			dgamma[i%s.C] += sums[2*i]
			dbeta[i%s.C] += sums[2*i+1]
		}
		return nil
	}}, nil
}
