package graph

import "winnow/internal/tensor"

// hasStrings reports whether the first operand holds strings.
func hasStrings(c *NodeCtx) bool { return len(c.In) > 0 && c.In[0].DType == tensor.String }

// inferEqualStrings compares strings that are known when the graph is compiled; programs hold none while they run.
func inferEqualStrings(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkSameType(c, 0, 2); err != nil {
		return err
	}
	for i := range 2 {
		if c.In[i].Const == nil {
			return c.Refuse("", "strings that are not known when the graph is compiled")
		}
	}
	shape, err := inferBroadcast(c, 0, 2)
	if err != nil {
		return err
	}
	return out1(c, tensor.Bool, shape)
}

func equalStrings(c *NodeCtx) Kernel {
	x, y := c.In[0].Const.Strings(), c.In[1].Const.Strings()
	b := newBcast(c.Out[0].Shape, c.In[0].Shape, c.In[1].Shape)
	return run(func(f *Frame) {
		dst := view[bool](f.Out[0])
		b.rows(0, b.total, func(at, n int, off []int) {
			for k := range n {
				dst[at+k] = x[off[0]+k*b.step[0]] == y[off[1]+k*b.step[1]]
			}
		})
	})
}
