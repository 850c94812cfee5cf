package sampling

import (
	"fmt"

	"winnow/internal/rng"
)

// Noise fills dst, the latents of all images one after another, with standard normal numbers. It is called once for the
// initial latents (by the caller) and once for every step that draws (by [Sample]), with the noise levels before and
// after the step; sources that do not depend on the level ignore them.
type Noise func(dst []float32, sigma, sigmaNext float64)

// NewNoise draws what torch.Generator("cpu").manual_seed(seed) and torch.randn draw. With several seeds, dst is split
// into as many images of equal size, each from a stream of its own, as diffusers does for a list of generators; with
// one seed all of dst comes from one stream. Initial latents and step noises come from the same streams, in this order.
// The source is not safe for concurrent use. It panics without a seed, and when dst does not hold whole images.
func NewNoise(seeds ...uint64) Noise {
	if len(seeds) == 0 {
		panic("sampling: NewNoise without a seed")
	}
	streams := make([]*rng.Generator, len(seeds))
	for i, s := range seeds {
		streams[i] = rng.New(s)
	}
	return func(dst []float32, _, _ float64) {
		size := len(dst) / len(streams)
		if size*len(streams) != len(dst) {
			panic(fmt.Sprintf("sampling: noise for %d images into %d numbers", len(streams), len(dst)))
		}
		for i, g := range streams {
			g.Normal(dst[i*size : (i+1)*size])
		}
	}
}
