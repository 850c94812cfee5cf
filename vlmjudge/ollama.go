package vlmjudge

import (
	"context"
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

type (
	ollamaMessage struct {
		Role    string   `json:"role"`
		Content string   `json:"content"`
		Images  []string `json:"images,omitempty"` // files in base64
	}
	ollamaRequest struct {
		Model       string          `json:"model"`
		Messages    []ollamaMessage `json:"messages"`
		Stream      bool            `json:"stream"` // the default is true
		Think       *bool           `json:"think,omitempty"`
		Logprobs    bool            `json:"logprobs,omitempty"`
		TopLogprobs int             `json:"top_logprobs,omitempty"`
		Format      json.RawMessage `json:"format,omitempty"` // a schema
		Options     ollamaOptions   `json:"options"`
	}
	ollamaOptions struct {
		Temperature *float64 `json:"temperature,omitempty"`
		Seed        *int64   `json:"seed,omitempty"`
		Predict     int      `json:"num_predict"`
		Context     int      `json:"num_ctx"`
	}
	ollamaReply struct {
		Error   string `json:"error"`
		Model   string `json:"model"`
		Message *struct {
			Content  string    `json:"content"`
			Thinking looseText `json:"thinking"`
		} `json:"message"`
		Reason     string          `json:"done_reason"`
		Prompt     int             `json:"prompt_eval_count"`
		Completion int             `json:"eval_count"`
		Logprobs   json.RawMessage `json:"logprobs"` // a list, of the form that chat completions have in "content"
	}
)

// sendOllama asks in Ollama's own form: there the context can be made long enough for two pictures, and thinking be
// turned off. It has one answer a request.
func (j *Judge) sendOllama(ctx context.Context, req chatRequest) (*chatReply, error) {
	own := ollamaRequest{
		Model: req.Model, Messages: ollamaMessages(req.Messages), Logprobs: req.Logprobs, TopLogprobs: req.TopLogprobs, Format: req.schema(),
		Options: ollamaOptions{Temperature: req.Temperature, Seed: req.Seed, Predict: req.MaxTokens, Context: j.ollamaContext()},
	}
	if req.MaxTokens <= shortAnswer {
		own.Think = new(bool)
	}
	address := j.root() + "/api/chat"
	body, err := j.client.post(ctx, address, own)
	if err != nil {
		return nil, err
	}
	var reply ollamaReply
	if err := json.Unmarshal(body, &reply); err != nil {
		return nil, noAnswer(address, body, j.options.Key, "the reply is not one of Ollama: "+err.Error(), "check the address")
	}
	switch {
	case reply.Error != "":
		return nil, noAnswer(address, body, j.options.Key, "the server reports an error", "its log says more")
	case reply.Message == nil:
		return nil, noAnswer(address, body, j.options.Key, "the reply holds no message", "check the address")
	case reply.Prompt >= own.Options.Context:
		return nil, noAnswer(address, nil, j.options.Key, fmt.Sprintf("the question fills the context of %d tokens, and what does not fit is dropped", own.Options.Context),
			"lower the pixel budget")
	}
	out := &chatReply{Model: reply.Model, Choices: []choice{{Finish: reply.Reason, Logprobs: asContent(reply.Logprobs)}}}
	out.Choices[0].Message.Content, out.Choices[0].Message.Reasoning = asText(reply.Message.Content), reply.Message.Thinking
	out.Usage.Prompt, out.Usage.Completion = reply.Prompt, reply.Completion
	return out, nil
}

// ollamaMessages gives each part a message of its own, as Ollama's chat completions do: within one message pictures come
// before all text, and "Image 1:" would stand behind the picture that it names.
func ollamaMessages(messages []message) []ollamaMessage {
	var out []ollamaMessage
	for _, m := range messages {
		parts, ok := m.Content.([]part)
		if !ok {
			out = append(out, ollamaMessage{Role: m.Role, Content: fmt.Sprint(m.Content)})
		}
		for _, p := range parts {
			one := ollamaMessage{Role: m.Role, Content: p.Text}
			if p.Image != nil {
				one.Images = []string{strings.TrimPrefix(p.Image.URL, dataPrefix)}
			}
			out = append(out, one)
		}
	}
	return out
}

// ollamaContext is one length for all questions, since another one would have the model loaded again: two pictures at a
// token for 28² pixels, 1024 tokens of text and the answer, doubled for models with more tokens, as a power of two.
func (j *Judge) ollamaContext() int {
	need := 2 * (2*j.options.PixelBudget/(patch*patch) + 1024 + j.options.AnswerTokens)
	return max(8192, 1<<bits.Len(uint(need-1)))
}

// asContent brings a list of tokens into the form of a chat completion's logprobs.
func asContent(list json.RawMessage) json.RawMessage {
	if len(list) == 0 || string(list) == "null" {
		return nil
	}
	return slices.Concat(json.RawMessage(`{"content":`), list, json.RawMessage(`}`))
}

func asText(s string) json.RawMessage {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string
	}
	return data
}
