package kernel

// convGroup is one group of a convolution seen as a matrix product: the weights of
// the group times the columns, one column an output pixel, one row a channel and tap.
// Panels of columns never cross from one image to the next.
type convGroup struct {
	spec     ConvSpec
	level    level
	nr       int
	src      []float32 // the whole input
	chan0    int       // first input channel of the group
	pixels   int       // output pixels of an image
	perImage int       // panels of an image
	taps     int
	offs     []int32 // per tap: distance in src from the pixel's first tap
}

func newConvGroup(l level, s ConvSpec, src []float32, group int) *convGroup {
	c := &convGroup{spec: s, level: l, src: src, pixels: s.OutH() * s.OutW(), taps: s.KH * s.KW}
	_, c.nr = l.geometry()
	c.chan0 = group * (s.Cin / s.Groups)
	c.perImage = ceilDiv(c.pixels, c.nr)
	c.offs = make([]int32, c.taps)
	for t := range c.offs {
		c.offs[t] = int32(t/s.KW*s.DilH*s.W + t%s.KW*s.DilW)
	}
	return c
}

func (c *convGroup) place(p int) (at, n int) {
	first := p % c.perImage * c.nr
	return p/c.perImage*c.spec.Cout*c.pixels + first, min(c.nr, c.pixels-first)
}

// convColumns says where the columns of one panel come from.
type convColumns struct {
	idx   [32]int32 // per column: position of its first tap in a channel plane; may be negative
	y, x  [32]int32 // per column: coordinates of its first tap
	n     int       // columns; those from n on are 0
	runs  bool      // columns 0…15 and 16…31 each come from consecutive numbers
	inner bool      // no tap of any column falls into the padding
}

// locate fills in the columns of panel p.
func (c *convGroup) locate(p int) (cc convColumns) {
	s := &c.spec
	ow := s.OutW()
	first := p % c.perImage * c.nr
	cc.n = min(c.nr, c.pixels-first)
	cc.inner = true
	oy, ox := first/ow, first%ow
	for j := range cc.n {
		y, x := oy*s.StrideH-s.PadT, ox*s.StrideW-s.PadL
		cc.y[j], cc.x[j], cc.idx[j] = int32(y), int32(x), int32(y*s.W+x)
		if y < 0 || x < 0 || y+(s.KH-1)*s.DilH >= s.H || x+(s.KW-1)*s.DilW >= s.W {
			cc.inner = false
		}
		if ox++; ox == ow {
			oy, ox = oy+1, 0
		}
	}
	cc.runs = consecutive(cc.idx[:min(16, cc.n)]) && consecutive(cc.idx[min(16, cc.n):cc.n])
	return cc
}

func consecutive(idx []int32) bool {
	for i, v := range idx {
		if v != idx[0]+int32(i) {
			return false
		}
	}
	return true
}

// masks writes per tap the bits of the columns whose tap lies inside the picture.
func (c *convGroup) masks(bits []uint32, cc *convColumns) {
	all := uint32(1)<<cc.n - 1 // n = 32 gives all ones
	s := &c.spec
	for t := range bits {
		bits[t] = all
		if cc.inner {
			continue
		}
		dy, dx := int32(t/s.KW*s.DilH), int32(t%s.KW*s.DilW)
		for j := range cc.n {
			y, x := cc.y[j]+dy, cc.x[j]+dx
			if uint32(y) >= uint32(s.H) || uint32(x) >= uint32(s.W) {
				bits[t] &^= 1 << j
			}
		}
	}
}

// maxTaps bounds the taps whose masks are kept on the stack.
const maxTaps = 64

// pack writes rows k0…k0+kb of panel p; k0 and kb are whole channels.
func (c *convGroup) pack(dst []float32, p, k0, kb int) {
	s := &c.spec
	cc := c.locate(p)
	var few [maxTaps]uint32
	bits := few[:]
	if c.taps > maxTaps {
		bits = make([]uint32, c.taps)
	}
	bits = bits[:c.taps]
	c.masks(bits, &cc)
	image := p / c.perImage
	base := (image*s.Cin + c.chan0 + k0/c.taps) * s.H * s.W
	c.level.convPanel(dst[:kb*c.nr], c.src, base, kb/c.taps, s.H*s.W, c.offs, bits, &cc, c.nr)
}

// convPanelRef writes for every channel and tap the numbers of nr columns, 0 where the
// bit of the column is not set.
func convPanelRef(dst, src []float32, base, chans, chanStride int, offs []int32, bits []uint32, cc *convColumns, nr int) {
	for range chans {
		for t, off := range offs {
			row := dst[:nr]
			at, b := base+int(off), bits[t]
			if cc.runs && cc.n == nr && nr <= 16 && b == 1<<nr-1 {
				copy(row, src[at+int(cc.idx[0]):])
			} else {
				for j := range row {
					row[j] = 0
					if b>>j&1 != 0 {
						row[j] = src[at+int(cc.idx[j])]
					}
				}
			}
			dst = dst[nr:]
		}
		base += chanStride
	}
}
