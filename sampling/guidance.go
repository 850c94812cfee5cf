package sampling

import "math"

// Guide writes classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598, in the convention of diffusers) into
// dst: uncond + scale·(cond − uncond). At scale 1 that is cond. The slices have equal length and dst may be one of the
// inputs.
func Guide(dst, uncond, cond []float32, scale float64) {
	s := float32(scale)
	for i, u := range uncond {
		dst[i] = u + float32(s*(cond[i]-u))
	}
}

// Rescale corrects the overexposure of strong guidance (Lin 2024, arXiv 2305.08891, section 3.4; diffusers'
// guidance_rescale): per image, guided is scaled to the standard deviation of cond and mixed with itself, factor 0
// leaving it alone and 1 taking the scaled one. guided is changed in place.
func Rescale(guided, cond []float32, images int, factor float64) {
	if factor == 0 {
		return
	}
	size := len(guided) / images
	for k := range images {
		g, c := guided[k*size:(k+1)*size], cond[k*size:(k+1)*size]
		ratio := float32(deviation(c) / deviation(g))
		f := float32(factor)
		for i, v := range g {
			g[i] = float32(f*float32(v*ratio)) + float32((1-f)*v)
		}
	}
}

// deviation is the sample standard deviation (n−1), as torch.std computes it.
func deviation(v []float32) float64 {
	var mean, sum float64
	for _, x := range v {
		mean += float64(x)
	}
	mean /= float64(len(v))
	for _, x := range v {
		d := float64(x) - mean
		sum += d * d
	}
	return math.Sqrt(sum / float64(len(v)-1))
}
