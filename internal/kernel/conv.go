package kernel

// ConvSpec describes a two-dimensional convolution over NCHW data. Weights are
// [Cout, Cin/Groups, KH, KW]. Zero strides, dilations and groups mean 1.
type ConvSpec struct {
	N, Cin, H, W, Cout     int
	KH, KW                 int
	StrideH, StrideW       int
	PadT, PadL, PadB, PadR int
	DilH, DilW             int
	Groups                 int
}

// filled returns the spec with its zero fields replaced by their meaning.
func (s ConvSpec) filled() ConvSpec {
	for _, f := range []*int{&s.StrideH, &s.StrideW, &s.DilH, &s.DilW, &s.Groups} {
		if *f == 0 {
			*f = 1
		}
	}
	return s
}

// OutH returns the height of the result.
func (s ConvSpec) OutH() int {
	s = s.filled()
	return (s.H+s.PadT+s.PadB-s.DilH*(s.KH-1)-1)/s.StrideH + 1
}

// OutW returns the width of the result.
func (s ConvSpec) OutW() int {
	s = s.filled()
	return (s.W+s.PadL+s.PadR-s.DilW*(s.KW-1)-1)/s.StrideW + 1
}
