package evaluation

import "winnow/datasets"

// Baseline is a published figure, in the unit of Figure.Value.
type Baseline struct {
	Scorer string `json:"scorer"`
	Metric string `json:"metric"`
	Value  Number `json:"value"`
	Source string `json:"source"`
}

const (
	hpsv2README = "HPSv2 README"
	hpsv3Paper  = "HPSv3, arXiv 2508.03789"
	mmrb2Paper  = "Multimodal RewardBench 2, text-to-image, both orders"
	unnamed     = "" // the source does not say which definition it used
)

// baselines are published numbers by set. Where the metric is empty the source does not name its definition, and numbers
// of different sources for one scorer differ for that reason.
var baselines = map[datasets.Format][]Baseline{
	"imagereward": {
		{"LAION aesthetic", "hpsv2.imagereward_macro", .574, hpsv2README},
		{"ImageReward", "hpsv2.imagereward_macro", .651, hpsv2README},
		{"HPS v1", "hpsv2.imagereward_macro", .612, hpsv2README},
		{"PickScore", "hpsv2.imagereward_macro", .629, hpsv2README},
		{"single human", "hpsv2.imagereward_macro", .653, hpsv2README},
		{"HPSv2", "hpsv2.imagereward_macro", .657, hpsv2README},
		{"HPSv2.1", "hpsv2.imagereward_macro", .668, hpsv2README},
		{"CLIP ViT-H/14", unnamed, .571, hpsv3Paper},
		{"PickScore", unnamed, .616, hpsv3Paper},
		{"MPS", unnamed, .675, hpsv3Paper},
		{"HPSv3", unnamed, .668, hpsv3Paper},
	},
	"hpdv2": {
		{"LAION aesthetic", "hpdv2.inversion", .768, hpsv2README},
		{"ImageReward", "hpdv2.inversion", .740, hpsv2README},
		{"HPS v1", "hpdv2.inversion", .776, hpsv2README},
		{"PickScore", "hpdv2.inversion", .798, hpsv2README},
		{"single human", "hpdv2.inversion", .781, hpsv2README},
		{"HPSv2", "hpdv2.inversion", .833, hpsv2README},
		{"HPSv2.1", "hpdv2.inversion", .841, hpsv2README},
		{"MPS", unnamed, .835, hpsv3Paper},
		{"HPSv3", unnamed, .854, hpsv3Paper},
	},
	"pickapic": {
		{"CLIP ViT-H/14", unnamed, .608, hpsv3Paper},
		{"LAION aesthetic", unnamed, .568, hpsv3Paper},
		{"ImageReward", unnamed, .611, hpsv3Paper},
		{"PickScore", unnamed, .705, hpsv3Paper},
		{"HPSv2", unnamed, .638, hpsv3Paper},
		{"HPSv3", unnamed, .728, hpsv3Paper},
	},
	"hpdv3": {
		{"CLIP ViT-H/14", unnamed, .486, hpsv3Paper},
		{"ImageReward", unnamed, .586, hpsv3Paper},
		{"PickScore", unnamed, .656, hpsv3Paper},
		{"HPSv2", unnamed, .653, hpsv3Paper},
		{"HPSv3", unnamed, .769, hpsv3Paper},
	},
	"mmrb2": {
		{"CLIPScore", unnamed, .510, mmrb2Paper},
		{"ImageReward", unnamed, .540, mmrb2Paper},
		{"HPSv2", unnamed, .547, mmrb2Paper},
		{"PickScore", unnamed, .586, mmrb2Paper},
		{"HPSv3", unnamed, .602, mmrb2Paper},
		{"GPT-5", unnamed, .705, mmrb2Paper},
	},
}

// Baselines are the published figures for a set.
func Baselines(format datasets.Format) []Baseline { return baselines[format] }
