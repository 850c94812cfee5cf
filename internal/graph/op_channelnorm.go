package graph

import (
	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

// Normalisations of [N, C, ...] data whose scale and shift are per channel.
func init() {
	Register(Operator{
		Name: "InstanceNormalization", Since: 6, InPlace: []int{0}, Infer: inferInstanceNorm, Compile: compileInstanceNorm,
		VJP: instanceNormVJP,
	})
	Register(Operator{
		Name: "GroupNormalization", Since: 18, InPlace: []int{0}, Infer: inferGroupNorm, Compile: compileGroupNorm,
		VJP: groupNormVJP,
	})
	Register(Operator{
		Name: "GroupNorm", Domain: Domain, Since: 1, InPlace: []int{0}, Infer: inferFusedGroupNorm, Compile: compileFusedGroupNorm,
		VJP: vjpFusedGroupNorm,
	})
}

// groupSpec describes input 0 as [N, C, HW] in groups.
func groupSpec(c *NodeCtx, groups int) kernel.GroupNormSpec {
	in := c.In[0].Shape
	return kernel.GroupNormSpec{N: in[0], C: in[1], HW: numElems(in[2:]), Groups: groups, Eps: c.AttrFloat("epsilon", 1e-5)}
}

func inferInstanceNorm(c *NodeCtx) error {
	if err := checkArity(c, 3, 3, 1, 1); err != nil {
		return err
	}
	return inferChannelNorm(c, nil)
}

// inferChannelNorm checks input 0 and the per-channel vectors behind it; groups, when given, must divide the channels.
func inferChannelNorm(c *NodeCtx, groups *int64) error {
	if err := checkClass(c, 0, classFloat); err != nil {
		return err
	}
	if err := checkSameType(c, 0, len(c.In)); err != nil {
		return err
	}
	if err := checkRank(c, 0, 2, maxRank); err != nil {
		return err
	}
	channels := c.In[0].Shape[1]
	if groups != nil && (*groups < 1 || *groups > int64(channels) || int64(channels)%*groups != 0) {
		return badNode(c, "attribute num_groups = %d does not divide %d channels", *groups, channels)
	}
	for i := 1; i < len(c.In); i++ {
		if c.Has(i) && (c.In[i].Elems() != channels || len(c.In[i].Shape) == 0) {
			return badInput(c, i, "has shape %v, want [%d]", c.In[i].Shape, channels)
		}
	}
	return out1(c, c.In[0].DType, c.In[0].Shape)
}

func compileInstanceNorm(c *NodeCtx) (Kernel, error) {
	return groupNormKernel(c, groupSpec(c, c.In[0].Shape[1]), nil), nil
}

// inferGroupNorm: opset 18 has scale and bias per group, opset 21 per channel.
func inferGroupNorm(c *NodeCtx) error {
	if err := checkArity(c, 3, 3, 1, 1); err != nil {
		return err
	}
	groups := c.AttrInt("num_groups", 0)
	if c.Node.Opset >= 21 {
		return inferChannelNorm(c, &groups)
	}
	if err := checkSameType(c, 0, 3); err != nil {
		return err
	}
	for i := 1; i < 3; i++ {
		if int64(c.In[i].Elems()) != groups {
			return badInput(c, i, "has shape %v, want [%d], one entry per group (opset 18)", c.In[i].Shape, groups)
		}
	}
	in := c.In
	c.In = in[:1]
	err := inferChannelNorm(c, &groups)
	c.In = in
	return err
}

func compileGroupNorm(c *NodeCtx) (Kernel, error) {
	groups := int(c.AttrInt("num_groups", 1))
	s := groupSpec(c, groups)
	if c.Node.Opset >= 21 || groups == s.C {
		return groupNormKernel(c, s, nil), nil
	}
	return groupNormKernel(c, s, func(v []float32, scratch []float32) []float32 {
		per := s.C / s.Groups
		for i := range s.C {
			scratch[i] = v[i/per]
		}
		return scratch[:s.C]
	}), nil
}

func inferFusedGroupNorm(c *NodeCtx) error {
	if err := checkArity(c, 1, 3, 1, 1); err != nil {
		return err
	}
	if err := checkFloat32(c); err != nil {
		return err
	}
	if _, err := actOf(c, ""); err != nil {
		return err
	}
	groups := c.AttrInt("num_groups", 0)
	in := c.In
	for i := 1; i < len(in); i++ { // gamma and beta may have any shape of C elements
		if c.Has(i) && len(c.In[0].Shape) > 1 && in[i].Elems() != c.In[0].Shape[1] {
			return badInput(c, i, "has shape %v, want %d elements", in[i].Shape, c.In[0].Shape[1])
		}
	}
	c.In = in[:1]
	err := inferChannelNorm(c, &groups)
	c.In = in
	return err
}

func compileFusedGroupNorm(c *NodeCtx) (Kernel, error) {
	s := groupSpec(c, int(c.AttrInt("num_groups", 1)))
	act, err := actOf(c, "")
	if err != nil {
		return Kernel{}, err
	}
	s.Act = act
	return groupNormKernel(c, s, nil), nil
}

// groupNormKernel reads scale and bias from inputs 1 and 2; spread widens per-group vectors into scratch.
func groupNormKernel(c *NodeCtx, s kernel.GroupNormSpec, spread func(v, scratch []float32) []float32) Kernel {
	if s.N*s.C*s.HW == 0 {
		return run(func(*Frame) {})
	}
	if c.In[0].DType == tensor.F64 {
		return plainGroupNorm(s, spread != nil)
	}
	k := Kernel{Run: func(f *Frame) error {
		s := s
		s.Gamma, s.Beta = optional[float32](f, 1), optional[float32](f, 2)
		if spread != nil {
			s.Gamma, s.Beta = spread(s.Gamma, f.Scratch[:s.C]), spread(s.Beta, f.Scratch[s.C:2*s.C])
		}
		kernel.GroupNorm(f.Pool, view[float32](f.Out[0]), view[float32](f.In[0]), s)
		return nil
	}}
	if spread != nil {
		k.Scratch = 2 * s.C
	}
	return k
}

// plainGroupNorm is the float64 form; perGroup says that scale and bias have one entry per group.
func plainGroupNorm(s kernel.GroupNormSpec, perGroup bool) Kernel {
	per := s.C / s.Groups
	at := func(v []float64, channel int, def float64) float64 {
		switch {
		case v == nil:
			return def
		case perGroup:
			return v[channel/per]
		}
		return v[channel]
	}
	return run(func(f *Frame) {
		dst, src := view[float64](f.Out[0]), view[float64](f.In[0])
		gamma, beta := optional[float64](f, 1), optional[float64](f, 2)
		for g := range s.N * s.Groups {
			x, y := src[g*per*s.HW:][:per*s.HW], dst[g*per*s.HW:][:per*s.HW]
			mean, rstd := rowMoments(x, float64(s.Eps))
			for i, v := range x {
				ch := g%s.Groups*per + i/s.HW
				y[i] = (v-mean)*rstd*at(gamma, ch, 1) + at(beta, ch, 0)
			}
		}
	})
}
