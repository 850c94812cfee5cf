package rewards

// CLIPScore (Hessel et al. 2021) is 2.5·max(cos, 0) with the words "A photo depicts " before the caption; the names ending
// in -noprefix leave them out, as many programs do. What others call by that name is scaled by 100, 1 or the logit scale.
const (
	CLIPScoreB32         = "clipscore-vit-b-32"
	CLIPScoreB32NoPrefix = "clipscore-vit-b-32-noprefix"
	CLIPScoreL14         = "clipscore-vit-l-14"
	CLIPScoreL14NoPrefix = "clipscore-vit-l-14-noprefix"
)

const depicts = "A photo depicts "

var clipScores = []spec{
	clipScore(CLIPScoreB32, CLIPScoreB32, depicts), clipScore(CLIPScoreB32NoPrefix, CLIPScoreB32, ""),
	clipScore(CLIPScoreL14, CLIPScoreL14, depicts), clipScore(CLIPScoreL14NoPrefix, CLIPScoreL14, ""),
}

func clipScore(name, folder, prefix string) spec {
	formula := "2.5·max(cos(text, image), 0)"
	if prefix != "" {
		formula = `2.5·max(cos("` + prefix + `" + text, image), 0)`
	}
	return spec{name: name, folder: folder, kind: kindDual, prefix: prefix, formula: formula, ofCosine: positiveCosine}
}

func positiveCosine(cosine float64, _ config) (score, slope float64) {
	const weight = 2.5
	if cosine <= 0 {
		return 0, 0
	}
	return weight * cosine, weight
}
