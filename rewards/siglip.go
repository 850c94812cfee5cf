package rewards

import "math"

// SigLIP is a dual encoder that was trained with a sigmoid instead of a softmax (Zhai et al. 2023; version 2 has another
// tokenizer and is not read). The score is transformers' logits_per_image, below 0 for most pictures that do not fit;
// scale, about 110, and bias, about -13, are read from the checkpoint at export. SigLIPProbability reads the same folder and
// gives the logistic function of it, the probability that text and picture belong together: nearly 0 or 1 for most, so the
// logit is the better reward to optimise. Text is lower-cased, loses its punctuation, and has 64 tokens.
const (
	SigLIP            = "siglip"
	SigLIPProbability = "siglip-probability"
)

const siglipFormula = "exp(logit_scale)·cos(text, image) + logit_bias"

var siglipRewards = []spec{
	{name: SigLIP, folder: SigLIP, kind: kindDual, pieces: siglipPieces, biased: true, formula: siglipFormula, ofCosine: siglipLogit},
	{name: SigLIPProbability, folder: SigLIP, kind: kindDual, pieces: siglipPieces, biased: true, formula: "sigmoid(" + siglipFormula + ")", ofCosine: siglipProbability},
}

func siglipLogit(cosine float64, c config) (score, slope float64) {
	return c.LogitScale*cosine + c.LogitBias, c.LogitScale
}

func siglipProbability(cosine float64, c config) (score, slope float64) {
	logit, slope := siglipLogit(cosine, c)
	p := 1 / (1 + math.Exp(-logit))
	return p, slope * p * (1 - p)
}
