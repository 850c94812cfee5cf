package graph

import (
	"testing"
)

// noGradient lists the operators without a reverse pass, and why.
var noGradient = map[string]string{
	"And": "bool", "Or": "bool", "Xor": "bool", "Not": "bool", "Equal": "bool", "Greater": "bool", "GreaterOrEqual": "bool",
	"Less": "bool", "LessOrEqual": "bool", "IsInf": "bool", "IsNaN": "bool",
	"ArgMax": "indices", "ArgMin": "indices", "NonZero": "indices",
	"BitShift": "integers", "BitwiseAnd": "integers", "BitwiseNot": "integers", "BitwiseOr": "integers", "BitwiseXor": "integers",
	"MatMulInteger": "integers",
	"Constant":      "no operands", "ConstantOfShape": "no floating-point operands", "Range": "constant operands only",
	"QuantizeLinear": "rounds to integers", "DequantizeLinear": "of integers; scales of a file are not trained",
	"DynamicQuantizeLinear": "rounds to integers",
	"GridSample":            "no network of the field warps pictures", "CumProd": "in no network of the field",
	"winnow.ActGrad": "a gradient itself", "winnow.AttentionGrad": "a gradient itself", "winnow.GEGLUGrad": "a gradient itself",
	"winnow.GroupNormGrad": "a gradient itself", "winnow.LayerNormGrad": "a gradient itself",
}

// TestRegistry_EveryOperatorHasAGradient keeps operators from being added without one: an operator has a rule, is flat, is
// replaced by others, or stands in noGradient with the reason.
func TestRegistry_EveryOperatorHasAGradient(t *testing.T) {
	known := map[string]bool{}
	for key, entries := range registry {
		name := key.name
		if key.domain != "" {
			name = key.domain + "." + name
		}
		known[name] = true
		for _, op := range entries {
			covered := op.VJP != nil || op.Flat
			exempt := op.ShapeOnly || op.Random || op.Lower != nil
			switch reason := noGradient[name]; {
			case covered && reason != "":
				t.Errorf("%s since %d has a gradient and is listed as having none (%s)", name, op.Since, reason)
			case !covered && !exempt && reason == "":
				t.Errorf("%s since %d has no gradient; give it a VJP or Flat, or list it in noGradient with the reason", name, op.Since)
			}
		}
	}
	for name := range noGradient {
		if !known[name] {
			t.Errorf("noGradient lists %s, which is not registered", name)
		}
	}
}
