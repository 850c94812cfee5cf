package sampling

import (
	"math"
	"slices"
)

// limit applies the configured clipping or thresholding to predicted clean latents, in place.
func (c *Config) limit(clean []float32, images int) {
	switch {
	case c.Thresholding:
		size := len(clean) / images
		for k := range images {
			threshold(clean[k*size:(k+1)*size], c.DynamicThresholdingRatio, c.SampleMaxValue)
		}
	case c.ClipSample:
		r := float32(c.ClipSampleRange)
		for i, v := range clean {
			if !math.IsNaN(float64(v)) {
				clean[i] = min(max(v, -r), r)
			}
		}
	}
}

// threshold is dynamic thresholding of one image (Saharia 2022, arXiv 2205.11487, section 2.3): with s the given
// quantile of the absolute values, but at least 1 and at most maxValue, clamp to ±s and divide by s.
func threshold(x []float32, ratio, maxValue float64) {
	abs := make([]float32, len(x))
	for i, v := range x {
		abs[i] = float32(math.Abs(float64(v)))
	}
	slices.Sort(abs)
	// torch.quantile with linear interpolation.
	rank := ratio * float64(len(abs)-1)
	low := int(rank)
	high := min(low+1, len(abs)-1)
	s := abs[low] + float32(rank-float64(low))*(abs[high]-abs[low])
	s = min(max(s, 1), float32(maxValue))
	for i, v := range x {
		x[i] = min(max(v, -s), s) / s
	}
}
