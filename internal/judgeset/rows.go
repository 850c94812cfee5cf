package judgeset

import (
	"encoding/json"
	"strings"
)

// Layouts that are written.
const (
	TRL          = "trl"
	Verl         = "verl"
	LLaMAFactory = "llama-factory"
)

// Layouts lists them.
func Layouts() []string { return []string{TRL, Verl, LLaMAFactory} }

// Tasks that a set is for.
const (
	GRPO = "grpo" // questions, and the truth that /v1/judge-reward grades answers by
	SFT  = "sft"  // questions and right answers
)

// picture is a picture of a row: its bytes in parquet, where the columns are those of the image type of Hugging Face's datasets, and a path
// in JSON. Lists of them and their members are optional in the file, and so hold pointers: only then is the column equal to the one that
// datasets makes of the described type, and what is not equal it reads as plain bytes.
type picture struct {
	Bytes []byte `parquet:"bytes,optional"`
	Path  string `parquet:"path,optional"`
}

// MarshalJSON is the path.
func (p picture) MarshalJSON() ([]byte, error) { return json.Marshal(p.Path) }

// verlPicture is a picture where verl reads JSON.
type verlPicture picture

// MarshalJSON names the path as verl's reader of pictures (qwen-vl-utils) does.
func (p verlPicture) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"image": p.Path})
}

// content is a part of a message: "text", or "image" for the next picture.
type content struct {
	Type string  `json:"type" parquet:"type"`
	Text *string `json:"text,omitempty" parquet:"text,optional"`
}

// structured is a message whose pictures stand where they belong.
type structured struct {
	Role    string    `json:"role" parquet:"role"`
	Content []content `json:"content" parquet:"content,list"`
}

// plain is a message with <image> in its text.
type plain struct {
	Role    string `json:"role" parquet:"role"`
	Content string `json:"content" parquet:"content"`
}

// about is what every row tells of itself besides.
type about struct {
	Truth    string `json:"truth" parquet:"truth"`   // JSON: {"share": 0.7} or {"ranks": [2, 1, 3]}, of the pictures in the order shown
	Answer   string `json:"answer" parquet:"answer"` // right answer; "" to a tie that a digit cannot say
	Template string `json:"template" parquet:"template"`
	PromptID string `json:"prompt_id" parquet:"prompt_id"` // equal for equal prompts
	Turned   bool   `json:"turned" parquet:"turned"`       // the same question with its pictures in opposite order
}

// trlRow is what TRL's GRPOTrainer reads; columns that it does not know go to the reward function.
type trlRow struct {
	Prompt []structured `json:"prompt" parquet:"prompt,list"`
	Images []*picture   `json:"images" parquet:"images,optional,list"`
	about
}

// trlAnswered is what TRL's SFTTrainer reads.
type trlAnswered struct {
	Prompt     []structured `json:"prompt" parquet:"prompt,list"`
	Completion []structured `json:"completion" parquet:"completion,list"`
	Images     []*picture   `json:"images" parquet:"images,optional,list"`
	about
}

// messagesRow is what LLaMA-Factory reads as "sharegpt", and verl's trainer of answered conversations.
type messagesRow struct {
	Messages []plain    `json:"messages" parquet:"messages,list"`
	Images   []*picture `json:"images" parquet:"images,optional,list"`
	about
}

// verlRow is what verl's RLHFDataset reads.
type verlRow struct {
	DataSource  string         `json:"data_source" parquet:"data_source"`
	Prompt      []plain        `json:"prompt" parquet:"prompt,list"`
	Images      []*verlPicture `json:"images" parquet:"images,optional,list"`
	Ability     string         `json:"ability" parquet:"ability"`
	RewardModel rewardModel    `json:"reward_model" parquet:"reward_model"`
	ExtraInfo   extraInfo      `json:"extra_info" parquet:"extra_info"`
}

type rewardModel struct {
	Style       string `json:"style" parquet:"style"`
	GroundTruth string `json:"ground_truth" parquet:"ground_truth"`
}

type extraInfo struct {
	Index int64  `json:"index" parquet:"index"`
	Split string `json:"split" parquet:"split"`
	about
}

// verlSource is how verl's reward functions tell sets apart.
const verlSource = "winnow/judge"

func (q *question) about() about {
	return about{q.groundTruth(), q.answer, q.Template.ID, promptID(q.prompt), q.turned}
}

func textPart(text string) content { return content{Type: "text", Text: &text} }

// structured messages: texts are joined as they stand, pictures between them.
func (q *question) structured() []structured {
	user := structured{Role: "user"}
	for _, p := range q.Parts {
		if p.Picture {
			user.Content = append(user.Content, content{Type: "image"})
		} else {
			user.Content = append(user.Content, textPart(p.Text))
		}
	}
	return []structured{{Role: "system", Content: []content{textPart(q.System)}}, user}
}

// plain messages have a line for each part.
func (q *question) plain() []plain {
	lines := make([]string, len(q.Parts))
	for i, p := range q.Parts {
		if lines[i] = p.Text; p.Picture {
			lines[i] = "<image>"
		}
	}
	return []plain{{"system", q.System}, {"user", strings.Join(lines, "\n")}}
}

// row is the question in a layout.
func (q *question) row(layout, task, split string, index int, images []*picture) any {
	answer := q.answer
	switch {
	case layout == TRL && task == SFT:
		return trlAnswered{q.structured(), []structured{{"assistant", []content{textPart(answer)}}}, images, q.about()}
	case layout == TRL:
		return trlRow{q.structured(), images, q.about()}
	case task == SFT:
		return messagesRow{append(q.plain(), plain{"assistant", answer}), images, q.about()}
	}
	pictures := make([]*verlPicture, len(images))
	for i, p := range images {
		pictures[i] = (*verlPicture)(p)
	}
	return verlRow{verlSource, q.plain(), pictures, "image preference", rewardModel{"rule", q.groundTruth()}, extraInfo{int64(index), split, q.about()}}
}
