package datasets

// hpdv2Format reads the test split of HPDv2 (dataset of tgxs002/HPSv2), test.json: a JSON list of 400
//
//	{"prompt": "…", "image_path": [9 paths], "rank": [9 numbers], "raw_annotations": [{"rank": […], "user_hash": "…"}, …]}
//
// rank is the consensus: rank[i] belongs to image_path[i], lower is better, means of annotators and ties occur. Pictures
// lie in the folder "test" beside the file.
func hpdv2Format() *format {
	return &format{
		FormatInfo: FormatInfo{
			Name: "hpdv2", About: "HPDv2 test split, ranked groups with single annotations", Source: "HPDv2 test.json (tgxs002/HPSv2)", Kind: KindGroup,
			Known: []Known{{"official test split", Counts{Groups: 400}}},
		},
		ext: []string{".json"}, keys: []string{"prompt", "image_path", "rank"}, row: hpdv2Row,
	}
}

func hpdv2Row(raw []byte, in *input) (Record, error) {
	var row struct {
		Prompt      string   `json:"prompt"`
		Images      []string `json:"image_path"`
		Rank        []number `json:"rank"`
		Annotations []struct {
			Rank []number `json:"rank"`
			User string   `json:"user_hash"`
		} `json:"raw_annotations"`
	}
	if err := decode(raw, &row); err != nil {
		return Record{}, err
	}
	r := newRecord(KindGroup, row.Prompt)
	if err := checkPrompt("prompt", row.Prompt); err != nil {
		return r, err
	}
	if err := rankedGroup(&r, in, "image_path", row.Images, "rank", row.Rank); err != nil {
		return r, err
	}
	for i, a := range row.Annotations {
		if len(a.Rank) != len(row.Images) {
			return r, columnf("raw_annotations", "annotation %d has %d ranks for %d pictures", i+1, len(a.Rank), len(row.Images))
		}
		r.Votes = append(r.Votes, Vote{User: a.User, Rank: floats(a.Rank)})
	}
	return r, nil
}

// hpdv2TrainFormat reads the training split of HPDv2, train.json: a JSON list of about 645,000
//
//	{"prompt": "…", "file_path": [a, b], "human_preference": [1, 0]}
//
// 1 marks the preferred picture. Copies with image_path in place of file_path exist. Pictures lie in the folder "train"
// beside the file.
func hpdv2TrainFormat() *format {
	return &format{
		FormatInfo: FormatInfo{
			Name: "hpdv2-train", About: "HPDv2 training split, pairs", Source: "HPDv2 train.json (tgxs002/HPSv2)", Kind: KindPair,
		},
		ext: []string{".json"}, keys: []string{"prompt", "human_preference"}, row: hpdv2TrainRow,
	}
}

func hpdv2TrainRow(raw []byte, in *input) (Record, error) {
	var row struct {
		Prompt     string   `json:"prompt"`
		File       []string `json:"file_path"`
		Image      []string `json:"image_path"`
		Preference []number `json:"human_preference"`
	}
	if err := decode(raw, &row); err != nil {
		return Record{}, err
	}
	paths, column := row.File, "file_path"
	if paths == nil {
		paths, column = row.Image, "image_path"
	}
	r := newRecord(KindPair, row.Prompt)
	if err := checkPrompt("prompt", row.Prompt); err != nil {
		return r, err
	}
	if len(paths) != 2 || paths[0] == "" || paths[1] == "" {
		return r, columnf(column, "%d pictures; a pair has 2 with names", len(paths))
	}
	share, err := voteShare("human_preference", floats(row.Preference))
	r = newPair(row.Prompt, in.image(paths[0]), in.image(paths[1]), hardLabel(share))
	r.Soft = share
	return r, err
}

// voteShare is the first of two votes as a share of both.
func voteShare(column string, votes []float64) (float64, error) {
	if len(votes) != 2 {
		return 0, columnf(column, "%d numbers; a pair has 2", len(votes))
	}
	a, b := votes[0], votes[1]
	sum := a + b
	if !(a >= 0 && b >= 0 && sum > 0 && sum <= 1e9) {
		return 0, columnf(column, "%v and %v are no votes: want numbers from 0, not both 0", a, b)
	}
	return a / sum, nil
}
