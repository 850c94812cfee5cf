package datasets

import "encoding/json"

// evalMuseFormat reads EvalMuse-40K (DYEvaLab/EvalMuse, train_list.json): a JSON list of
//
//	{"prompt": "…", "img_path": "…", "total_score": 3.7, "element_score": {"a cat (animal)": 0.67, …}, …}
//
// total_score is a mean of 1 to 5; element scores run from 0 to 1. One picture a record, rated, not ranked: the ratings are
// "total_score" and "element: …". Test lists have no scores.
func evalMuseFormat() *format {
	return &format{
		FormatInfo: FormatInfo{Name: "evalmuse", About: "EvalMuse-40K, rated pictures", Source: "DYEvaLab/EvalMuse train_list.json", Kind: KindGroup},
		ext:        []string{".json"}, keys: []string{"prompt", "img_path"}, row: evalMuseRow,
	}
}

func evalMuseRow(raw []byte, in *input) (Record, error) {
	var row struct {
		ID       json.RawMessage   `json:"prompt_id"`
		Prompt   string            `json:"prompt"`
		Path     string            `json:"img_path"`
		Total    *number           `json:"total_score"`
		Elements map[string]number `json:"element_score"`
	}
	if err := decode(raw, &row); err != nil {
		return Record{}, err
	}
	r := newRecord(KindGroup, row.Prompt)
	r.ID = scalar(row.ID)
	if err := checkPrompt("prompt", row.Prompt); err != nil {
		return r, err
	}
	if row.Path == "" {
		return r, missing("img_path")
	}
	im := in.image(row.Path)
	if row.Total != nil {
		if *row.Total < 1 || *row.Total > 5 {
			return r, columnf("total_score", "%v is not from 1 to 5", *row.Total)
		}
		im.rate("total_score", float64(*row.Total))
	}
	for name, v := range row.Elements {
		im.rate("element: "+name, float64(v))
	}
	r.Images = []Image{im}
	return r, nil
}

// scalar is a JSON string or number as text; "" for anything else.
func scalar(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}
