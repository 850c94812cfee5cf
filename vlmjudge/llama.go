package vlmjudge

import (
	"context"
	"encoding/json"
	"strings"
)

type (
	llamaRequest struct {
		Prompt struct {
			Text     string   `json:"prompt_string"`
			Pictures []string `json:"multimodal_data,omitempty"` // files in base64, for the marks in Text
		} `json:"prompt"`
		Predict     int      `json:"n_predict"`
		Probs       int      `json:"n_probs,omitempty"`
		Temperature *float64 `json:"temperature,omitempty"`
		Seed        *int64   `json:"seed,omitempty"`

		Schema json.RawMessage `json:"json_schema,omitempty"`

		Stream      bool `json:"stream"`
		CachePrompt bool `json:"cache_prompt"` // what is reused changes probabilities a little
	}
	llamaReply struct {
		Error     json.RawMessage `json:"error"`
		Content   *string         `json:"content"`
		Model     string          `json:"model"`
		Stop      string          `json:"stop_type"`
		Truncated bool            `json:"truncated"`
		Prompt    int             `json:"tokens_evaluated"`
		Predicted int             `json:"tokens_predicted"`
		Probs     json.RawMessage `json:"completion_probabilities"` // of the form that chat completions have in "content"
	}
)

// sendLlama asks llama.cpp in its own form. The server renders the model's chat template, in which it leaves a mark for
// each picture; the pictures themselves are sent once, with the question.
func (j *Judge) sendLlama(ctx context.Context, req chatRequest) (*chatReply, error) {
	own := llamaRequest{Predict: req.MaxTokens, Probs: req.TopLogprobs, Temperature: req.Temperature, Seed: req.Seed, Schema: req.schema()}
	stand, pictures := standIns(req.Messages)
	text, err := j.renderLlama(ctx, stand)
	if err != nil {
		return nil, err
	}
	own.Prompt.Text, own.Prompt.Pictures = text, pictures
	address := j.root() + "/completion"
	body, err := j.client.post(ctx, address, own)
	if err != nil {
		return nil, err
	}
	var reply llamaReply
	err = json.Unmarshal(body, &reply)
	switch {
	case err != nil:
		return nil, noAnswer(address, body, j.options.Key, "the reply is not one of llama.cpp: "+err.Error(), "check the address")
	case reply.Content == nil:
		return nil, noAnswer(address, body, j.options.Key, "the reply holds no content", "check the address; the server's log says more")
	case reply.Truncated:
		return nil, noAnswer(address, nil, j.options.Key, "the question does not fit into the context and was cut", "start the server with a larger --ctx-size, or lower the pixel budget")
	}
	finish := reply.Stop
	if finish == "limit" {
		finish = "length"
	}
	out := &chatReply{Model: reply.Model, Choices: []choice{{Finish: finish, Logprobs: asContent(reply.Probs)}}}
	out.Choices[0].Message.Content = asText(*reply.Content)
	out.Usage.Prompt, out.Usage.Completion = reply.Prompt, reply.Predicted
	return out, nil
}

// renderLlama has the server write messages as the model's template says.
func (j *Judge) renderLlama(ctx context.Context, messages []message) (string, error) {
	address := j.root() + "/apply-template"
	body, err := j.client.post(ctx, address, map[string]any{"messages": messages})
	if err != nil {
		return "", err
	}
	var reply struct {
		Prompt string `json:"prompt"`
	}
	if err := json.Unmarshal(body, &reply); err != nil || reply.Prompt == "" {
		return "", noAnswer(address, body, j.options.Key, "the reply holds no prompt", "check that this is the server of llama.cpp")
	}
	return reply.Prompt, nil
}

// onePixel stands for a picture where only its place counts.
const onePixel = dataPrefix + "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="

// standIns takes the pictures out of messages, in their order.
func standIns(messages []message) (bare []message, pictures []string) {
	for _, m := range messages {
		parts, ok := m.Content.([]part)
		if !ok {
			bare = append(bare, m)
			continue
		}
		var without []part
		for _, p := range parts {
			if p.Image != nil {
				pictures = append(pictures, strings.TrimPrefix(p.Image.URL, dataPrefix))
				p.Image = &imageURL{URL: onePixel}
			}
			without = append(without, p)
		}
		bare = append(bare, message{Role: m.Role, Content: without})
	}
	return bare, pictures
}
