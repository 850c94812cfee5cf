package sampling

import "math"

// Guide writes classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598, in the convention of diffusers) into
// dst: uncond + scale·(cond − uncond). At scale 1 that is cond. The slices have equal length and dst may be one of the
// inputs.
//
// With the prediction of a weaker network for the same prompt in place of uncond it is autoguidance (Karras et al. 2024,
// arXiv 2406.02507).
func Guide(dst, uncond, cond []float32, scale float64) {
	s := float32(scale)
	for i, u := range uncond {
		dst[i] = u + float32(s*(cond[i]-u))
	}
}

// GuidePerturbed writes perturbed-attention guidance (Ahn et al. 2024, arXiv 2403.17377, in the convention of diffusers) into dst:
// [Guide] of uncond and cond, plus pag·(cond − perturbed), where perturbed is what the network predicts for the prompt with the maps of some
// self-attentions replaced by the identity. uncond nil stands for cond. The slices have equal length and dst may be one of the inputs.
func GuidePerturbed(dst, uncond, cond, perturbed []float32, scale, pag float64) {
	s, p := float32(scale), float32(pag)
	if uncond == nil {
		uncond = cond
	}
	for i, c := range cond {
		u := uncond[i]
		dst[i] = u + float32(s*(c-u)) + float32(p*(c-perturbed[i]))
	}
}

// Contrast writes the combination of CHATS (Fu et al. 2025, arXiv 2502.12579) into dst: win + scale·(win − lose), where win
// is what the network of preferred pictures predicts for the prompt, and lose what the network of dispreferred ones
// predicts for the proxy prompt (see [Proxy]). Scale counts what comes on top of win: with one network and alpha 0 it is
// [Guide] at scale+1. At scale 0 it is win. The slices have equal length and dst may be one of the inputs.
func Contrast(dst, win, lose []float32, scale float64) {
	s := float32(scale)
	for i, w := range win {
		dst[i] = w + float32(s*(w-lose[i]))
	}
}

// Proxy writes the proxy prompt of CHATS into dst: (1+alpha)·null − alpha·cond, on text embeddings and pooled ones alike.
// Alpha 0 is null, a larger one lies further from the prompt, and −1 is the prompt itself. The slices have equal length
// and dst may be one of the inputs.
func Proxy(dst, cond, null []float32, alpha float64) {
	a, b := float32(-alpha), float32(1+alpha)
	for i, c := range cond {
		dst[i] = float32(a*c) + float32(b*null[i])
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
