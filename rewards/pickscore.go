package rewards

// PickScore is PickScore v1 (Kirstain et al. 2023): CLIP-H trained on the votes of Pick-a-Pic. Its logit scale, about 100, is
// read from the checkpoint at export. Softmax over the scores of a prompt's pictures is its probability of being preferred.
const PickScore = "pickscore-v1"

var pickScore = spec{
	name: PickScore, folder: PickScore, kind: kindDual,
	formula: "exp(logit_scale)·cos(text, image)", ofCosine: scaledCosine,
}
