package datasets

import (
	"encoding/json"
	"math"
	"strings"
)

// jsonlFormat reads and is what the JSONL writer writes: one JSON object a line, every field of Record under its name in
// lower case.
//
//	{"prompt": "…", "images": ["a.png", {"path": "b.png", "model": "sdxl"}], "rank": [1, 2]}    a ranked group
//	{"prompt": "…", "images": ["a.png", "b.png"], "label": 1}                                   a pair; null is no label
//	{"prompt": "…", "chosen": "a.png", "rejected": "b.png"}                                     a pair; swapped by its hash
//	{"prompt": "…", "image_0": "a.png", "image_1": "b.png", "label_0": 0.5}                     a pair
//	{"prompt": "…", "image": "a.png"}                                                           one picture
//	{"prompt": "…", "image": "a.png", "label": 1}                                               one picture that is liked; 0: that is not
//	{"prompt": "…"}                                                                             a prompt
//
// scores may stand beside any pictures, one number each (the chosen one first, where there is one); null is no score.
// An image is a path, an http address, or an object {"path", "url", "data" (base64), "uid", "model", "ratings"}. Labels between
// 0 and 1 are shares of votes. caption and text may stand for prompt.
func jsonlFormat() *format {
	return &format{
		FormatInfo: FormatInfo{Name: "jsonl", About: "JSON lines: prompts, groups and pairs; also written", Source: "any"},
		ext:        []string{".jsonl", ".ndjson"}, keys: nil, row: jsonlRow,
	}
}

// jsonImage is an image in a JSON row.
type jsonImage struct {
	Path    string             `json:"path,omitempty"`
	URL     string             `json:"url,omitempty"`
	Data    []byte             `json:"data,omitempty"`
	UID     string             `json:"uid,omitempty"`
	Model   string             `json:"model,omitempty"`
	Ratings map[string]float64 `json:"ratings,omitempty"`
}

// UnmarshalJSON takes a string for a path or an address.
func (j *jsonImage) UnmarshalJSON(raw []byte) error {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		*j = jsonImage{}
		if strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://") {
			j.URL = name
		} else {
			j.Path = name
		}
		return nil
	}
	type object jsonImage
	return json.Unmarshal(raw, (*object)(j))
}

func (j *jsonImage) image(in *input) Image {
	im := in.image(j.Path)
	im.URL, im.Data, im.UID, im.Model, im.Ratings = j.URL, j.Data, j.UID, j.Model, j.Ratings
	return im
}

func (j *jsonImage) empty() bool {
	return j == nil || j.Path == "" && j.URL == "" && len(j.Data) == 0 && j.UID == ""
}

// optional is a number that may be absent, or null, which says that there is no label.
type optional struct {
	set   bool
	value float64 // NaN for null
}

// UnmarshalJSON is called for null, too.
func (o *optional) UnmarshalJSON(raw []byte) error {
	o.set = true
	return (*number)(&o.value).UnmarshalJSON(raw)
}

// MarshalJSON writes NaN as null.
func (o optional) MarshalJSON() ([]byte, error) { return number(o.value).MarshalJSON() }

func (o *optional) number() *number {
	if !o.set {
		return nil
	}
	return known(o.value)
}

// IsZero leaves the key out.
func (o optional) IsZero() bool { return !o.set }

type jsonVote struct {
	User string   `json:"user,omitempty"`
	Rank []number `json:"rank"`
}

