package graph

// MicrosoftDomain is the operator domain of ONNX Runtime's own operators, which its optimiser and Olive write. All of ours
// are lowered to standard operators (op_ms_*.go), so they need no kernels, no gradients and no entry in the ONNX writer.
const MicrosoftDomain = "com.microsoft"

// registerMicrosoft enters an operator of ONNX Runtime's domain.
func registerMicrosoft(name string, lower func(l *Lowering) error) {
	Register(Operator{Name: name, Domain: MicrosoftDomain, Since: 1, Lower: lower})
}

// checkFloats requires the present inputs among those listed to be of a floating type.
func checkFloats(c *NodeCtx, inputs ...int) error {
	for _, i := range inputs {
		if i < len(c.In) {
			if err := checkClass(c, i, classFloat); err != nil {
				return err
			}
		}
	}
	return nil
}

// refuseOutputs refuses the outputs listed when something reads them.
func refuseOutputs(l *Lowering, why string, outputs ...int) error {
	for _, i := range outputs {
		if l.Wants(i) {
			return l.Refuse("", why)
		}
	}
	return nil
}

// refuseInputs refuses the inputs listed when they are given.
func refuseInputs(l *Lowering, why string, inputs ...int) error {
	for _, i := range inputs {
		if l.Has(i) {
			return l.Refuse("", why)
		}
	}
	return nil
}

// Channels-last data is [N,H,W,C]; convolutions and group normalisations work on [N,C,H,W].

func (l *Lowering) toChannelsFirst(id ValueID) ValueID { return l.Transpose(id, 0, 3, 1, 2) }

func (l *Lowering) toChannelsLast(id ValueID) ValueID { return l.Transpose(id, 0, 2, 3, 1) }

// silu is x·sigmoid(x).
func (l *Lowering) silu(x ValueID) ValueID { return l.Op("Mul", x, l.Op("Sigmoid", x)) }

// checkInputs is checkArity for operators whose optional inputs lie among the required ones.
func checkInputs(l *Lowering, hi, outHi int, required ...int) error {
	if err := checkArity(l.NodeCtx, 0, hi, 1, outHi); err != nil {
		return err
	}
	for _, i := range required {
		if !l.Has(i) {
			return badInput(l.NodeCtx, i, "is missing")
		}
	}
	return nil
}
