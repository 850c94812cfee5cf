// Package rng draws the random numbers that PyTorch draws on a CPU, so that a seed gives the same picture here as
// in a diffusers pipeline with generator=torch.Generator("cpu").manual_seed(S).
//
// All numbers are equal to torch's bit for bit, as far as measured: uniform ones by construction; normal ones of calls
// shorter than 16, which torch computes in double precision, up to the last bit of the platform's log and cos; longer
// calls by the same float32 polynomials that torch's AVX2 code uses (2^20 numbers compared, none differs). Torch takes that
// code on AVX2 and AVX-512 machines. On others, and in builds without AVX2, it uses the platform's functions, and its own
// numbers then differ from these by up to 1.8e-6.
package rng

import "math"

// Generator is torch.Generator("cpu"): one stream of random numbers that every call moves on. The zero value is
// not seeded; make one with New. A Generator is not safe for concurrent use; a plain copy is an independent
// generator in the same state.
type Generator struct {
	engine mt19937
	cached float64 // second number of the last Box-Muller pair, for calls shorter than 16
	has    bool
}

// New returns a generator in the state of torch.Generator("cpu").manual_seed(seed). Torch keeps all 64 bits of a seed
// but its engine uses the low 32 only, so seeds that differ by a multiple of 2^32 draw the same numbers. A negative
// Python seed −k is uint64(2^64−k), which is what a conversion from int64 gives.
func New(seed uint64) *Generator {
	g := &Generator{}
	g.engine.seed(uint32(seed))
	return g
}

// vectorLen is the length from which torch fills a whole buffer at once (aten/src/ATen/native/cpu/
// DistributionTemplates.h, normal_fill) rather than drawing number by number.
const vectorLen = 16

// Uniform fills dst as torch.rand(len(dst)) does: float32 multiples of 2^-24 in [0, 1).
func (g *Generator) Uniform(dst []float32) {
	for i := range dst {
		dst[i] = g.uniform()
	}
}

func (g *Generator) uniform() float32 {
	return float32(g.engine.uint32()&(1<<24-1)) * 0x1p-24
}

// Normal fills dst as torch.randn(len(dst)) does: float32 standard normal numbers. One call with 32 numbers and two
// calls with 16 draw the same; calls shorter than 16 take another path in torch, so in general the split matters.
func (g *Generator) Normal(dst []float32) {
	n := len(dst)
	if n < vectorLen {
		for i := range dst {
			dst[i] = float32(g.normal())
		}
		return
	}
	g.Uniform(dst)
	for i := 0; i+vectorLen <= n; i += vectorLen {
		boxMuller(dst[i : i+vectorLen])
	}
	if n%vectorLen != 0 {
		// Torch makes up the remainder by drawing the last 16 numbers afresh, overwriting some that are done.
		tail := dst[n-vectorLen:]
		g.Uniform(tail)
		boxMuller(tail)
	}
}

// boxMuller turns 16 uniform numbers into 16 normal ones in place: the first eight give radii, the last eight angles.
func boxMuller(b []float32) {
	const half = vectorLen / 2
	for j := range half {
		radius := float32(math.Sqrt(float64(-2 * log1(1-b[j]))))
		sin, cos := sincos(float32(2*math.Pi) * b[j+half])
		b[j] = radius * cos
		b[j+half] = radius * sin
	}
}

// normal draws one number in double precision; numbers come in pairs and the second waits for the next call
// (ATen/core/DistributionsHelper.h, normal_distribution<double>).
func (g *Generator) normal() float64 {
	if g.has {
		g.has = false
		return g.cached
	}
	u1 := g.uniform53()
	u2 := g.uniform53()
	radius := math.Sqrt(-2 * math.Log1p(-u2))
	sin, cos := math.Sincos(2 * math.Pi * u1)
	g.cached, g.has = radius*sin, true
	return radius * cos
}

func (g *Generator) uniform53() float64 {
	return float64(g.engine.uint64()&(1<<53-1)) * 0x1p-53
}