// jsonRow has every field of the written form.
type jsonRow struct {
	Kind       string            `json:"kind,omitempty"`
	ID         json.RawMessage   `json:"id,omitempty"`
	Prompt     string            `json:"prompt"`
	Category   string            `json:"category,omitempty"`
	Images     []jsonImage       `json:"images,omitempty"`
	Rank       []number          `json:"rank,omitempty"`
	Scores     []number          `json:"scores,omitempty"`
	Label      optional          `json:"label,omitzero"`
	Soft       *number           `json:"soft,omitempty"`
	Confidence *number           `json:"confidence,omitempty"`
	Weight     *number           `json:"weight,omitempty"`
	Votes      []jsonVote        `json:"votes,omitempty"`
	Inputs     []jsonImage       `json:"inputs,omitempty"`
	Spec       *ObjectSpec       `json:"spec,omitempty"`
	Questions  []Question        `json:"questions,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// jsonlInput adds the short forms.
type jsonlInput struct {
	jsonRow
	Caption  string     `json:"caption"`
	Text     string     `json:"text"`
	Image    *jsonImage `json:"image"`
	Chosen   *jsonImage `json:"chosen"`
	Rejected *jsonImage `json:"rejected"`
	Image0   *jsonImage `json:"image_0"`
	Image1   *jsonImage `json:"image_1"`
	Label0   *number    `json:"label_0"`
}

func jsonlRow(raw []byte, in *input) (Record, error) {
	if isString(raw) {
		return promptRow(raw, in)
	}
	var row jsonlInput
	if err := decode(raw, &row); err != nil {
		return Record{}, err
	}
	for _, other := range []string{row.Caption, row.Text} {
		if row.Prompt == "" {
			row.Prompt = other
		}
	}
	r := newRecord(KindPrompt, row.Prompt)
	r.ID, r.Category, r.Attributes, r.Spec, r.Questions = scalar(row.ID), row.Category, row.Attributes, row.Spec, row.Questions
	if err := checkPrompt("prompt", row.Prompt); err != nil {
		return r, err
	}
	if len(row.Images) > maxGroup || len(row.Inputs) > maxGroup {
		return r, columnf("images", "more than %d pictures", maxGroup)
	}
	for i := range row.Inputs {
		r.Inputs = append(r.Inputs, row.Inputs[i].image(in))
	}
	if err := row.numbers(&r); err != nil {
		return r, err
	}
	if row.Scores != nil {
		r.Scores = floats(row.Scores)
	}
	err := row.pictures(&r, in)
	if err == nil && row.Scores != nil && len(row.Scores) != len(r.Images) {
		err = columnf("scores", "%d scores for %d pictures", len(row.Scores), len(r.Images))
	}
	return r, err
}

// numbers takes over what has a range.
func (row *jsonlInput) numbers(r *Record) error {
	for _, n := range []struct {
		name  string
		value *number
		field *float64
		most  float64
	}{
		{"confidence", row.Confidence, &r.Confidence, 1},
		{"weight", row.Weight, &r.Weight, math.MaxFloat64},
		{"label_0", row.Label0, &r.Soft, 1},
		{"label", row.Label.number(), &r.Soft, 1},
		{"soft", row.Soft, &r.Soft, 1},
	} {
		if n.value == nil || math.IsNaN(float64(*n.value)) {
			continue
		}
		if v := float64(*n.value); v < 0 || v > n.most {
			return columnf(n.name, "%v is out of range", v)
		}
		*n.field = float64(*n.value)
	}
	return nil
}

// pictures decides what kind of record the row is.
func (row *jsonlInput) pictures(r *Record, in *input) error {
	switch {
	case row.Chosen != nil || row.Rejected != nil:
		return row.pair(r, in, "chosen", row.Chosen, "rejected", row.Rejected)
	case row.Image0 != nil || row.Image1 != nil:
		return row.pair(r, in, "image_0", row.Image0, "image_1", row.Image1)
	case row.Image != nil:
		row.Images = append(row.Images, *row.Image)
	}
	for i := range row.Images {
		r.Images = append(r.Images, row.Images[i].image(in))
	}
	switch {
	case len(r.Images) == 0 && row.Kind != "" && row.Kind != "prompt":
		return missing("images")
	case len(r.Images) == 0:
		return nil
	case row.Kind == "pair" || row.Kind == "" && (row.Label0 != nil || row.Label.set && len(r.Images) > 1):
		if len(row.Images) != 2 {
			return columnf("images", "%d pictures; a pair has 2", len(row.Images))
		}
		return row.pair(r, in, "images", &row.Images[0], "images", &row.Images[1])
	}
	r.Kind = KindGroup
	if label := row.Label; label.set && !math.IsNaN(label.value) {
		if len(r.Images) > 1 {
			return columnf("label", "is one of a pair or of one picture, and this is a group of %d", len(r.Images))
		}
		r.Label = hardLabel(label.value)
	}
	if row.Rank != nil {
		if len(row.Rank) != len(r.Images) {
			return columnf("rank", "%d ranks for %d pictures", len(row.Rank), len(r.Images))
		}
		r.Rank = floats(row.Rank)
	}
	for i, v := range row.Votes {
		if len(v.Rank) != len(r.Images) {
			return columnf("votes", "vote %d has %d ranks for %d pictures", i+1, len(v.Rank), len(r.Images))
		}
		r.Votes = append(r.Votes, Vote{User: v.User, Rank: floats(v.Rank)})
	}
	return nil
}

func (row *jsonlInput) pair(r *Record, in *input, first string, a *jsonImage, second string, b *jsonImage) error {
	if a.empty() {
		return missing(first)
	}
	if b.empty() {
		return missing(second)
	}
	r.Kind, r.Images = KindPair, []Image{a.image(in), b.image(in)}
	if first == "chosen" {
		r.Label, r.Soft = 1, 1
		in.orient(r)
		return nil
	}
	label := hardLabel(r.Soft)
	switch { // a label of 0, 0.5 or 1 beside a share stands by itself
	case row.Label.set:
		label = hardLabel(row.Label.value)
	case row.Label0 != nil:
		label = hardLabel(float64(*row.Label0))
	}
	r.Label = label
	return nil
}
