package graph

func init() { registerMicrosoft("GroupNorm", lowerGroupNorm) }

// channelsLast reads attribute channels_last, on by default.
func channelsLast(l *Lowering) bool { return l.AttrInt("channels_last", 1) != 0 }

// checkGroupNorm checks what GroupNorm and SkipGroupNorm share: inputs X, gamma, beta and the attributes.
func checkGroupNorm(l *Lowering) (channels int, err error) {
	if err := checkFloats(l.NodeCtx, 0, 1, 2); err != nil {
		return 0, err
	}
	if err := checkRank(l.NodeCtx, 0, 4, 4); err != nil {
		return 0, err
	}
	channels = l.In[0].Shape[1]
	if channelsLast(l) {
		channels = l.In[0].Shape[3]
	}
	for i := 1; i < 3; i++ {
		if err := checkShape(l.NodeCtx, i, channels); err != nil {
			return 0, err
		}
	}
	if g := l.AttrInt("groups", 0); g < 1 || int64(channels)%g != 0 {
		return 0, badNode(l.NodeCtx, "attribute groups = %d does not divide %d channels", g, channels)
	}
	if a := l.AttrInt("activation", 0); a != 0 && a != 1 {
		return 0, l.Refuse("activation", "0 (none) and 1 (SiLU) are known")
	}
	return channels, nil
}

// groupNorm normalises x [N,C,H,W] with the node's gamma, beta and attributes. Scale and shift may be of a wider type than
// x, as in half-precision models.
func (l *Lowering) groupNorm(x ValueID) ValueID {
	dt := l.In[0].DType
	groups, eps := int(l.AttrInt("groups", 0)), l.AttrFloat("epsilon", 1e-5)
	y := l.groupNormalize(x, groups, eps, l.As(l.Arg(1), dt), l.As(l.Arg(2), dt))
	if l.AttrInt("activation", 0) == 1 {
		y = l.silu(y)
	}
	return y
}

func lowerGroupNorm(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 3, 3, 1, 1); err != nil {
		return err
	}
	if _, err := checkGroupNorm(l); err != nil {
		return err
	}
	if channelsLast(l) {
		l.Result(0, l.toChannelsLast(l.groupNorm(l.toChannelsFirst(l.Arg(0)))))
	} else {
		l.Result(0, l.groupNorm(l.Arg(0)))
	}
	return nil
}
