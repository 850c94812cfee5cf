package datasets

import "math"

// hpdv3Format reads HPDv3 (MizzenAI/HPDv3, train.json and test.json): a JSON list of
//
//	{"prompt": "…", "path1": "…", "path2": "…", "choice_dist": [a, b], "confidence": 0.97, "model1": "…", "model2": "…"}
//
// path1 is always the preferred picture, so pairs are swapped by a hash of their content unless Options.KeepOrder. choice_dist
// counts 9 to 19 annotators' votes and gives Soft; the official training keeps confidence from 0.95.
func hpdv3Format() *format {
	return &format{
		FormatInfo: FormatInfo{Name: "hpdv3", About: "HPDv3, pairs with vote counts", Source: "MizzenAI/HPDv3 train.json, test.json", Kind: KindPair},
		ext:        []string{".json"}, keys: []string{"prompt", "path1", "path2"}, row: hpdv3Row,
	}
}

func hpdv3Row(raw []byte, in *input) (Record, error) {
	var row struct {
		Prompt     string   `json:"prompt"`
		Path1      string   `json:"path1"`
		Path2      string   `json:"path2"`
		Choices    []number `json:"choice_dist"`
		Confidence *number  `json:"confidence"`
		Model1     string   `json:"model1"`
		Model2     string   `json:"model2"`
	}
	if err := decode(raw, &row); err != nil {
		return Record{}, err
	}
	a, b := in.image(row.Path1), in.image(row.Path2)
	a.Model, b.Model = row.Model1, row.Model2
	r := newPair(row.Prompt, a, b, 1)
	if err := checkPrompt("prompt", row.Prompt); err != nil {
		return r, err
	}
	if row.Path1 == "" {
		return r, missing("path1")
	}
	if row.Path2 == "" {
		return r, missing("path2")
	}
	if row.Choices != nil {
		share, err := voteShare("choice_dist", floats(row.Choices))
		if err != nil {
			return r, err
		}
		r.Soft = share
	}
	if row.Confidence != nil {
		r.Confidence = float64(*row.Confidence)
		if r.Confidence < 0 || r.Confidence > 1 || math.IsNaN(r.Confidence) {
			return r, columnf("confidence", "%v is no share of 1", r.Confidence)
		}
	}
	in.orient(&r)
	return r, nil
}
