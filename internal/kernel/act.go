package kernel

import "fmt"

// Act names an activation that a kernel applies to its result before storing it.
type Act uint8

// The activations. The zero value leaves the result as it is.
const (
	ActNone      Act = iota
	ActSilu          // x·sigmoid(x)
	ActGelu          // x·Φ(x), by erf
	ActGeluTanh      // the tanh approximation of GELU
	ActQuickGelu     // x·sigmoid(1.702·x), used by CLIP
	ActRelu          // max(x, 0)
	ActSigmoid       // 1/(1+e⁻ˣ)
	ActTanh          // tanh x
)

var actNames = [...]string{"none", "silu", "gelu", "gelu_tanh", "quick_gelu", "relu", "sigmoid", "tanh"}

// String returns the lower-case name of the activation.
func (a Act) String() string {
	if int(a) < len(actNames) {
		return actNames[a]
	}
	return fmt.Sprintf("Act(%d)", uint8(a))
}

// Apply writes the activation of src to dst, which may be src.
func (a Act) Apply(dst, src []float32) {
	switch a {
	case ActNone:
		if len(src) > 0 && &dst[0] != &src[0] {
			copy(dst, src)
		}
	case ActSilu:
		Silu(dst, src)
	case ActGelu:
		Gelu(dst, src)
	case ActGeluTanh:
		GeluTanh(dst, src)
	case ActQuickGelu:
		QuickGelu(dst, src)
	case ActRelu:
		Relu(dst, src)
	case ActSigmoid:
		Sigmoid(dst, src)
	case ActTanh:
		Tanh(dst, src)
	default:
		panic(fmt.Sprintf("kernel: unknown activation %d", uint8(a)))
	}
}
