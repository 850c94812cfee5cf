package datasets

import (
	"encoding/json"
	"math"
	"strings"
)

// mmrb2Format reads Multimodal RewardBench 2 (facebookresearch/MMRB2), one task a file:
//
//	{"pairs": [{"pair_id", "prompt_source", "prompt_content": [["text", "…"], ["image", "path"], …],
//	  "response_a": {"model", "response_content": [["image", "path"]]}, "response_b": …, "chosen": "A" or "B"}]}
//
// Judges are asked in both orders and each verdict counts. Pictures of the prompt become Record.Inputs. Responses of other
// than one picture (interleaved text) cannot be a pair of pictures and are reported as broken rows.
func mmrb2Format() *format {
	return &format{
		FormatInfo: FormatInfo{Name: "mmrb2", About: "Multimodal RewardBench 2, pairs", Source: "facebookresearch/MMRB2 <task>.json", Kind: KindPair},
		ext:        []string{".json"}, keys: []string{"pair_id", "prompt_content", "response_a", "response_b"}, list: "pairs", row: mmrb2Row,
	}
}

// part is ["text", "…"] or ["image", "path"].
type part [2]string

type mmrb2Response struct {
	Model   string `json:"model"`
	Content []part `json:"response_content"`
}

func mmrb2Row(raw []byte, in *input) (Record, error) {
	var row struct {
		ID     json.RawMessage `json:"pair_id"`
		Source string          `json:"prompt_source"`
		Prompt []part          `json:"prompt_content"`
		A      mmrb2Response   `json:"response_a"`
		B      mmrb2Response   `json:"response_b"`
		Chosen string          `json:"chosen"`
	}
	if err := decode(raw, &row); err != nil {
		return Record{}, err
	}
	texts, inputs, err := split("prompt_content", row.Prompt, in)
	r := newPair(strings.Join(texts, "\n"), Image{}, Image{}, math.NaN())
	r.ID, r.Category, r.Inputs = scalar(row.ID), row.Source, inputs
	if err != nil {
		return r, err
	}
	if err := checkPrompt("prompt_content", r.Prompt); err != nil {
		return r, err
	}
	for i, response := range []mmrb2Response{row.A, row.B} {
		column := []string{"response_a", "response_b"}[i]
		_, pictures, err := split(column, response.Content, in)
		if err != nil {
			return r, err
		}
		if len(pictures) != 1 {
			return r, columnf(column, "%d pictures; only responses of one picture can be compared", len(pictures))
		}
		r.Images[i] = pictures[0]
		r.Images[i].Model = response.Model
	}
	switch strings.ToUpper(row.Chosen) {
	case "A":
		r.Label = 1
	case "B":
		r.Label = 0
	default:
		return r, columnf("chosen", "%q is neither A nor B", row.Chosen)
	}
	r.Soft = r.Label
	return r, nil
}

// split parts a message into texts and pictures.
func split(column string, parts []part, in *input) (texts []string, pictures []Image, err error) {
	for i, p := range parts {
		switch {
		case p[0] == "text":
			texts = append(texts, p[1])
		case p[0] == "image" && p[1] != "":
			pictures = append(pictures, in.image(p[1]))
		default:
			return nil, nil, columnf(column, "part %d is of kind %q", i+1, p[0])
		}
	}
	return texts, pictures, nil
}
