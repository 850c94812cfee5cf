package imageproc

import "errors"

// zigzag maps the order of the file to rows of eight.
var zigzag = [64]byte{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// huffman is a decoding table: codes of up to 8 bits by look-up, longer ones by
// comparison with the last code of each length.
type huffman struct {
	short   [256]uint16 // length<<8 | symbol; 0: longer
	last    [17]int     // last code of a length, -1: none
	offset  [17]int     // index of a length's first symbol less its first code
	symbols []byte
}

var errHuffman = errors.New("impossible Huffman table or code")

func (d *jpegDecoder) huffmanTables(body []byte) error {
	for len(body) > 0 {
		class, id := body[0]>>4, body[0]&15
		if class > 1 || id > 3 {
			return errHuffman
		}
		if len(body) < 17 {
			return errJPEGCut
		}
		total := 0
		for _, n := range body[1:17] {
			total += int(n)
		}
		if total > 256 {
			return errHuffman
		}
		if len(body) < 17+total {
			return errJPEGCut
		}
		table, err := newHuffman(body[1:17], body[17:17+total])
		if err != nil {
			return err
		}
		if class == 0 {
			d.dc[id] = table
		} else {
			d.ac[id] = table
		}
		body = body[17+total:]
	}
	return nil
}

func newHuffman(counts, symbols []byte) (*huffman, error) {
	h := &huffman{symbols: symbols}
	code, next := 0, 0
	for length := 1; length <= 16; length++ {
		n := int(counts[length-1])
		h.offset[length], h.last[length] = next-code, -1
		for range n {
			if length <= 8 {
				for i := range 1 << (8 - length) {
					if at := code<<(8-length) + i; at < 256 {
						h.short[at] = uint16(length)<<8 | uint16(symbols[next])
					}
				}
			}
			h.last[length] = code
			code++
			next++
		}
		if code > 1<<length {
			return nil, errHuffman
		}
		code <<= 1
	}
	return h, nil
}

// bitReader reads entropy-coded data up to the next marker. Beyond it come
// zeros; overrun tells that some of them were used.
type bitReader struct {
	data  []byte
	pos   int
	acc   uint64
	n     int // bits in acc
	extra int // zeros among them and before
	bad   bool
}

// fill holds at least 32 bits ready: a code and the value after it.
func (b *bitReader) fill() {
	for b.n < 48 {
		v := byte(0)
		switch {
		case b.pos < len(b.data) && b.data[b.pos] != 0xFF:
			v = b.data[b.pos]
			b.pos++
		case b.pos+1 < len(b.data) && b.data[b.pos+1] == 0:
			v = 0xFF
			b.pos += 2
		default:
			b.extra += 8
		}
		b.acc = b.acc<<8 | uint64(v)
		b.n += 8
	}
}

func (b *bitReader) overrun() bool { return b.extra > b.n }

// symbol decodes one Huffman code.
func (b *bitReader) symbol(h *huffman) int {
	if b.n < 32 {
		b.fill()
	}
	code := int(b.acc>>(b.n-16)) & 0xFFFF
	if v := h.short[code>>8]; v != 0 {
		b.n -= int(v >> 8)
		return int(v & 0xFF)
	}
	for length := 9; length <= 16; length++ {
		if c := code >> (16 - length); c <= h.last[length] {
			b.n -= length
			return int(h.symbols[c+h.offset[length]])
		}
	}
	b.bad = true
	return 0
}

// bits reads up to 16 bits as a number.
func (b *bitReader) bits(n int) int {
	if b.n < n {
		b.fill()
	}
	b.n -= n
	return int(b.acc>>b.n) & (1<<n - 1)
}

// value reads an n-bit number of which the upper half stands for itself and the
// lower half for the negative ones.
func (b *bitReader) value(n int) int {
	v := b.bits(n)
	if n > 0 && v < 1<<(n-1) {
		v -= 1<<n - 1
	}
	return v
}

// restart passes a restart marker and drops the bits before it.
func (b *bitReader) restart() error {
	for b.pos+1 < len(b.data) {
		if mark := b.data[b.pos+1]; b.data[b.pos] == 0xFF && mark != 0 && mark != 0xFF {
			if mark < markRST0 || mark > markRST7 {
				break
			}
			*b = bitReader{data: b.data, pos: b.pos + 2}
			return nil
		}
		b.pos++
	}
	return errors.New("restart marker missing")
}
