package graph

import "fmt"

func init() { Register(Operator{Name: "AffineGrid", Since: 20, Lower: lowerAffineGrid}) }

// lowerAffineGrid makes the grid of GridSample for affine maps theta [N,k,k+1] and a size [N,C,D1,…,Dk]: the product of
// theta with the homogeneous coordinates of every place of the picture.
func lowerAffineGrid(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkClass(l.NodeCtx, 0, classFloat); err != nil {
		return err
	}
	size, err := constSizes(l.NodeCtx, 1)
	if err != nil {
		return err
	}
	k := len(size) - 2
	if k < 2 || k > 3 {
		return badInput(l.NodeCtx, 1, "of %d entries is no size of pictures", len(size))
	}
	if err := checkShape(l.NodeCtx, 0, size[0], k, k+1); err != nil {
		return err
	}
	places := numElems(size[2:])
	if err := checkMade(l.NodeCtx, places, k+1); err != nil {
		return err
	}
	base := make([]float32, 0, places*(k+1))
	for i := range places {
		for d := k - 1; d >= 0; d-- { // innermost first
			n := size[2+d]
			at := i / numElems(size[3+d:]) % n
			base = append(base, gridCoordinate(at, n, l.AttrInt("align_corners", 0) != 0))
		}
		base = append(base, 1)
	}
	grid := l.Op("MatMul", l.Floats(l.In[0].DType, base, places, k+1), l.Transpose(l.Arg(0), 0, 2, 1))
	l.Result(0, l.Reshape(grid, append(append([]int{size[0]}, size[2:]...), k)...))
	return nil
}

// gridCoordinate is the coordinate of element i of n, -1 and 1 being the middles of the outer ones, or their outer edges.
func gridCoordinate(i, n int, alignCorners bool) float32 {
	if !alignCorners {
		return float32((2*float64(i)+1)/float64(n) - 1)
	}
	if n == 1 {
		return -1
	}
	return float32(2*float64(i)/float64(n-1) - 1)
}

// constSizes reads an input as sizes, whose product is checked.
func constSizes(c *NodeCtx, i int) ([]int, error) {
	v, err := c.ConstInts(i)
	if err != nil {
		return nil, err
	}
	sizes := make([]int, len(v))
	for k, x := range v {
		if x < 1 || x > maxElems {
			return nil, badInput(c, i, "has a size of %d", x)
		}
		sizes[k] = int(x)
	}
	if _, ok := elemCount(sizes); !ok {
		return nil, badInput(c, i, "asks for %v elements, too many", sizes)
	}
	return sizes, nil
}

// maxMade bounds the constants that an expansion makes from sizes in a file: 256 MiB.
const maxMade = 1 << 26

// checkMade refuses to make a constant of a shape beyond maxMade.
func checkMade(c *NodeCtx, shape ...int) error {
	if n, ok := elemCount(shape); !ok || n > maxMade {
		return c.Refuse("", fmt.Sprintf("needs a constant of shape %v, more than any network does", shape))
	}
	return nil
}
