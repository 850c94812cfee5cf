package serve

import (
	"encoding/binary"
	"math"
)

// pickler writes dicts, lists of floats and texts as Python's pickle, protocol 2, which every Python 3 reads.
type pickler struct{ out []byte }

func (p *pickler) begin() { p.out = append(p.out, opProto, 2) }

func (p *pickler) end() []byte { return append(p.out, opStop) }

func (p *pickler) str(s string) {
	p.out = binary.LittleEndian.AppendUint32(append(p.out, opBinUnicode), uint32(len(s)))
	p.out = append(p.out, s...)
}

func (p *pickler) floats(values []float64) {
	p.out = append(p.out, opEmptyList, opMark)
	for _, v := range values {
		p.out = binary.BigEndian.AppendUint64(append(p.out, opBinFloat), math.Float64bits(v))
	}
	p.out = append(p.out, opAppends)
}

// dict writes what fill does, a key and a value in turn.
func (p *pickler) dict(fill func()) {
	p.out = append(p.out, opEmptyDict, opMark)
	fill()
	p.out = append(p.out, opSetItems)
}
