package rng

// RandomState draws what numpy.random.RandomState(seed) does, for the one distribution that ONNX's definition of Dropout
// is tested with.
type RandomState struct{ engine mt19937 }

// NewRandomState returns a generator for a seed of 32 bits.
func NewRandomState(seed uint32) *RandomState {
	r := &RandomState{}
	r.engine.seed(seed)
	return r
}

// Float64 returns a number in [0, 1) with 53 random bits (random_sample, and uniform(0, 1)).
func (r *RandomState) Float64() float64 {
	hi, lo := r.engine.uint32()>>5, r.engine.uint32()>>6
	return (float64(hi)*(1<<26) + float64(lo)) / (1 << 53)
}
