package vlmjudge

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
)

// Support is what a server makes of a field of a request.
type Support string

// What a server makes of a field. "" is not known.
const (
	SupportHonoured Support = "honoured"
	SupportIgnored  Support = "ignored" // taken, without effect
	SupportRefused  Support = "refused"
	SupportUnclear  Support = "unclear" // the answers do not tell
)

const (
	// openQuestion has very many answers, so that sampled ones differ.
	openQuestion = "Write ten random words."
	// seedsTried are asked with twice each, until two of them give different answers.
	seedsTried = 4
	// schemaTokens are what JSON takes around an answer.
	schemaTokens = 16
)

// examine finds out what no question has needed so far: whether a schema and seeds are honoured. Systemone has neither; there it is
// the chat of the same server that is examined, where it has one.
func (j *Judge) examine(ctx context.Context) error {
	was, patient := j.settled, j.client
	defer func() { j.client = patient }()
	j.client = patient.once() // servers answer what they do not know in many ways
	if was.api == APISystemone {
		j.settled = settled{api: APIChat, optional: &optional{}}
	}
	found := was
	var err error
	if found.structured == "" {
		found.structured, err = j.takesSchema(ctx)
	}
	if err == nil && found.seed == "" {
		found.seed, err = j.takesSeed(ctx)
	}
	j.settle(found)
	return err
}

// takesSchema asks about the grey square for an answer by a schema.
func (j *Judge) takesSchema(ctx context.Context) (Support, error) {
	picture, err := dataURL(greySquare(), j.options.PixelBudget)
	if err != nil {
		return "", err
	}
	req := j.bySchema(chatRequest{Messages: j.asks.yes.messages(probePrompt, []string{picture}), MaxTokens: j.options.AnswerTokens, Temperature: new(float64)}, j.asks.yes)
	reply, err := j.chat(ctx, req)
	if err != nil {
		return refusedAltogether(err), ctx.Err()
	}
	c := reply.Choices[0]
	text := afterThought(c.text())
	switch {
	case j.asks.yes.readJSON(text) >= 0:
		return SupportHonoured, nil
	case c.Finish == "length" && (text == "" || strings.HasPrefix(text, "{")):
		return SupportUnclear, nil // cut off
	}
	return SupportIgnored, nil
}

// takesSeed has an answer sampled twice with one seed, and with other seeds until one differs.
func (j *Judge) takesSeed(ctx context.Context) (Support, error) {
	var first string
	for seed := int64(1); seed <= seedsTried; seed++ {
		var said [2]string
		for i := range said {
			temperature := 1.0
			reply, err := j.chat(ctx, chatRequest{
				Messages: []message{{Role: "user", Content: openQuestion}}, MaxTokens: j.options.AnswerTokens, Temperature: &temperature, Seed: &seed,
			})
			switch {
			case err != nil && refusedAltogether(err) == SupportRefused: // perhaps not for the seed: there is no picture
				return SupportUnclear, ctx.Err()
			case err != nil:
				return "", ctx.Err()
			case slices.Contains(j.settled.optional.list(), "seed"):
				return SupportRefused, nil
			}
			said[i] = reply.Choices[0].text()
		}
		switch {
		case said[0] != said[1]:
			return SupportIgnored, nil
		case seed > 1 && said[0] != first:
			return SupportHonoured, nil
		}
		first = said[0]
	}
	return SupportUnclear, nil
}

// refusedAltogether tells refusals, which asking again would only repeat, from faults that may pass, of which nothing is known.
func refusedAltogether(err error) Support {
	var e *ServerError
	if errors.As(err, &e) {
		switch e.Status {
		case http.StatusBadRequest, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusNotImplemented:
			return SupportRefused
		}
	}
	return ""
}

type (
	// answerFormat is how a chat completion is bound to a JSON schema.
	answerFormat struct {
		Type   string      `json:"type"` // "json_schema"
		Schema namedSchema `json:"json_schema"`
	}
	namedSchema struct {
		Name   string          `json:"name"`
		Strict bool            `json:"strict"`
		Schema json.RawMessage `json:"schema"`
	}
)

// answerProperties keeps the order of the members: reasons come before the answer.
type answerProperties struct {
	Reasoning *textSchema `json:"reasoning,omitempty"`
	Answer    textSchema  `json:"answer"`
}

type textSchema struct {
	Type string   `json:"type"` // "string"
	Enum []string `json:"enum,omitempty"`
}

// bySchema asks for JSON with one of the labels as its answer; before it reasons, where there is room for them.
func (j *Judge) bySchema(req chatRequest, t template) chatRequest {
	object := struct {
		Type       string           `json:"type"`
		Properties answerProperties `json:"properties"`
		Required   []string         `json:"required"`
		Additional bool             `json:"additionalProperties"`
	}{Type: "object", Properties: answerProperties{Answer: textSchema{"string", t.Labels}}, Required: []string{"answer"}}
	if j.options.AnswerTokens > shortAnswer {
		object.Properties.Reasoning, object.Required = &textSchema{Type: "string"}, []string{"reasoning", "answer"}
	}
	schema, err := json.Marshal(object)
	if err != nil {
		panic(err) // strings only
	}
	req.Format = &answerFormat{Type: "json_schema", Schema: namedSchema{Name: "verdict", Strict: true, Schema: schema}}
	req.MaxTokens += schemaTokens
	return req
}

// schema of a request; nil without one.
func (r chatRequest) schema() json.RawMessage {
	if r.Format == nil {
		return nil
	}
	return r.Format.Schema.Schema
}

// readJSON is the number of the label in an answer by bySchema, or −1.
func (t template) readJSON(text string) int {
	var doc struct {
		Answer string `json:"answer"`
	}
	if json.Unmarshal([]byte(text), &doc) != nil {
		return -1
	}
	return t.labelOf(doc.Answer)
}
