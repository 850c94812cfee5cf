package imageproc

// The five block decoders of T.81: sequential, and the four kinds of
// progressive scans. Impossible codes set in.bad, which the caller checks.

func (s *scanState) dcDifference(p *scanPart) {
	size := s.in.symbol(p.dc)
	if size > 15 {
		s.in.bad = true
		return
	}
	p.pred += s.in.value(size)
}

func (s *scanState) sequential(p *scanPart, b *[64]int16) {
	s.dcDifference(p)
	b[0] = int16(p.pred)
	for k := 1; k < 64; k++ {
		code := s.in.symbol(p.ac)
		run, size := code>>4, code&15
		switch {
		case size != 0:
			if k += run; k > 63 {
				s.in.bad = true
				return
			}
			b[zigzag[k]] = int16(s.in.value(size))
		case run == 15:
			k += 15
		default:
			return
		}
	}
}

func (s *scanState) dcFirst(p *scanPart, b *[64]int16) {
	s.dcDifference(p)
	b[0] = int16(p.pred << s.low)
}

func (s *scanState) dcRefine(_ *scanPart, b *[64]int16) {
	b[0] |= int16(s.in.bits(1) << s.low)
}

func (s *scanState) acFirst(p *scanPart, b *[64]int16) {
	if s.eobRun > 0 {
		s.eobRun--
		return
	}
	for k := s.first; k <= s.end; k++ {
		code := s.in.symbol(p.ac)
		run, size := code>>4, code&15
		switch {
		case size != 0:
			if k += run; k > 63 {
				s.in.bad = true
				return
			}
			b[zigzag[k]] = int16(s.in.value(size) << s.low)
		case run == 15:
			k += 15
		default: // this block and more end here
			s.eobRun = 1<<run + s.in.bits(run) - 1
			return
		}
	}
}

// acRefine adds one bit to the coefficients known so far, which lie between the
// new ones that the codes announce.
func (s *scanState) acRefine(p *scanPart, b *[64]int16) {
	k := s.first
	for s.eobRun == 0 && k <= s.end {
		code := s.in.symbol(p.ac)
		run, fresh := code>>4, int16(0)
		if code&15 != 0 {
			fresh = -1 << s.low
			if s.in.bits(1) == 1 {
				fresh = 1 << s.low
			}
		} else if run != 15 {
			s.eobRun = 1<<run + s.in.bits(run)
			break
		}
		k = s.refine(b, k, run)
		if k <= s.end {
			b[zigzag[k]] = fresh // zero after a run of 16: the place was zero
		}
		k++
	}
	if s.eobRun > 0 {
		s.refine(b, k, 64)
		s.eobRun--
	}
}

// refine reads a bit for every known coefficient from k on, passes the given
// number of zeros, and returns the place of the zero after them.
func (s *scanState) refine(b *[64]int16, k, zeros int) int {
	bit := int16(1) << s.low
	for ; k <= s.end; k++ {
		c := &b[zigzag[k]]
		if *c == 0 {
			if zeros == 0 {
				return k
			}
			zeros--
			continue
		}
		if s.in.bits(1) == 1 && *c&bit == 0 {
			if *c > 0 {
				*c += bit
			} else {
				*c -= bit
			}
		}
	}
	return k
}
