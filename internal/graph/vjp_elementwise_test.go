package graph

import (
	"strings"
	"testing"

	"winnow/internal/tensor"
)

func TestVJPUnary(t *testing.T) {
	for _, op := range strings.Fields(`Abs Neg Exp Sin Cos Atan Sinh Cosh Asinh Erf Sigmoid Tanh Relu Softplus Softsign
		HardSwish Mish Sign Floor Ceil Round Identity`) {
		checkRules(t, rule(op, nil, normal64(3, 3, 5)).at(18), rule(op, nil, normal64(4)).at(21))
	}
	checkRules(t,
		rule("Tan", nil, inside64(1, 1.2, 3, 5)), rule("Log", nil, positive64(2, 3, 5)), rule("Sqrt", nil, positive64(3, 15)),
		rule("Reciprocal", nil, positive64(4, 3, 5)), rule("Asin", nil, inside64(5, 0.9, 7)), rule("Acos", nil, inside64(6, 0.9, 7)),
		rule("Atanh", nil, inside64(7, 0.9, 7)),
	)
}

func TestVJPActivations(t *testing.T) {
	alpha := func(v float32) map[string]Attr { return map[string]Attr{"alpha": FloatAttr(v)} }
	tanh := map[string]Attr{"approximate": StringAttr("tanh")}
	x := normal64(9, 3, 7)
	checkRules(t,
		rule("LeakyRelu", nil, x), rule("LeakyRelu", alpha(0.3), x), rule("ThresholdedRelu", alpha(0.4), x), rule("Elu", alpha(1.3), x),
		rule("Selu", nil, x), rule("Celu", alpha(0.6), x), rule("HardSigmoid", alpha(0.35), x), rule("HardSigmoid", nil, x),
		rule("Shrink", map[string]Attr{"lambd": FloatAttr(0.3), "bias": FloatAttr(0.1)}, x), rule("Swish", nil, x).at(24),
		rule("Swish", alpha(1.7), x).at(24), rule("Gelu", nil, x).at(20), rule("Gelu", tanh, x).at(20), rule("PRelu", nil, x, normal64(1, 7)),
		rule("PRelu", nil, normal64(2, 2, 3, 4), normal64(3, 3, 1)), rule("winnow.Silu", nil, x), rule("winnow.Gelu", nil, x),
		rule("winnow.Gelu", tanh, x), rule("winnow.QuickGelu", nil, x), rule("winnow.QuickGelu", alpha(0.9), x),
		rule("Dropout", nil, x),
	)
}

func TestVJPBinary(t *testing.T) {
	for _, op := range []string{"Add", "Sub", "Mul", "Max", "Min", "Sum", "Mean"} {
		checkRules(t, rule(op, nil, normal64(1, 2, 3, 5), normal64(2, 5)), rule(op, nil, normal64(3, 3, 1), normal64(4, 2, 1, 5)),
			rule(op, nil, normal64(5), normal64(6, 3)))
	}
	checkRules(t, rule("Div", nil, normal64(1, 2, 3, 5), positive64(2, 3, 1)), rule("Div", nil, normal64(1, 3), positive64(2, 2, 3)))
	for _, op := range []string{"Max", "Min", "Sum", "Mean"} {
		checkRules(t, rule(op, nil, normal64(1, 2, 3), normal64(2, 3), normal64(3, 2, 1), normal64(4)), rule(op, nil, normal64(1, 4)))
	}
	fmod := map[string]Attr{"fmod": IntAttr(1)}
	checkRules(t,
		rule("Pow", nil, positive64(1, 2, 3), normal64(2, 3)), rule("Pow", nil, positive64(3, 3), normal64(4, 2, 1)),
		rule("Pow", nil, positive64(5, 4), intsAs(nil, 3)),
		rule("Mod", fmod, normal64(1, 2, 3), positive64(2, 3)), rule("Mod", nil, normal64(1, 2, 3), positive64(2, 3)).at(28),
		rule("Mod", nil, normal64(1, 2, 3), normal64(5, 2, 1)).at(28),
		rule("Where", nil, intsAsBools(2, 3), normal64(1, 3), normal64(2, 2, 1)),
		rule("Clip", nil, normal64(1, 3, 5), f64(-0.4), f64(0.9)), rule("Clip", nil, normal64(1, 3, 5), absent, f64(0.1)),
		rule("Clip", nil, normal64(1, 3, 5), f64(0.9), f64(-0.4)),
		rule("Clip", map[string]Attr{"min": FloatAttr(-0.4), "max": FloatAttr(0.5)}, normal64(1, 15)).at(10),
		rule("CumSum", nil, normal64(1, 2, 4), i64s(1)), rule("CumSum", map[string]Attr{"reverse": IntAttr(1), "exclusive": IntAttr(1)}, normal64(1, 4, 3), i64s(0)),
	)
}

// TestVJPPowConstants covers the short forms for constant exponents.
func TestVJPPowConstants(t *testing.T) {
	for _, e := range []float64{0, 1, 2, 3, 0.5, -1, -2, 1.5} {
		checkVJP(t, gradCase{
			name: "pow",
			build: func(b *Builder, dt tensor.DType) {
				exp := f64(e)
				if dt == tensor.F32 {
					exp = f32(float32(e))
				}
				b.Output("y", b.Op("Pow", b.Input("x", dt, 2, 5), b.Const(exp)))
			},
			in: map[string]tensor.Tensor{"x": positive64(1, 2, 5)},
		})
	}
}

func f64(v float64) tensor.Tensor { return tensor.FromF64([]float64{v}) }

// intsAsBools alternates true and false irregularly.
func intsAsBools(shape ...int) tensor.Tensor {
	x := tensor.New(tensor.Bool, shape...)
	for i := range x.Bools() {
		x.Bools()[i] = i*i%3 == 1
	}
	return x
}
