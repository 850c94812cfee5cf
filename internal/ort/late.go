package ort

import (
	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// lateRefusals refuses the variants that ONNX Runtime accepts when it loads a model and then refuses to run, so that a run
// does not fail half-way. They were found by the ONNX project's node tests (tests/conformance) on ONNX Runtime 1.32.
func lateRefusals(c *graph.NodeCtx) error {
	switch c.Node.Op {
	case "Attention":
		if c.Has(3) && c.Has(6) && lastDim(c, 3) < c.In[1].Shape[len(c.In[1].Shape)-2] {
			return c.Refuse("", "ONNX Runtime wants a mask as wide as the keys where their lengths are given")
		}
	case "ConvInteger":
		if c.Has(3) && c.In[3].Elems() > 1 {
			return c.Refuse("", "ONNX Runtime has no zero points per channel for the weights")
		}
	case "ReduceMax", "ReduceMin":
		if c.In[0].DType == tensor.Bool && c.In[0].Elems() == 0 {
			return c.Refuse("", "ONNX Runtime does not reduce an empty set of bool")
		}
	}
	return nil
}

func lastDim(c *graph.NodeCtx, i int) int {
	if s := c.In[i].Shape; len(s) > 0 {
		return s[len(s)-1]
	}
	return 1
}
