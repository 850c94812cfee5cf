package graph

import (
	"winnow/internal/rng"
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "Dropout", Since: 7, Infer: inferDropout, Compile: compileDropout, VJP: dropoutVJP})
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

// inferDropout: in inference dropout passes its input on and the mask is all true. In training the mask follows from
// attribute seed, as ONNX's reference draws it; without a seed it would be another in every run.
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
	if _, err := trainingRatio(c); err != nil {
		return err
	}
	return setOut(c, c.In[0].Type, Type{tensor.Bool, c.In[0].Shape})
}

// trainingRatio is the share of elements that a node drops, 0 in inference.
func trainingRatio(c *NodeCtx) (float64, error) {
	if !c.Has(2) {
		return 0, nil
	}
	t := c.In[2].Const
	if t == nil || t.DType != tensor.Bool || t.Elems() != 1 {
		return 0, c.Refuse("training_mode", "must be a constant")
	}
	ratio := 0.5
	if c.Has(1) {
		r, ok := c.ConstScalar(1)
		if !ok {
			return 0, c.Refuse("ratio", "must be a constant")
		}
		ratio = r
	}
	_, seeded := c.Attr("seed")
	switch {
	case t.Data[0] == 0 || ratio == 0:
		return 0, nil
	case !(ratio > 0 && ratio < 1):
		return 0, badInput(c, 1, "is %v, want a number from 0 to below 1", ratio)
	case !seeded:
		return 0, c.Refuse("training_mode", "dropout of a training graph without attribute seed")
	}
	return ratio, nil
}

func compileDropout(c *NodeCtx) (Kernel, error) {
	ratio, err := trainingRatio(c)
	if err != nil {
		return Kernel{}, err
	}
	if ratio > 0 {
		if c.In[0].DType == tensor.F64 {
			return dropElements[float64](c, ratio), nil
		}
		return dropElements[float32](c, ratio), nil
	}
	return run(func(f *Frame) {
		copyBytes(f.Pool, f.Out[0].Data, f.In[0].Data)
		if len(f.Out) > 1 {
			fillBytes(f.Out[1].Data, []byte{1})
		}
	}), nil
}

// dropElements keeps an element where a number drawn from [0, 1) is ratio or more, and scales what is kept.
func dropElements[T float](c *NodeCtx, ratio float64) Kernel {
	seed := uint32(c.AttrInt("seed", 0))
	return run(func(f *Frame) {
		dst, src, draw := view[T](f.Out[0]), view[T](f.In[0]), rng.NewRandomState(seed)
		for i, v := range src {
			kept := draw.Float64() >= ratio
			dst[i] = 0
			if kept {
				dst[i] = T(float64(v) / (1 - ratio))
			}
			if len(f.Out) > 1 {
				view[bool](f.Out[1])[i] = kept
			}
		}
	})
}

// dropoutVJP covers inference.
func dropoutVJP(b *Backward) error {
	ratio, err := trainingRatio(b.NodeCtx)
	if err != nil {
		return err
	}
	if ratio > 0 {
		return b.Refuse("training_mode", "the gradient of dropout in training mode")
	}
	b.Give(0, b.G(0))
	return nil
}

// passGrad hands the cotangent on as it is.
func passGrad(b *Backward) ValueID { return b.G(0) }
