package graph

import (
	"errors"
	"testing"

	"winnow/internal/tensor"
)

func TestVJPNormalisations(t *testing.T) {
	x := normal64(1, 3, 4, 5)
	eps := map[string]Attr{"epsilon": FloatAttr(0.01)}
	groups := func(n int) map[string]Attr { return map[string]Attr{"num_groups": IntAttr(n)} }
	checkRules(t,
		rule("LayerNormalization", nil, x, normal64(2, 5), normal64(3, 5)), rule("LayerNormalization", axisAttr(1), x, normal64(2, 4, 5)),
		rule("LayerNormalization", eps, x, normal64(2, 1, 5), normal64(3, 1, 1, 5)).at(20), rule("LayerNormalization", axisAttr(0), x, x).at(21),
		rule("LayerNormalization", nil, normal64(4, 40, 3), normal64(2, 3), normal64(3, 3)),
		rule("RMSNormalization", nil, x, normal64(2, 5)).at(23), rule("RMSNormalization", withAttr(eps, "axis", IntAttr(-2)), x, normal64(2, 4, 5)).at(23),
		rule("InstanceNormalization", nil, x, normal64(2, 4), normal64(3, 4)),
		rule("InstanceNormalization", eps, normal64(4, 2, 3, 2, 5), normal64(5, 3), normal64(6, 3)).at(14),
		rule("GroupNormalization", groups(2), x, normal64(2, 2), normal64(3, 2)).at(18),
		rule("GroupNormalization", groups(4), x, normal64(2, 4), normal64(3, 4)).at(18),
		rule("GroupNormalization", groups(2), normal64(4, 2, 6, 3, 3), normal64(2, 6), normal64(3, 6)).at(21),
		rule("BatchNormalization", eps, x, normal64(2, 4), normal64(3, 4), normal64(4, 4), positive64(5, 4)),
		rule("MeanVarianceNormalization", nil, normal64(6, 2, 3, 4, 2)), rule("MeanVarianceNormalization", map[string]Attr{"axes": IntsAttr(-1)}, x),
		rule("LpNormalization", nil, x), rule("LpNormalization", map[string]Attr{"axis": IntAttr(1), "p": IntAttr(1)}, x),
		rule("LpNormalization", map[string]Attr{"axis": IntAttr(0), "p": IntAttr(2)}, x).at(18),
	)
}

// TestVJPNormalisationPartly wants single gradients, for which the rules do less.
func TestVJPNormalisationPartly(t *testing.T) {
	for _, wrt := range []string{"x0", "x1", "x2"} {
		for _, op := range []string{"LayerNormalization", "InstanceNormalization", "BatchNormalization"} {
			in := []tensor.Tensor{normal64(1, 2, 4, 4), normal64(2, 4), normal64(3, 4)}
			if op == "BatchNormalization" {
				in = append(in, normal64(4, 4), positive64(5, 4))
			}
			c := rule(op, nil, in...).gradCase()
			c.wrt = []string{wrt}
			checkVJP(t, c)
		}
	}
}

// TestVJPLayerNormStatisticsAreRefused: no network goes back through Mean and InvStdDev.
func TestVJPLayerNormStatisticsAreRefused(t *testing.T) {
	c := rule("LayerNormalization", nil, normal64(1, 2, 4), normal64(2, 4), normal64(3, 4)).results(3).gradCase()
	_, err := CompileGradient(c.graph(t, tensor.F32), typesOf(toF32(c.in)), GradientSpec{Wrt: []string{"x0"}}, nil)
	var u *UnsupportedError
	if !errors.As(err, &u) {
		t.Errorf("got %v, want an *UnsupportedError", err)
	}
	spec := GradientSpec{Wrt: []string{"x0"}, Outputs: []string{"y0"}}
	p, err := CompileGradient(c.graph(t, tensor.F32), typesOf(toF32(c.in)), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
}
