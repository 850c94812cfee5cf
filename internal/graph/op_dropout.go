package graph

import "winnow/internal/tensor"

func init() {
	Register(Operator{Name: "Dropout", Since: 7, Infer: inferDropout, Compile: compileDropout, VJP: elementwise(passGrad)})
	for _, name := range []string{"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"} {
		Register(Operator{Name: name, Since: 1, Random: true, Infer: refuseRandom, Compile: func(c *NodeCtx) (Kernel, error) {
			return Kernel{}, refuseRandom(c)
		}})
	}
}

// refuseRandom: noise belongs to the sampler, which draws it from a stated seed; a network that draws its own could not
// be repeated.
func refuseRandom(c *NodeCtx) error {
	return c.Refuse("", "draws random numbers inside the network; export the deterministic part (a VAE encoder, say, up to "+
		"its moments) and let the pipeline add the noise")
}

// inferDropout covers inference, where dropout passes its input on and the mask is all true.
func inferDropout(c *NodeCtx) error {
	hi := 3
	if c.Node.Opset < 12 {
		hi = 1
	}
	if err := checkArity(c, 1, hi, 1, 2); err != nil {
		return err
	}
	if err := checkClass(c, 0, classFloat); err != nil {
		return err
	}
	if c.Has(2) {
		t := c.In[2].Const
		if t == nil || t.DType != tensor.Bool || t.Elems() != 1 {
			return c.Refuse("training_mode", "must be a constant")
		}
		if t.Data[0] != 0 && !zeroRatio(c) {
			return c.Refuse("training_mode", "dropout of a training graph")
		}
	}
	return setOut(c, c.In[0].Type, Type{tensor.Bool, c.In[0].Shape})
}

// zeroRatio reports whether the constant ratio input is 0, which makes training mode deterministic.
func zeroRatio(c *NodeCtx) bool {
	r, ok := c.ConstScalar(1)
	return ok && r == 0
}

func compileDropout(*NodeCtx) (Kernel, error) {
	return run(func(f *Frame) {
		copyBytes(f.Pool, f.Out[0].Data, f.In[0].Data)
		if len(f.Out) > 1 {
			fillBytes(f.Out[1].Data, []byte{1})
		}
	}), nil
}

// passGrad hands the cotangent on as it is.
func passGrad(b *Backward) ValueID { return b.G(0) }
