package datasets

import (
	"encoding/json"
	"slices"
)

// genEvalFormat reads prompts/evaluation_metadata.jsonl of djghosh13/geneval, a prompt a line:
//
//	{"tag": "position", "include": [{"class": "cat", "count": 1}, {"class": "dog", "count": 1, "position": ["left of", 0]}],
//	 "exclude": [{"class": "cat", "count": 2}], "prompt": "a photo of a dog left of a cat"}
//
// Tags: position 100, color_attr 100, two_object 99, colors 94, single_object 80, counting 80. An object may have a "color";
// "counting" excludes one more of the class.
func genEvalFormat() *format {
	return &format{
		FormatInfo: FormatInfo{
			Name: "geneval", About: "GenEval prompts with object specifications", Source: "djghosh13/geneval prompts/evaluation_metadata.jsonl", Kind: KindPrompt,
			Known: []Known{{"evaluation_metadata.jsonl", Counts{Records: 553}}},
		},
		ext: []string{".jsonl"}, keys: []string{"tag", "include", "prompt"}, row: genEvalRow,
	}
}

var genEvalTags = []string{"single_object", "two_object", "counting", "colors", "position", "color_attr"}

type genEvalObject struct {
	Class    string            `json:"class"`
	Count    int               `json:"count"`
	Color    string            `json:"color"`
	Position []json.RawMessage `json:"position"`
}

func genEvalRow(raw []byte, _ *input) (Record, error) {
	var row struct {
		Tag     string          `json:"tag"`
		Include []genEvalObject `json:"include"`
		Exclude []genEvalObject `json:"exclude"`
		Prompt  string          `json:"prompt"`
	}
	if err := decode(raw, &row); err != nil {
		return Record{}, err
	}
	r := newRecord(KindPrompt, row.Prompt)
	r.Category = row.Tag
	if err := checkPrompt("prompt", row.Prompt); err != nil {
		return r, err
	}
	if !slices.Contains(genEvalTags, row.Tag) {
		return r, columnf("tag", "%q is none of %q", row.Tag, genEvalTags)
	}
	if len(row.Include) == 0 {
		return r, missing("include")
	}
	include, err := genEvalObjects("include", row.Include)
	if err != nil {
		return r, err
	}
	exclude, err := genEvalObjects("exclude", row.Exclude)
	if err != nil {
		return r, err
	}
	r.Spec = &ObjectSpec{Include: include, Exclude: exclude}
	return r, nil
}

func genEvalObjects(column string, rows []genEvalObject) ([]Object, error) {
	var all []Object
	for i, o := range rows {
		if o.Class == "" || o.Count < 1 {
			return nil, columnf(column, "object %d: class %q, count %d", i+1, o.Class, o.Count)
		}
		object := Object{Class: o.Class, Count: o.Count, Color: o.Color}
		if o.Position != nil {
			p := &Position{}
			if len(o.Position) != 2 || json.Unmarshal(o.Position[0], &p.Relation) != nil || json.Unmarshal(o.Position[1], &p.Target) != nil ||
				p.Target < 0 || p.Target >= len(rows) {
				return nil, columnf(column, "object %d: position is a relation and the place of another object", i+1)
			}
			object.Position = p
		}
		all = append(all, object)
	}
	return all, nil
}
