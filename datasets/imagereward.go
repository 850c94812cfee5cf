package datasets

// imageRewardFormat reads the test split of THUDM/ImageReward, data/test.json: a JSON list of
//
//	{"id": "005658-0040", "prompt": "…", "generations": ["part-005658/images/0040/….webp", …], "ranking": [1, 2, 5, 3]}
//
// Ranks run from 1 to 5, lower is better, ties are common, and the best image of a group need not have rank 1: the lowest
// rank is 2 in 48 groups and 3 in 3. The official file has 466 groups of 4 to 9 pictures.
func imageRewardFormat() *format {
	return &format{
		FormatInfo: FormatInfo{
			Name: "imagereward", About: "ImageReward test split, ranked groups", Source: "THUDM/ImageReward data/test.json", Kind: KindGroup,
			Known: []Known{{"official test split", Counts{Groups: 466, Pairs: 7230, Decided: 6399, Ties: 831, Images: 2720}}},
		},
		ext: []string{".json"}, keys: []string{"prompt", "generations", "ranking"}, row: imageRewardRow,
	}
}

func imageRewardRow(raw []byte, in *input) (Record, error) {
	var row struct {
		ID          string   `json:"id"`
		Prompt      string   `json:"prompt"`
		Generations []string `json:"generations"`
		Ranking     []number `json:"ranking"`
	}
	if err := decode(raw, &row); err != nil {
		return Record{}, err
	}
	r := newRecord(KindGroup, row.Prompt)
	r.ID = row.ID
	if err := checkPrompt("prompt", row.Prompt); err != nil {
		return r, err
	}
	return r, rankedGroup(&r, in, "generations", row.Generations, "ranking", row.Ranking)
}

// maxGroup bounds the pictures of one prompt: comparisons grow with its square.
const maxGroup = 4096

// rankedGroup fills in pictures and ranks, which must be as many.
func rankedGroup(r *Record, in *input, imageColumn string, paths []string, rankColumn string, ranks []number) error {
	switch {
	case len(paths) == 0:
		return missing(imageColumn)
	case len(paths) > maxGroup:
		return columnf(imageColumn, "%d pictures in one group; the limit is %d", len(paths), maxGroup)
	case len(ranks) != len(paths):
		return columnf(rankColumn, "%d ranks for %d pictures", len(ranks), len(paths))
	}
	for i, p := range paths {
		if p == "" {
			return columnf(imageColumn, "picture %d has no path", i+1)
		}
		r.Images = append(r.Images, in.image(p))
	}
	r.Rank = floats(ranks)
	return nil
}
