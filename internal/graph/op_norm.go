package graph

import (
	"math"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

func init() {
	// ONNX has it from opset 17 on; ONNX Runtime's optimiser writes the same operator into files of older opsets.
	Register(Operator{
		Name: "LayerNormalization", Since: 1, InPlace: []int{0}, Infer: inferLayerNorm, Compile: compileLayerNorm,
		VJP: layerNormVJP,
	})
	Register(Operator{
		Name: "RMSNormalization", Since: 23, InPlace: []int{0}, Infer: inferRMSNorm, Compile: compileRMSNorm, VJP: rmsNormVJP,
	})
}

// normRows returns the rows and columns of a normalisation over the dimensions from attribute axis on.
func normRows(c *NodeCtx) (axis, rows, cols int, err error) {
	if err := checkClass(c, 0, classFloat); err != nil {
		return 0, 0, 0, err
	}
	shape := c.In[0].Shape
	if axis, err = normAxis(c, c.AttrInt("axis", -1), len(shape)); err != nil {
		return 0, 0, 0, err
	}
	return axis, numElems(shape[:axis]), numElems(shape[axis:]), nil
}

// checkAffine requires input i (scale or bias) to broadcast to the normalised dimensions.
func checkAffine(c *NodeCtx, i, axis int) error {
	if !c.Has(i) {
		return nil
	}
	if err := checkClass(c, i, classFloat); err != nil {
		return err
	}
	if (c.In[i].DType == tensor.F64) != (c.In[0].DType == tensor.F64) {
		return c.Refuse("", "float64 mixed with a narrower type")
	}
	full := c.In[0].Shape
	if s, ok := broadcastShape(full, c.In[i].Shape); !ok || !equalShape(s, full) {
		return badInput(c, i, "of shape %v does not broadcast to %v", c.In[i].Shape, full)
	}
	if norm := full[axis:]; c.In[i].Elems() != numElems(norm) || len(c.In[i].Shape) > len(norm) && !leadingOnes(c.In[i].Shape, len(norm)) {
		return c.Refuse("", "scale or bias of another shape than the normalised dimensions")
	}
	return nil
}

func leadingOnes(shape []int, keep int) bool { return numElems(shape[:len(shape)-keep]) == 1 }

// inferLayerNorm: outputs Mean and InvStdDev have the stash type and size 1 along the normalised dimensions.
func inferLayerNorm(c *NodeCtx) error {
	if err := checkArity(c, 2, 3, 1, 3); err != nil {
		return err
	}
	axis, _, _, err := normRows(c)
	if err != nil {
		return err
	}
	for i := 1; i < 3; i++ {
		if err := checkAffine(c, i, axis); err != nil {
			return err
		}
	}
	stash := tensor.F32
	if v := c.AttrInt("stash_type", 1); v != 1 {
		if stash = tensor.BF16; v != 16 {
			return c.Refuse("stash_type", "want 1 (float32) or 16 (bfloat16)")
		}
	}
	stat := append([]int{}, c.In[0].Shape...)
	for i := axis; i < len(stat); i++ {
		stat[i] = 1
	}
	return setOut(c, c.In[0].Type, Type{stash, stat}, Type{stash, stat})
}

func compileLayerNorm(c *NodeCtx) (Kernel, error) {
	_, rows, cols, err := normRows(c)
	if err != nil {
		return Kernel{}, err
	}
	eps := c.AttrFloat("epsilon", 1e-5)
	outs := len(c.Out)
	if storage(c.In[0].DType) == tensor.F64 {
		return plainLayerNorm[float64](rows, cols, outs, float64(eps)), nil
	}
	if outs > 1 {
		return plainLayerNorm[float32](rows, cols, outs, float64(eps)), nil
	}
	return run(func(f *Frame) {
		kernel.LayerNorm(f.Pool, view[float32](f.Out[0]), view[float32](f.In[0]), rows, cols, optional[float32](f, 1),
			optional[float32](f, 2), eps)
	}), nil
}

// optional returns the elements of input i, nil when it is absent.
func optional[T any](f *Frame, i int) []T {
	if i >= len(f.In) {
		return nil
	}
	return view[T](f.In[i])
}

// plainLayerNorm also writes the statistics that outputs 1 and 2 ask for.
func plainLayerNorm[T float](rows, cols, outs int, eps float64) Kernel {
	return run(func(f *Frame) {
		dst, src := view[T](f.Out[0]), view[T](f.In[0])
		gamma, beta := optional[T](f, 1), optional[T](f, 2)
		rowTasks(f.Pool, rows, cols, func(lo, hi int) {
			for r := lo; r < hi; r++ {
				mean, rstd := rowMoments(src[r*cols:][:cols], eps)
				normaliseRow(dst[r*cols:][:cols], src[r*cols:][:cols], gamma, beta, mean, rstd)
				if outs > 1 {
					view[float32](f.Out[1])[r] = float32(mean)
				}
				if outs > 2 {
					view[float32](f.Out[2])[r] = float32(rstd)
				}
			}
		})
	})
}

// rowMoments returns mean and 1/√(variance+eps), the variance about the mean.
func rowMoments[T float](x []T, eps float64) (mean, rstd float64) {
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(len(x))
	variance := 0.0
	for _, v := range x {
		d := float64(v) - mean
		variance += d * d
	}
	return mean, 1 / math.Sqrt(variance/float64(len(x))+eps)
}

func normaliseRow[T float](dst, src, gamma, beta []T, mean, rstd float64) {
	for i, v := range src {
		y := (float64(v) - mean) * rstd
		if gamma != nil {
			y *= float64(gamma[i])
		}
		if beta != nil {
			y += float64(beta[i])
		}
		dst[i] = T(y)
	}
}

func inferRMSNorm(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	axis, _, _, err := normRows(c)
	if err != nil {
		return err
	}
	if err := checkAffine(c, 1, axis); err != nil {
		return err
	}
	return out1(c, c.In[0].DType, c.In[0].Shape)
}

func compileRMSNorm(c *NodeCtx) (Kernel, error) {
	_, rows, cols, err := normRows(c)
	if err != nil {
		return Kernel{}, err
	}
	eps := c.AttrFloat("epsilon", 1e-5)
	if c.In[0].DType == tensor.F64 {
		return plainRMSNorm(rows, cols, float64(eps)), nil
	}
	return run(func(f *Frame) {
		kernel.RMSNorm(f.Pool, view[float32](f.Out[0]), view[float32](f.In[0]), rows, cols, view[float32](f.In[1]), eps)
	}), nil
}

func plainRMSNorm(rows, cols int, eps float64) Kernel {
	return run(func(f *Frame) {
		dst, src, gamma := view[float64](f.Out[0]), view[float64](f.In[0]), view[float64](f.In[1])
		for r := range rows {
			x := src[r*cols:][:cols]
			sum := 0.0
			for _, v := range x {
				sum += v * v
			}
			normaliseRow(dst[r*cols:][:cols], x, gamma, nil, 0, 1/math.Sqrt(sum/float64(cols)+eps))
		}
	})
}
