package graph

import (
	"math"

	"winnow/internal/kernel"
)

func init() {
	Register(Operator{
		Name: "LayerNormGrad", Domain: Domain, Since: 1, InPlace: []int{2}, Infer: inferLayerNormGrad, Compile: compileLayerNormGrad,
	})
}

// inferLayerNormGrad takes x, gamma (optional) and dy of LayerNormalization, or of RMSNormalization when attribute rms is
// 1, with the attributes axis and epsilon of those. Outputs: dx, and as far as the node names them the gradients of scale
// and bias as lists of the normalised dimensions' elements.
func inferLayerNormGrad(c *NodeCtx) error {
	if err := checkArity(c, 1, 3, 1, 3); err != nil {
		return err
	}
	if !c.Has(2) {
		return badInput(c, 2, "is missing")
	}
	if err := checkFloat32(c); err != nil {
		return err
	}
	axis, _, cols, err := normRows(c)
	if err != nil {
		return err
	}
	if err := checkAffine(c, 1, axis); err != nil {
		return err
	}
	if !c.In[2].Equal(c.In[0].Type) {
		return badInput(c, 2, "is %v, want %v", c.In[2].Type, c.In[0].Type)
	}
	affine := Type{c.In[0].DType, []int{cols}}
	return setOut(c, c.In[0].Type, affine, affine)
}

func compileLayerNormGrad(c *NodeCtx) (Kernel, error) {
	_, rows, cols, err := normRows(c)
	if err != nil {
		return Kernel{}, err
	}
	s := layerNormGrad{rows, cols, c.AttrFloat("epsilon", 1e-5), c.AttrInt("rms", 0) != 0}
	k := Kernel{Run: func(f *Frame) error {
		x, dy := view[float32](f.In[0]), view[float32](f.In[2])
		if len(f.Out) > 1 { // first, because dx may take dy's place
			dgamma, dbeta := view[float32](f.Out[1]), []float32(nil)
			if len(f.Out) > 2 {
				dbeta = view[float32](f.Out[2])
			}
			s.affine(f, dgamma, dbeta, x, dy)
		}
		kernel.LayerNormBackward(f.Pool, view[float32](f.Out[0]), x, dy, rows, cols, optional[float32](f, 1), s.eps, s.rms)
		return nil
	}}
	if len(c.Out) > 1 {
		k.Scratch = 2 * cols * affineBlocks
	}
	return k, nil
}

// affineBlocks is the number of blocks of rows whose sums are taken side by side. It does not depend on the number of
// threads, so that the order of summation does not.
const affineBlocks = 16

type layerNormGrad struct {
	rows, cols int
	eps        float32
	rms        bool
}

// affine adds up dy·x̂ and dy over the rows; x̂ is the normalised row. dbeta may be nil.
func (s layerNormGrad) affine(f *Frame, dgamma, dbeta, x, dy []float32) {
	n := s.cols
	clear(f.Scratch[:2*n*affineBlocks])
	f.Pool.Run(affineBlocks, func(_, i int) {
		sums := f.Scratch[2*n*i:][:2*n]
		for r := s.rows * i / affineBlocks; r < s.rows*(i+1)/affineBlocks; r++ {
			s.addRow(sums[:n], sums[n:], x[r*n:][:n], dy[r*n:][:n])
		}
	})
	clear(dgamma)
	clear(dbeta)
	for i := range affineBlocks {
		sums := f.Scratch[2*n*i:][:2*n]
		kernel.Add(dgamma, dgamma, sums[:n])
		if dbeta != nil {
			kernel.Add(dbeta, dbeta, sums[n:])
		}
	}
}

func (s layerNormGrad) addRow(dgamma, dbeta, x, dy []float32) {
	mean := 0.0
	if !s.rms {
		mean = kernel.Sum(x) / float64(len(x))
	}
	rstd := 1 / math.Sqrt(kernel.SumSquares(x, mean)/float64(len(x))+float64(s.eps))
	for j, d := range dy {
		dgamma[j] += float32((float64(x[j]) - mean) * rstd * float64(d))
		dbeta[j] += d
	}
}
