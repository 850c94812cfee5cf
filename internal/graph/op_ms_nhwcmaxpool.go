package graph

func init() { registerMicrosoft("NhwcMaxPool", lowerNhwcMaxPool) }

// lowerNhwcMaxPool pools [N,H,W,C] data.
func lowerNhwcMaxPool(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 1, 1, 1, 1); err != nil {
		return err
	}
	if err := checkRank(l.NodeCtx, 0, 4, 4); err != nil {
		return err
	}
	attrs := attrsOf(l, "auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides")
	l.Result(0, l.toChannelsLast(l.OpA("MaxPool", attrs, l.toChannelsFirst(l.Arg(0)))))
	return nil
}
