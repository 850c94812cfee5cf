package rewards

import "winnow/internal/tokenizer"

// The human preference scores (Wu et al. 2023), versions 2.0 and 2.1: a CLIP-H of open_clip that sees the whole frame between
// black bars. Scores are plain cosines, about 0.2 to 0.36; tables print them times 100. The names ending in -legacy-resize
// read the same folder and resize without antialiasing, as torchvision did when the tables of 2023 were made.
const (
	HPSv2        = "hpsv2"
	HPSv21       = "hpsv2.1"
	HPSv2Legacy  = "hpsv2-legacy-resize"
	HPSv21Legacy = "hpsv2.1-legacy-resize"
)

var hpsv2Rewards = []spec{hpsv2(HPSv2, HPSv2, false), hpsv2(HPSv2Legacy, HPSv2, true), hpsv2(HPSv21, HPSv21, false), hpsv2(HPSv21Legacy, HPSv21, true)}

func hpsv2(name, folder string, legacy bool) spec {
	return spec{
		name: name, folder: folder, kind: kindDual, legacy: legacy, clean: tokenizer.CleanOpenCLIP,
		formula:  "cos(text, image)",
		ofCosine: func(cosine float64, _ config) (score, slope float64) { return cosine, 1 },
	}
}
