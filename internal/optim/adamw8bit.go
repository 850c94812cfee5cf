package optim

import "winnow/internal/kernel"

// minQuantised is the size from which a parameter's moments are quantised, bitsandbytes' min_8bit_size.
const minQuantised = 4096

// quantised are both moments of one parameter as bitsandbytes' AdamW8bit keeps them (Dettmers et al. 2022, arXiv 2110.02861),
// block-wise: a byte an element (state1, state2) and a float32 per 256 elements (absmax1, absmax2). They are widened for a step and
// quantised again, and the parameter moves by the exact ones:
//
//	m = fma(g, 1−β₁, m·β₁)
//	v, d and p as in adamW
//
// Parameters below 4096 elements have float32 moments and adamW's step. Three details differ from the released kernels, which differ
// among themselves:
//   - the nearest value of the map is found exactly: their CPU kernel (0.50.2) rounds by a table that is a code or two off among small
//     values and gives all below 1e-5 code 7;
//   - an m that rounds to zero loses its sign: their CUDA kernel keeps it;
//   - a v above zero is never rounded to zero. The map of v ends at 3e-7 of a block's largest, so the nearest value forgets elements
//     whose gradients are below 1/2500 of the block's largest, and an m that lives on moves one by lr·m/eps, thousands of usual
//     steps, once its next gradient is zero.
type quantised struct {
	m, v           []uint8
	mScale, vScale []float32
}

func newAdamW8bit(params []*Param, o Options) (Optimizer, error) {
	return makeAdamW("adamw8bit", params, o)
}

func (s *state) quantised(p *Param) *quantised {
	blocks := (len(p.Value) + quantBlock - 1) / quantBlock
	return &quantised{
		m: s.bytes(p.Name+".state1", p.Shape...), mScale: s.floats(p.Name+".absmax1", blocks),
		v: s.bytes(p.Name+".state2", p.Shape...), vScale: s.floats(p.Name+".absmax2", blocks),
	}
}

// stepQuantised updates the piece at of one parameter; at starts at a multiple of quantBlock.
func (a *adamW) stepQuantised(value, g []float32, q *quantised, at piece, c adam, room *adamRoom) {
	m, v := room.m[:len(g)], room.v[:len(g)]
	signedCodes.read(m, q.m[at.from:at.to], q.mScale[at.from/quantBlock:])
	unsignedCodes.read(v, q.v[at.from:at.to], q.vScale[at.from/quantBlock:])
	kernel.MulScalar(m, m, c.beta1)
	kernel.MulAdd(m, g, a.rise1[:len(g)], m)
	c.apply(value, g, m, v, room)
	signedCodes.write(q.m[at.from:at.to], q.mScale[at.from/quantBlock:], m, room.t[:])
	unsignedCodes.write(q.v[at.from:at.to], q.vScale[at.from/quantBlock:], v, room.t[:])
}
