package optim

import (
	"math"
	"slices"

	"winnow/internal/kernel"
)

// quantBlock is the number of elements that share a scale.
const quantBlock = 256

// codebook is one of bitsandbytes' dynamic maps (Dettmers et al. 2022, arXiv 2110.02861, section 1.3): 256 values in [−1, 1] or [0, 1]
// whose spacing grows with their size, one decade for each exponent bit that is set. A tensor is held as numbers of values and
// the largest magnitude of each block, which scales them.
type codebook struct {
	value [256]float32
	mid   [256]float32 // largest float32 that is no nearer to value[i+1] than to value[i]; +Inf at the end
	// first is the number of the value nearest to the smallest float32 (by magnitude, of that sign) whose upper half is the index:
	// the place from which the search goes on.
	first [1 << 16]uint8
}

var signedCodes, unsignedCodes = newCodebook(true), newCodebook(false)

func newCodebook(signed bool) *codebook {
	c := &codebook{}
	copy(c.value[:], dynamicMap(signed))
	for i := range 255 {
		exact := (float64(c.value[i]) + float64(c.value[i+1])) / 2
		c.mid[i] = float32(exact)
		if float64(c.mid[i]) > exact {
			c.mid[i] = math.Nextafter32(c.mid[i], -2)
		}
	}
	c.mid[255] = float32(math.Inf(1))
	if !signed {
		c.mid[0] = 0 // see quantised
	}
	for i := range c.first {
		// A negative number grows towards zero: the lowest one of a cell has the largest lower half.
		bits := uint32(i) << 16
		if i >= 1<<15 {
			bits |= 0xffff
		}
		x := math.Float32frombits(bits)
		for int(c.first[i]) < 255 && x > c.mid[c.first[i]] {
			c.first[i]++
		}
	}
	return c
}

// dynamicMap lists the values in ascending order, as bitsandbytes.functional.create_dynamic_map computes them: decade i of 7 ends at
// 10^(i−6) and has the middles of 2^i (signed, on either side of zero) or 2^(i+1) equal steps from a tenth of it; 0 and 1 complete them.
func dynamicMap(signed bool) []float32 {
	values := []float32{0, 1}
	for i := range 7 {
		n := 1 << i
		if !signed {
			n *= 2
		}
		scale := float32(math.Pow(10, float64(i-6)))
		edges := linspace(0.1, 1, n+1)
		for k := range n {
			v := scale * ((edges[k] + edges[k+1]) / 2)
			values = append(values, v)
			if signed {
				values = append(values, -v)
			}
		}
	}
	slices.Sort(values)
	return values
}

// linspace is torch.linspace in float32: from both ends towards the middle.
func linspace(from, to float32, n int) []float32 {
	out := make([]float32, n)
	step := (to - from) / float32(n-1)
	for i := range out {
		if i < n/2 {
			out[i] = mulAdd(step, float32(i), from)
		} else {
			out[i] = mulAdd(-step, float32(n-1-i), to)
		}
	}
	return out
}

// read writes the values of whole blocks; the last may be shorter.
func (c *codebook) read(dst []float32, codes []uint8, scales []float32) {
	for from := 0; from < len(dst); from += quantBlock {
		scale := scales[from/quantBlock]
		for i := from; i < min(from+quantBlock, len(dst)); i++ {
			dst[i] = c.value[codes[i]] * scale
		}
	}
}

// write replaces whole blocks, which it overwrites, by their codes: the values nearest to src/scale, the lower one in the middle;
// in the unsigned map what is not zero gets at least the smallest value.
// room is scratch of a block. A scale is the largest magnitude of its block, and NaN if any element is NaN or infinite.
func (c *codebook) write(codes []uint8, scales, src, room []float32) {
	for from := 0; from < len(src); from += quantBlock {
		to := min(from+quantBlock, len(src))
		scales[from/quantBlock] = c.writeBlock(codes[from:to], src[from:to], room[:to-from])
	}
}

func (c *codebook) writeBlock(codes []uint8, src, room []float32) (scale float32) {
	kernel.Abs(room, src)
	scale = kernel.MaxOf(room)
	if scale == 0 || !(scale <= math.MaxFloat32) {
		clear(codes) // as bitsandbytes does: any code times zero is zero
		return scale - scale
	}
	kernel.DivScalar(src, src, scale)
	for i, x := range src {
		k := c.first[math.Float32bits(x)>>16]
		for x > c.mid[k] {
			k++
		}
		codes[i] = k
	}
	return scale
}
