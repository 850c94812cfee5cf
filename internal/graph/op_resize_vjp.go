package graph

import "winnow/internal/tensor"

// resizeVJP: resizing is a linear map of every axis by itself, so its reverse applies the transposed maps. Enlarging by a
// whole factor to the nearest element, as the decoders of diffusion models do, is a sum over blocks.
func resizeVJP(b *Backward) error {
	p, err := planResize(b.NodeCtx)
	if err != nil {
		return err
	}
	g, in := b.G(0), b.In[0].Shape
	split, sums := []int{}, []int{} // shape with whole factors as axes of their own, and these axes
	for d, n := range in {
		if f := p.wholeFactor(d, n); f > 1 {
			sums = append(sums, len(split)+1)
			split = append(split, n, f)
		} else {
			split = append(split, p.out[d])
		}
	}
	if len(sums) > 0 {
		g = b.ReduceSum(b.Reshape(g, split...), false, sums...)
	}
	for d, n := range in {
		if !p.keeps(d, n) && p.wholeFactor(d, n) == 0 {
			g = b.alongAxis(b.constLike(p.transposedMap(d, n)), g, d)
		}
	}
	b.Give(0, g)
	return nil
}

// keeps reports whether dimension d stays as it is.
func (p *resizePlan) keeps(d, n int) bool {
	return p.scale[d] == 1 && p.out[d] == n && p.coords != "tf_crop_and_resize"
}

// wholeFactor is f when every element of dimension d simply shows f times in a row, 0 otherwise.
func (p *resizePlan) wholeFactor(d, n int) int {
	if p.mode != "nearest" || p.keeps(d, n) || n == 0 || p.out[d]%n != 0 {
		return 0
	}
	f := p.out[d] / n
	for x := range p.out[d] {
		if p.nearestOf(d, x, n) != x/f {
			return 0
		}
	}
	return f
}

// transposedMap is the matrix [n, out] whose column x holds the weights that output coordinate x of dimension d is made of.
func (p *resizePlan) transposedMap(d, n int) tensor.Tensor {
	out := p.out[d]
	m := tensor.New(tensor.F64, n, out)
	for x := range out {
		if p.mode == "nearest" {
			if at := p.nearestOf(d, x, n); at >= 0 {
				m.F64()[at*out+x] = 1
			}
			continue
		}
		t := p.tapsOf(d, x, n)
		for i, at := range t.at {
			m.F64()[at*out+x] += t.weight[i]
		}
	}
	return m
}
