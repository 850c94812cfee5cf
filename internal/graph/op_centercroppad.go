package graph

func init() { Register(Operator{Name: "CenterCropPad", Since: 18, Lower: lowerCenterCropPad}) }

// lowerCenterCropPad cuts or pads axes to the sizes of input 1, around the middle; of an odd difference the larger half is
// at the end.
func lowerCenterCropPad(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 2, 1, 1); err != nil {
		return err
	}
	shape := l.In[0].Shape
	sizes, err := constSizes(l.NodeCtx, 1)
	if err != nil {
		return err
	}
	axes, given := l.AttrInts("axes")
	if !given {
		for i := range shape {
			axes = append(axes, int64(i))
		}
	}
	if len(axes) != len(sizes) {
		return badInput(l.NodeCtx, 1, "has %d sizes for %d axes", len(sizes), len(axes))
	}
	if _, err := normAxes(l.NodeCtx, axes, len(shape)); err != nil {
		return err
	}
	starts, ends, pads := make([]int, len(shape)), append([]int{}, shape...), make([]int, 2*len(shape))
	for i, axis := range axes {
		a, _ := normAxis(l.NodeCtx, axis, len(shape)) // checked above
		if cut := shape[a] - sizes[i]; cut > 0 {
			starts[a] = cut / 2
			ends[a] = starts[a] + sizes[i]
		} else {
			pads[a] = -cut / 2
			pads[len(shape)+a] = -cut - pads[a]
		}
	}
	l.Result(0, l.Op("Pad", l.Op("Slice", l.Arg(0), l.Ints(starts...), l.Ints(ends...)), l.Ints(pads...)))
	return nil
}
