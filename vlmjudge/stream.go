package vlmjudge

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// Some servers and proxies stream although nobody asked them to. The pieces are put together here. The end is that of the body: not
// every server says [DONE] (transformers serve does not).

// chunk is one event of a stream.
type chunk struct {
	chatReply
	Choices []struct {
		Index int    `json:"index"`
		Delta delta  `json:"delta"`
		End   string `json:"finish_reason"`
		// The tokens of this piece.
		Logprobs *struct {
			Content []json.RawMessage `json:"content"`
		} `json:"logprobs"`
	} `json:"choices"`
}

// delta is what a piece adds to a message.
type delta struct {
	Content          looseText `json:"content"`
	Reasoning        looseText `json:"reasoning"`
	ReasoningContent looseText `json:"reasoning_content"`
}

// streamed reports whether a body is a stream of events.
func streamed(body []byte) bool {
	b := bytes.TrimLeft(body, "\r\n \ufeff")
	return bytes.HasPrefix(b, []byte("data:")) || bytes.HasPrefix(b, []byte("event:")) || bytes.HasPrefix(b, []byte(": "))
}

// gathered is a choice on its way.
type gathered struct {
	content, reasoning, thought strings.Builder
	end                         string
	tokens                      []json.RawMessage
}

// gather makes one reply of a stream. A body that ends before any choice has an end was cut off.
func gather(body []byte) (*chatReply, error) {
	reply := &chatReply{}
	var all []*gathered
	for line := range bytes.Lines(body) {
		data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data:"))
		if data = bytes.TrimSpace(data); !ok || len(data) == 0 || string(data) == "[DONE]" {
			continue
		}
		var c chunk
		if err := json.Unmarshal(data, &c); err != nil {
			return nil, err
		}
		if len(c.Error) > 0 {
			reply.Error = c.Error
			return reply, nil
		}
		if c.Model != "" {
			reply.Model, reply.Fingerprint = c.Model, c.Fingerprint
		}
		if c.Usage.Prompt > 0 {
			reply.Usage = c.Usage
		}
		var err error
		if all, err = c.add(all); err != nil {
			return nil, err
		}
	}
	for _, g := range all {
		c, err := g.choice()
		if err != nil {
			return nil, err
		}
		reply.Choices = append(reply.Choices, c)
	}
	return reply, nil
}

// add puts the pieces of an event to the choices that they belong to.
func (c *chunk) add(all []*gathered) ([]*gathered, error) {
	for _, piece := range c.Choices {
		if piece.Index < 0 || piece.Index > maxChoices {
			return nil, errors.New("a choice has an index that makes no sense")
		}
		for len(all) <= piece.Index {
			all = append(all, &gathered{})
		}
		g := all[piece.Index]
		g.content.WriteString(string(piece.Delta.Content))
		g.reasoning.WriteString(string(piece.Delta.Reasoning))
		g.thought.WriteString(string(piece.Delta.ReasoningContent))
		if piece.End != "" {
			g.end = piece.End
		}
		if piece.Logprobs != nil {
			g.tokens = append(g.tokens, piece.Logprobs.Content...)
		}
	}
	return all, nil
}

// maxChoices bounds what a stream may make room for.
const maxChoices = 1 << 10

func (g *gathered) choice() (c choice, err error) {
	if g.end == "" {
		return c, errors.New("the stream was cut off before its end")
	}
	c.Finish = g.end
	if c.Message.Content, err = json.Marshal(g.content.String()); err != nil {
		return c, err
	}
	c.Message.Reasoning, c.Message.ReasoningContent = looseText(g.reasoning.String()), looseText(g.thought.String())
	if len(g.tokens) > 0 {
		c.Logprobs, err = json.Marshal(map[string]any{"content": g.tokens})
	}
	return c, err
}
