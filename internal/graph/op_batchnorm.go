package graph

import (
	"math"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{
		Name: "BatchNormalization", Since: 9, InPlace: []int{0}, Infer: inferBatchNorm, Compile: compileBatchNorm,
		VJP: batchNormVJP,
	})
}

// inferBatchNorm: in inference the statistics are inputs. In training (opset 14) they are the batch's own, and outputs 1
// and 2 are the running ones; before, the attributes did not say which of the two a node with more outputs means.
func inferBatchNorm(c *NodeCtx) error {
	outs := 5
	if c.Node.Opset >= 14 {
		outs = 3
	}
	if err := checkArity(c, 5, 5, 1, outs); err != nil {
		return err
	}
	if len(c.Node.Outputs) > 1 && !trainingMode(c) {
		return c.Refuse("training_mode", "running statistics as results outside training mode")
	}
	if err := checkClass(c, 0, classFloat); err != nil {
		return err
	}
	if err := checkRank(c, 0, 2, maxRank); err != nil {
		return err
	}
	for i := 1; i < 5; i++ {
		if storage(c.In[i].DType) != storage(c.In[0].DType) {
			return c.Refuse("", "statistics of another type than the input")
		}
		if err := checkShape(c, i, c.In[0].Shape[1]); err != nil {
			return err
		}
	}
	return setOut(c, c.In[0].Type, c.In[3].Type, c.In[4].Type)
}

// trainingMode reports whether a BatchNormalization node normalises with the batch's own statistics.
func trainingMode(c *NodeCtx) bool { return c.Node.Opset >= 14 && c.AttrInt("training_mode", 0) != 0 }

func compileBatchNorm(c *NodeCtx) (Kernel, error) {
	s := groupSpec(c, 1)
	if trainingMode(c) {
		momentum := float64(c.AttrFloat("momentum", 0.9))
		if c.In[0].DType == tensor.F64 {
			return trainBatchNorm[float64](s, momentum), nil
		}
		return trainBatchNorm[float32](s, momentum), nil
	}
	if c.In[0].DType == tensor.F64 {
		return batchNorm[float64](s), nil
	}
	return batchNorm[float32](s), nil
}

func batchNorm[T float](s kernel.GroupNormSpec) Kernel {
	return run(func(f *Frame) {
		dst, src := view[T](f.Out[0]), view[T](f.In[0])
		scale, bias, mean, variance := view[T](f.In[1]), view[T](f.In[2]), view[T](f.In[3]), view[T](f.In[4])
		rowTasks(f.Pool, s.N*s.C, s.HW, func(lo, hi int) {
			for plane := lo; plane < hi; plane++ {
				ch := plane % s.C
				m := float64(scale[ch]) / math.Sqrt(float64(variance[ch])+float64(s.Eps))
				for i := plane * s.HW; i < (plane+1)*s.HW; i++ {
					dst[i] = T((float64(src[i])-float64(mean[ch]))*m + float64(bias[ch]))
				}
			}
		})
	})
}

// trainBatchNorm normalises each channel with its mean and variance over the batch, and mixes these into the running ones:
// running·momentum + batch·(1-momentum).
func trainBatchNorm[T float](s kernel.GroupNormSpec, momentum float64) Kernel {
	return run(func(f *Frame) {
		dst, src := view[T](f.Out[0]), view[T](f.In[0])
		scale, bias := view[T](f.In[1]), view[T](f.In[2])
		rowTasks(f.Pool, s.C, s.N*s.HW, func(lo, hi int) {
			for ch := lo; ch < hi; ch++ {
				mean, variance := channelMoments(src, s, ch)
				for i, batch := range []float64{mean, variance} {
					if 1+i < len(f.Out) {
						old := float64(view[T](f.In[3+i])[ch])
						view[T](f.Out[1+i])[ch] = T(old*momentum + batch*(1-momentum))
					}
				}
				m := float64(scale[ch]) / math.Sqrt(variance+float64(s.Eps))
				eachOfChannel(s, ch, func(i int) { dst[i] = T((float64(src[i])-mean)*m + float64(bias[ch])) })
			}
		})
	})
}

// channelMoments is the mean and the (population) variance of a channel.
func channelMoments[T float](src []T, s kernel.GroupNormSpec, ch int) (mean, variance float64) {
	n := float64(s.N * s.HW)
	eachOfChannel(s, ch, func(i int) { mean += float64(src[i]) / n })
	eachOfChannel(s, ch, func(i int) { variance += (float64(src[i]) - mean) * (float64(src[i]) - mean) / n })
	return mean, variance
}

// eachOfChannel visits the offsets of a channel in [N, C, HW].
func eachOfChannel(s kernel.GroupNormSpec, ch int, f func(i int)) {
	for n := range s.N {
		for i := range s.HW {
			f((n*s.C+ch)*s.HW + i)
		}
	}
}
