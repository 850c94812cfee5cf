package kernel

// convColumns says where the columns of one panel come from. A column is one output
// pixel, its rows are the channels and taps that the pixel sees.
type convColumns struct {
	idx  [32]int32 // per column: position of its first tap in a channel plane; may be negative
	n    int       // columns; those from n on are 0
	runs bool      // columns 0…15 and 16…31 each come from consecutive numbers
	bits []uint32  // per tap: the columns whose tap lies inside the picture
}

// convTable holds the panels of one image; all images and groups share it. Of small images a panel holds several: then there is
// one panel for joint of them, and another one for the rest.
type convTable struct {
	spec   ConvSpec
	nr     int
	ow     int
	pixels int     // output pixels of an image
	joint  int     // images of a panel
	offs   []int32 // per tap: distance in a channel plane from the pixel's first tap
	panels []convColumns
}

func newConvTable(p *Pool, nr int, s ConvSpec) *convTable {
	c := &convTable{spec: s, nr: nr, ow: s.OutW(), pixels: s.OutH() * s.OutW(), joint: s.joint(nr), offs: make([]int32, s.KH*s.KW)}
	for t := range c.offs {
		c.offs[t] = int32(t/s.KW*s.DilH*s.W + t%s.KW*s.DilW)
	}
	taps, sizes := len(c.offs), []int{c.joint * c.pixels}
	if rest := s.N % c.joint; rest > 0 {
		sizes = append(sizes, rest*c.pixels)
	}
	if c.joint == 1 {
		sizes = make([]int, ceilDiv(c.pixels, nr))
		for i := range sizes {
			sizes[i] = min(nr, c.pixels-i*nr)
		}
	}
	c.panels = make([]convColumns, len(sizes))
	bits := make([]uint32, taps*len(c.panels))
	const chunk = 64
	p.Run(ceilDiv(len(c.panels), chunk), func(_, i int) {
		for j := i * chunk; j < min(len(c.panels), (i+1)*chunk); j++ {
			c.panels[j].bits = bits[j*taps:][:taps]
			first := j * nr
			if c.joint > 1 {
				first = 0
			}
			c.locate(&c.panels[j], first, sizes[j])
		}
	})
	return c
}

// joint is how many images have room in a panel of nr columns. Distances between them must fit 32 bits.
func (s ConvSpec) joint(nr int) int {
	n := min(s.N, nr/max(1, s.OutH()*s.OutW()))
	if n < 2 || n*s.Cin*s.H*s.W > 1<<30 {
		return 1
	}
	return n
}

// locate fills in the panel of n output pixels from first on.
func (c *convTable) locate(cc *convColumns, first, n int) {
	s := &c.spec
	cc.n = n
	var ys, xs [32]int
	inner := true
	oy, ox := first/c.ow, first%c.ow
	for j := range cc.n {
		if c.joint > 1 && j%c.pixels == 0 {
			oy = 0
		}
		y, x := oy*s.StrideH-s.PadT, ox*s.StrideW-s.PadL
		ys[j], xs[j], cc.idx[j] = y, x, int32((first+j)/c.pixels*s.Cin*s.H*s.W+y*s.W+x)
		if y < 0 || x < 0 || y+(s.KH-1)*s.DilH >= s.H || x+(s.KW-1)*s.DilW >= s.W {
			inner = false
		}
		if ox++; ox == c.ow {
			oy, ox = oy+1, 0
		}
	}
	half := min(16, cc.n)
	cc.runs = consecutive(cc.idx[:half]) && consecutive(cc.idx[half:cc.n])
	for t := range cc.bits {
		cc.bits[t] = uint32(1)<<cc.n - 1 // n = 32 gives all ones
		if !inner {
			cc.bits[t] &= c.inside(ys[:cc.n], xs[:cc.n], t)
		}
	}
}

// inside returns the bits of the columns whose tap t lies inside the picture; y and x
// are the coordinates of their first taps.
func (c *convTable) inside(ys, xs []int, t int) (bits uint32) {
	s := &c.spec
	dy, dx := t/s.KW*s.DilH, t%s.KW*s.DilW
	for j := range ys {
		if uint(ys[j]+dy) < uint(s.H) && uint(xs[j]+dx) < uint(s.W) {
			bits |= 1 << j
		}
	}
	return bits
}

func consecutive(idx []int32) bool {
	for i, v := range idx {
		if v != idx[0]+int32(i) {
			return false
		}
	}
	return true
}

// convGroup is one group of a convolution seen as a matrix product: the weights of
// the group times the columns. Panels of columns cross from one image to the next only where they hold whole images.
type convGroup struct {
	*convTable
	level level
	src   []float32 // the whole input
	chan0 int       // first input channel of the group
}

func (c *convGroup) place(p int) (at, n int) {
	image, panel := c.find(p)
	at = image * c.spec.Cout * c.pixels
	if c.joint == 1 {
		at += panel * c.nr
	}
	return at, c.panels[panel].n
}

// find gives the first image of panel p and the place of the panel in the table.
func (c *convGroup) find(p int) (image, panel int) {
	if c.joint > 1 {
		return p * c.joint, p / (c.spec.N / c.joint)
	}
	return p / len(c.panels), p % len(c.panels)
}

// pack writes rows k0…k0+kb of panel p; k0 and kb are whole channels.
func (c *convGroup) pack(dst []float32, p, k0, kb int) {
	s, taps := &c.spec, len(c.offs)
	image, panel := c.find(p)
	cc := &c.panels[panel]
	base := (image*s.Cin + c.chan0 + k0/taps) * s.H * s.W
	c.level.convPanel(dst[:kb*c.nr], c.src, base, kb/taps, s.H*s.W, c.offs, cc, c.nr)
}

// convPanelRef writes for every channel and tap the numbers of nr columns, 0 where the
// bit of the column is not set.
func convPanelRef(dst, src []float32, base, chans, chanStride int, offs []int32, cc *convColumns, nr int) {
	for range chans {
		for t, off := range offs {
			row := dst[:nr]
			at, b := base+int(off), cc.bits[t]
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
