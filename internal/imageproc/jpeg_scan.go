package imageproc

import (
	"errors"
	"fmt"
)

// scanState decodes one scan.
type scanState struct {
	d                     *jpegDecoder
	in                    bitReader
	parts                 []*scanPart
	first, end, high, low int // spectral band and bits of successive approximation
	eobRun                int
	block                 func(*scanPart, *[64]int16)
	toRestart             int
}

// scanPart is a component within a scan.
type scanPart struct {
	*component
	dc, ac *huffman
	pred   int
}

// scan reads a scan header and the data behind it.
func (d *jpegDecoder) scan(body []byte) error {
	if d.scans++; d.scans > maxScans {
		return fmt.Errorf("more than %d scans", maxScans)
	}
	s, err := d.newScan(body)
	if err != nil {
		return err
	}
	if err := s.run(); err != nil {
		return err
	}
	d.pos = s.in.pos
	return nil
}

func (d *jpegDecoder) newScan(body []byte) (*scanState, error) {
	if d.components == nil {
		return nil, errors.New("scan before the frame header")
	}
	n := 0
	if len(body) > 0 {
		n = int(body[0])
	}
	if n < 1 || n > len(d.components) || len(body) < 4+2*n {
		return nil, errors.New("scan header is cut off")
	}
	tail := body[1+2*n:]
	s := &scanState{d: d, in: bitReader{data: d.data, pos: d.pos}, first: int(tail[0]), end: int(tail[1]), high: int(tail[2] >> 4), low: int(tail[2] & 15)}
	if err := s.setKind(n); err != nil {
		return nil, err
	}
	blocks := 0
	for i := range n {
		p, err := s.part(body[1+2*i], body[2+2*i])
		if err != nil {
			return nil, err
		}
		s.parts = append(s.parts, p)
		blocks += p.h * p.v
	}
	if n > 1 && blocks > 10 {
		return nil, fmt.Errorf("%d blocks a unit; 10 are allowed", blocks)
	}
	return s, nil
}

// setKind checks the band and picks the block decoder.
func (s *scanState) setKind(parts int) error {
	if !s.d.progressive {
		s.block = s.sequential
		return nil
	}
	ok := s.first <= s.end && s.end < 64 && s.low <= 13 && (s.high == 0 || s.high == s.low+1)
	if s.first == 0 {
		ok = ok && s.end == 0
	} else {
		ok = ok && parts == 1
	}
	if !ok {
		return fmt.Errorf("impossible band %d to %d, bits %d to %d", s.first, s.end, s.high, s.low)
	}
	switch {
	case s.first == 0 && s.high == 0:
		s.block = s.dcFirst
	case s.first == 0:
		s.block = s.dcRefine
	case s.high == 0:
		s.block = s.acFirst
	default:
		s.block = s.acRefine
	}
	return nil
}

// part finds the component and the tables that the scan needs.
func (s *scanState) part(id, tables byte) (*scanPart, error) {
	for _, p := range s.parts {
		if p.id == id {
			return nil, fmt.Errorf("component %d twice in a scan", id)
		}
	}
	for _, c := range s.d.components {
		if c.id != id {
			continue
		}
		if tables>>4 > 3 || tables&15 > 3 {
			return nil, errHuffman
		}
		p := &scanPart{component: c, dc: s.d.dc[tables>>4], ac: s.d.ac[tables&15]}
		needDC, needAC := !s.d.progressive || s.first == 0 && s.high == 0, !s.d.progressive || s.first > 0
		if needDC && p.dc == nil || needAC && p.ac == nil {
			return nil, errors.New("a Huffman table is missing")
		}
		if c.quant == nil { // the table in force at the first scan stays
			c.quant = s.d.quant[c.table]
		}
		if c.quant == nil {
			return nil, errors.New("quantization table missing")
		}
		c.seen = true
		return p, nil
	}
	return nil, fmt.Errorf("scan of an unknown component %d", id)
}

// run walks over the units: single blocks for one component, else one block per
// sampling unit of each.
func (s *scanState) run() error {
	s.toRestart = s.d.restart
	if len(s.parts) > 1 {
		for y := range s.d.mcuy {
			for x := range s.d.mcux {
				if err := s.unit(x, y); err != nil {
					return err
				}
			}
		}
		return nil
	}
	p := s.parts[0]
	for y := range ceilDiv(p.plane.h, 8) {
		for x := range ceilDiv(p.plane.w, 8) {
			if err := s.begin(); err != nil {
				return err
			}
			if err := s.at(p, x, y); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *scanState) unit(x, y int) error {
	if err := s.begin(); err != nil {
		return err
	}
	for _, p := range s.parts {
		for v := range p.v {
			for h := range p.h {
				if err := s.at(p, x*p.h+h, y*p.v+v); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// begin passes a restart marker where one is due.
func (s *scanState) begin() error {
	if s.d.restart == 0 {
		return nil
	}
	if s.toRestart == 0 {
		if err := s.in.restart(); err != nil {
			return err
		}
		s.toRestart, s.eobRun = s.d.restart, 0
		for _, p := range s.parts {
			p.pred = 0
		}
	}
	s.toRestart--
	return nil
}

// at decodes the block in column x and row y of a component.
func (s *scanState) at(p *scanPart, x, y int) error {
	if s.d.progressive {
		s.block(p, &p.coef[y*p.wide+x])
	} else {
		var b [64]int16
		s.block(p, &b)
		inverseDCT(p.plane.pix[8*(y*p.plane.stride+x):], p.plane.stride, &b, p.quant)
	}
	if s.in.bad {
		return errHuffman
	}
	if s.in.overrun() {
		return errJPEGCut
	}
	return nil
}
