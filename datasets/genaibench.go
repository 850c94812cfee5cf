package datasets

import (
	"maps"
	"math"
	"slices"
)

// votes are the four verdicts of the arena. Both bad is a tie to most evaluations; it is told apart by the attribute
// "vote_type".
var votes = map[string]float64{"leftvote": 1, "rightvote": 0, "tievote": 0.5, "bothbad_vote": 0.5}

// genAIBenchFormat reads the arena's GenAI-Bench (TIGER-Lab/GenAI-Bench, image_generation) as a JSON list or JSON lines:
//
//	{"prompt": "…", "left_model": "…", "left_image": "path", "right_model": "…", "right_image": "path", "vote_type": "leftvote"}
//
// vote_type is leftvote, rightvote, tievote or bothbad_vote; most evaluations use left and right only.
func genAIBenchFormat() *format {
	return &format{
		FormatInfo: FormatInfo{Name: "genai-bench", About: "GenAI-Bench arena votes, pairs, as JSON", Source: "TIGER-Lab/GenAI-Bench image_generation", Kind: KindPair},
		ext:        []string{".json", ".jsonl"}, keys: []string{"prompt", "left_image", "right_image", "vote_type"}, row: genAIBenchRow,
	}
}

func genAIBenchRow(raw []byte, in *input) (Record, error) {
	var row struct {
		Prompt     string `json:"prompt"`
		LeftModel  string `json:"left_model"`
		LeftImage  string `json:"left_image"`
		RightModel string `json:"right_model"`
		RightImage string `json:"right_image"`
		Vote       string `json:"vote_type"`
	}
	if err := decode(raw, &row); err != nil {
		return Record{}, err
	}
	if row.LeftImage == "" {
		return Record{}, missing("left_image")
	}
	if row.RightImage == "" {
		return Record{}, missing("right_image")
	}
	left, right := in.image(row.LeftImage), in.image(row.RightImage)
	left.Model, right.Model = row.LeftModel, row.RightModel
	return arenaPair(row.Prompt, left, right, row.Vote)
}

// arenaPair is a pair with one of the four verdicts.
func arenaPair(prompt string, left, right Image, vote string) (Record, error) {
	label, ok := votes[vote]
	r := newPair(prompt, left, right, label)
	r.Attributes = map[string]string{"vote_type": vote}
	if err := checkPrompt("prompt", prompt); err != nil {
		return r, err
	}
	if !ok {
		r.Label, r.Soft = math.NaN(), math.NaN()
		return r, columnf("vote_type", "%q is none of %q", vote, slices.Sorted(maps.Keys(votes)))
	}
	return r, nil
}

// genAIBenchParquetFormat reads the same rows from the hub's parquet files, with pictures inside.
func genAIBenchParquetFormat() *format {
	return &format{
		FormatInfo: FormatInfo{
			Name: "genai-bench-parquet", About: "GenAI-Bench arena votes, pairs with pictures inside",
			Source: "TIGER-Lab/GenAI-Bench image_generation/*.parquet", Kind: KindPair,
		},
		ext: []string{".parquet"}, keys: []string{"prompt", "vote_type"},
		column: []string{"prompt", "left_model", "left_image", "right_model", "right_image", "vote_type"},
		wants:  func(t *table) error { return t.needPictures("left_image", "right_image", "prompt", "vote_type") },
		table: func(t *table, in *input) (Record, error) {
			left, err := t.picture("left_image", in)
			if err != nil {
				return Record{}, err
			}
			right, err := t.picture("right_image", in)
			if err != nil {
				return Record{}, err
			}
			var prompt, vote string
			for column, field := range map[string]*string{"prompt": &prompt, "vote_type": &vote, "left_model": &left.Model, "right_model": &right.Model} {
				if *field, err = t.text(column); err != nil {
					return Record{}, err
				}
			}
			return arenaPair(prompt, left, right, vote)
		},
	}
}

// genAIBenchRatingsFormat reads the ratings of GenAI-Bench (linzhiqiu/t2v_metrics, genai_image.json): an object of 1,600
// prompts by number,
//
//	"00001": {"id": "00001", "prompt": "…", "models": {"DALLE_3": [5, 4, 5], …}}
//
// with three raters' marks of 1 to 5 for each of 6 models. Pictures are <model>/<id>.jpeg. The rating "human" is the mean.
func genAIBenchRatingsFormat() *format {
	return &format{
		FormatInfo: FormatInfo{
			Name: "genai-bench-ratings", About: "GenAI-Bench human ratings, rated groups", Source: "linzhiqiu/t2v_metrics genai_image.json", Kind: KindGroup,
			Known: []Known{{"all prompts", Counts{Groups: 1600, Images: 9600}}},
		},
		ext: []string{".json"}, keys: []string{"prompt", "models"}, list: "*", row: genAIRatingsRow,
	}
}

func genAIRatingsRow(raw []byte, in *input) (Record, error) {
	var row struct {
		ID     string              `json:"id"`
		Prompt string              `json:"prompt"`
		Models map[string][]number `json:"models"`
	}
	if err := decode(raw, &row); err != nil {
		return Record{}, err
	}
	r := newRecord(KindGroup, row.Prompt)
	r.ID = row.ID
	if err := checkPrompt("prompt", row.Prompt); err != nil {
		return r, err
	}
	if row.ID == "" {
		return r, missing("id")
	}
	if len(row.Models) == 0 {
		return r, missing("models")
	}
	for _, model := range slices.Sorted(maps.Keys(row.Models)) {
		im := in.image(model + "/" + row.ID + ".jpeg")
		im.Model = model
		sum := 0.0
		for _, mark := range row.Models[model] {
			if !(mark >= 1 && mark <= 5) {
				return r, columnf("models."+model, "%v is not from 1 to 5", mark)
			}
			sum += float64(mark)
		}
		if n := len(row.Models[model]); n > 0 {
			im.rate("human", sum/float64(n))
		}
		r.Images = append(r.Images, im)
	}
	return r, nil
}
