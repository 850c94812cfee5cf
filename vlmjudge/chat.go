package vlmjudge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

type (
	message struct {
		Role    string `json:"role"`
		Content any    `json:"content"` // a string or []part
	}
	part struct {
		Type  string    `json:"type"`
		Text  string    `json:"text,omitempty"`
		Image *imageURL `json:"image_url,omitempty"`
	}
	imageURL struct {
		URL string `json:"url"`
	}
)

// chatRequest holds the fields that most servers share.
type chatRequest struct {
	Model         string    `json:"model,omitempty"`
	Messages      []message `json:"messages"`
	MaxTokens     int       `json:"max_tokens,omitempty"`
	MaxCompletion int       `json:"max_completion_tokens,omitempty"`
	Temperature   *float64  `json:"temperature,omitempty"`
	N             int       `json:"n,omitempty"`
	Seed          *int64    `json:"seed,omitempty"`
	Logprobs      bool      `json:"logprobs,omitempty"`
	TopLogprobs   int       `json:"top_logprobs,omitempty"`

	Format *answerFormat `json:"response_format,omitempty"`
}

// without leaves out the fields that the server has refused.
func (r chatRequest) without(fields []string) chatRequest {
	for _, f := range fields {
		switch f {
		case "max_tokens": // hosted reasoning models know the other name only
			r.MaxTokens, r.MaxCompletion = 0, r.MaxTokens
		case "temperature":
			r.Temperature = nil
		case "n":
			r.N = 0
		case "seed":
			r.Seed = nil
		case "logprobs", "top_logprobs":
			r.Logprobs, r.TopLogprobs = false, 0
		}
	}
	return r
}

var optionalFields = []string{"logprobs", "top_logprobs", "seed", "n", "temperature", "max_tokens"}

// optional remembers the request fields that a server does not take.
type optional struct {
	mu      sync.Mutex
	refused []string
}

func (o *optional) list() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.refused)
}

// refuse adds the fields; false when all of them were known already to the request that failed.
func (o *optional) refuse(fields, known []string) (progress bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range fields {
		progress = progress || !slices.Contains(known, f)
		if !slices.Contains(o.refused, f) {
			o.refused = append(o.refused, f)
		}
	}
	return progress
}

// llama.cpp gives no more choices at once than it has slots.
var refusal = regexp.MustCompile(`(?i)unexpected|unknown|unsupported|unrecognized|not supported|not permitted|extra|'n': value must be`)

// refusedFields are the optional fields that an error names as not understood.
func refusedFields(err error) (fields []string) {
	var e *ServerError
	if !errors.As(err, &e) || e.Status != http.StatusUnprocessableEntity && e.Status != http.StatusBadRequest || !refusal.MatchString(e.Message) {
		return nil
	}
	for _, f := range optionalFields {
		if slices.Contains(e.fields, f) || strings.Contains(e.Message, "'"+f+"'") || strings.Contains(e.Message, `"`+f+`"`) {
			fields = append(fields, f)
		}
	}
	return fields
}

type chatReply struct {
	Error       json.RawMessage `json:"error"`
	Model       string          `json:"model"`
	Fingerprint string          `json:"system_fingerprint"`
	Choices     []choice        `json:"choices"`
	Usage       struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
	} `json:"usage"`
}

type choice struct {
	Finish  string `json:"finish_reason"`
	Message struct {
		Content json.RawMessage `json:"content"`
		// Two names for what a model thought, of servers that keep it apart.
		Reasoning        looseText `json:"reasoning"`
		ReasoningContent looseText `json:"reasoning_content"`
	} `json:"message"`
	Logprobs json.RawMessage `json:"logprobs"`
}

// looseText is a string; anything else in its place says nothing, since no question needs it.
type looseText string

// UnmarshalJSON never fails.
func (t *looseText) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*t = looseText(s)
	}
	return nil
}

// text is the content, which is a string, a list of parts, or null.
func (c choice) text() string {
	var s string
	if json.Unmarshal(c.Message.Content, &s) == nil {
		return s
	}
	var parts []part
	if json.Unmarshal(c.Message.Content, &parts) != nil {
		return ""
	}
	for _, p := range parts {
		s += p.Text
	}
	return s
}

// chat asks by the API that is settled, leaving out what the server is known not to take. The reply has at least one choice.
func (j *Judge) chat(ctx context.Context, req chatRequest) (*chatReply, error) {
	req.Model = j.options.Model
	for {
		known := j.settled.optional.list()
		reply, err := j.send(ctx, req.without(known))
		if err == nil {
			return reply, nil
		}
		fields := refusedFields(err)
		if len(fields) == 0 || !j.settled.optional.refuse(fields, known) {
			return nil, err
		}
		j.client.gate.note("the judge at "+j.base+" does not take a field, which is left out from now on", "field", strings.Join(fields, ", "))
	}
}

func (j *Judge) send(ctx context.Context, req chatRequest) (*chatReply, error) {
	switch j.settled.api {
	case APIOllama:
		return j.sendOllama(ctx, req)
	case APILlama:
		return j.sendLlama(ctx, req)
	}
	address := j.base + "/chat/completions"
	body, err := j.client.post(ctx, address, req)
	if err != nil {
		return nil, err
	}
	return decodeChat(address, body, j.options.Key)
}

func decodeChat(address string, body []byte, key string) (*chatReply, error) {
	const cure = "check that the address is the base of an OpenAI-compatible API"
	reply, err := &chatReply{}, error(nil)
	if streamed(body) {
		reply, err = gather(body)
	} else {
		err = json.Unmarshal(body, reply)
	}
	if err != nil {
		return nil, noAnswer(address, body, key, "the reply is not a chat completion: "+err.Error(), cure)
	}
	if len(reply.Error) > 0 && !bytes.Equal(reply.Error, []byte("null")) {
		return nil, noAnswer(address, body, key, "the server reports an error", "its log says more")
	}
	if len(reply.Choices) == 0 {
		return nil, noAnswer(address, body, key, "the reply holds no choices", cure)
	}
	return reply, nil
}
