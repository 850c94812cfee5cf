package rewards

// CLIP is any CLIP-type dual encoder in a folder; its folder needs no reward.json.
const CLIP = "clip"

var clipReward = spec{name: CLIP, ofCosine: scaledCosine}

// scaledCosine is the logit that CLIP was trained with.
func scaledCosine(cosine float64, c config) (score, slope float64) {
	return c.LogitScale * cosine, c.LogitScale
}
