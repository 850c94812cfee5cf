package rewards

// ImageReward is ImageReward v1.0 (Xu et al. 2023): BLIP's image encoder, BERT with cross attention to its tokens, and a
// linear head, standardised over the test split: about -2.3 to 2. It reads 35 word pieces. Text and picture go through one
// network together, so nothing but whole scores could be kept between calls.
const ImageReward = "imagereward-v1.0"

var imageReward = spec{
	name: ImageReward, folder: ImageReward, kind: kindPair, pieces: wordPieces,
	formula: "(head(BLIP(image, text)) - 0.16717362830052426) / 1.0333394966054072",
}
