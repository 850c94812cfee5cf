package graph

func init() { registerMicrosoft("FusedConv", lowerFusedConv) }

// lowerFusedConv is activation(conv(X, W) + B + Z), Z of the result's shape.
func lowerFusedConv(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 4, 1, 1); err != nil {
		return err
	}
	params := []float32(nil)
	if a, ok := l.Attr("activation_params"); ok {
		params = a.Floats
	}
	y := l.OpA("Conv", attrsOf(l, "auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"), l.Arg(0), l.Arg(1), l.Arg(2))
	if l.Err() == nil {
		if err := checkShape(l.NodeCtx, 3, l.TypeOf(y).Shape...); err != nil {
			return err
		}
	}
	return l.activated(l.AddAll(y, l.Arg(3)), params)
}

// activated sets output 0 to the activation that attribute activation names; params are its alpha, beta and so on in the
// order in which ONNX Runtime writes them.
func (l *Lowering) activated(y ValueID, params []float32) error {
	name := l.AttrString("activation", "")
	names, known := activationParams[name]
	switch {
	case !known:
		return l.Refuse("activation", "no activation is called "+name)
	case len(params) > len(names):
		return badNode(l.NodeCtx, "activation %s has %d parameters, want %d", name, len(params), len(names))
	case name == "":
	case name == "Clip":
		y = l.clipped(y, params)
	default:
		attrs := map[string]Attr{}
		for i, v := range params {
			attrs[names[i]] = FloatAttr(v)
		}
		y = l.OpA(name, attrs, y)
	}
	l.Result(0, y)
	return nil
}

// activationParams names the parameters of the activations that ONNX Runtime fuses into products and convolutions.
var activationParams = map[string][]string{
	"": nil, "Relu": nil, "Sigmoid": nil, "Tanh": nil, "LeakyRelu": {"alpha"}, "HardSigmoid": {"alpha", "beta"},
	"Clip": {"min", "max"},
}

func (l *Lowering) clipped(y ValueID, limits []float32) ValueID {
	in := []ValueID{y}
	for i := range limits {
		in = append(in, l.Floats(l.In[0].DType, limits[i:i+1]))
	}
	return l.Op("Clip", in...)
}
