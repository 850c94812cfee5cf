package graph

func init() { registerMicrosoft("NhwcConv", lowerNhwcConv) }

// lowerNhwcConv: X [N,H,W,C] and, as ONNX Runtime's optimiser writes them, weights [O,kH,kW,C/group].
func lowerNhwcConv(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 3, 1, 1); err != nil {
		return err
	}
	for i := range 2 {
		if err := checkRank(l.NodeCtx, i, 4, 4); err != nil {
			return err
		}
	}
	attrs := attrsOf(l, "auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
	y := l.OpA("Conv", attrs, l.toChannelsFirst(l.Arg(0)), l.toChannelsFirst(l.Arg(1)), l.Arg(2))
	l.Result(0, l.toChannelsLast(y))
	return nil
}

// attrsOf copies the named attributes of the node that are set.
func attrsOf(l *Lowering, names ...string) map[string]Attr {
	out := map[string]Attr{}
	for _, name := range names {
		if a, ok := l.Attr(name); ok {
			out[name] = a
		}
	}
	return out
}
