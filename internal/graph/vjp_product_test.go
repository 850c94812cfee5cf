package graph

import (
	"fmt"
	"testing"

	"winnow/internal/tensor"
)

// nodeCase is the gradient of one node of the standard domain with respect to all of its inputs, which are drawn.
func nodeCase(name, op string, attrs map[string]Attr, shapes ...[]int) gradCase {
	c := gradCase{name: name, in: map[string]tensor.Tensor{}}
	for i, s := range shapes {
		c.in[fmt.Sprintf("x%d", i)] = normal64(uint64(i+1), s...)
	}
	c.build = func(b *Builder, dt tensor.DType) {
		var ins []ValueID
		for i, s := range shapes {
			ins = append(ins, b.Input(fmt.Sprintf("x%d", i), dt, s...))
		}
		b.Output("y", b.OpA(op, attrs, ins...))
	}
	return c
}

// checkNodes runs every case as a subtest.
func checkNodes(t *testing.T, cases ...gradCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { checkVJP(t, c) })
	}
}

func TestVJPMatMul(t *testing.T) {
	for _, s := range [][2][]int{
		{{3, 5}, {5, 4}},
		{{5}, {5}},
		{{5}, {5, 4}},
		{{3, 5}, {5}},
		{{2, 3, 5}, {5}},
		{{5}, {2, 5, 4}},
		{{2, 3, 5}, {5, 4}},
		{{2, 2, 3, 5}, {1, 5, 4}},
		{{3, 5}, {2, 5, 4}},
		{{2, 1, 3, 5}, {3, 5, 4}},
		{{3, 2, 5}, {3, 5, 1}},
	} {
		checkNodes(t, nodeCase(fmt.Sprint(s), "MatMul", nil, s[0], s[1]))
	}
}

// TestVJPMatMul_SharedWeight: batches are one tall product, no batch of small ones that is summed afterwards.
func TestVJPMatMul_SharedWeight(t *testing.T) {
	c := nodeCase("shared", "MatMul", nil, []int{2, 3, 5}, []int{5, 4})
	g, err := VJP(c.graph(t, tensor.F32), typesOf(toF32(c.in)), GradientSpec{Wrt: []string{"x0", "x1"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range g.Nodes {
		if n.Op == "ReduceSum" {
			t.Errorf("the gradient sums over batches by %s", n.Op)
		}
	}
}

func TestVJPGemm(t *testing.T) {
	for i := range 4 {
		a, w := []int{3, 5}, []int{5, 4}
		if i&1 != 0 {
			a = []int{5, 3}
		}
		if i&2 != 0 {
			w = []int{4, 5}
		}
		attrs := map[string]Attr{
			"transA": IntAttr(i & 1), "transB": IntAttr(i >> 1), "alpha": FloatAttr(0.75), "beta": FloatAttr(-1.5),
		}
		for _, bias := range [][]int{nil, {4}, {3, 1}, {3, 4}, {}, {1, 1}} {
			shapes := [][]int{a, w, bias}
			if bias == nil {
				shapes = shapes[:2]
			}
			checkNodes(t, nodeCase(fmt.Sprintf("%d/%v", i, shapes), "Gemm", attrs, shapes...))
		}
	}
	old := nodeCase("opset 9", "Gemm", nil, []int{3, 5}, []int{5, 4}, []int{4})
	old.opset = 9
	checkNodes(t, old)
}

func TestVJPEinsum(t *testing.T) {
	for _, c := range []struct {
		equation string
		shapes   [][]int
	}{
		{"bhid,bhjd->bhij", [][]int{{2, 3, 4, 5}, {2, 3, 2, 5}}},
		{"ij,jk", [][]int{{3, 2}, {2, 4}}},
		{"...ij,...jk->...ik", [][]int{{2, 1, 3, 2}, {3, 2, 4}}},
		{"ij->ji", [][]int{{3, 2}}},
		{"ij->", [][]int{{3, 2}}},
		{"ij,kl->i", [][]int{{3, 2}, {2, 4}}},
		{"i,i->", [][]int{{4}, {4}}},
		{"ii->i", [][]int{{4, 4}}},
		{"iji->j", [][]int{{3, 2, 3}}},
		{"ii,ij->j", [][]int{{3, 3}, {3, 2}}},
		{"ij,jk,kl->il", [][]int{{2, 3}, {3, 4}, {4, 2}}},
		{"bij,bij->b", [][]int{{2, 3, 1}, {2, 1, 4}}},
	} {
		attrs := map[string]Attr{"equation": StringAttr(c.equation)}
		checkNodes(t, nodeCase(c.equation, "Einsum", attrs, c.shapes...))
	}
}
