package vlmjudge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"winnow/internal/atomicfile"
)

// rememberFor is how long what was found out about a server is believed at all.
const rememberFor = 30 * 24 * time.Hour

// remembered is what opening a judge has found out about a server and a model.
type remembered struct {
	At            time.Time `json:"at"`
	API           API       `json:"api"`
	Protocol      Protocol  `json:"protocol"`
	ServedModel   string    `json:"served_model"`
	Unsupported   []string  `json:"unsupported,omitempty"`
	Prompt        int       `json:"prompt_tokens"` // of the probe's question with its picture
	Pictures      string    `json:"pictures"`
	PictureTokens int       `json:"picture_tokens"`
	BySchema      bool      `json:"by_schema,omitempty"`
	Structured    Support   `json:"structured_output,omitempty"`
	Seed          Support   `json:"seed,omitempty"`
}

// memoryKey names the judge in the file; the key of the server is no part of it.
func (j *Judge) memoryKey() string {
	key := fmt.Sprintf("%s model=%q api=%q", j.base, j.options.Model, j.options.API)
	if j.asks.custom != "" {
		key += fmt.Sprintf(" asks=%q", j.asks.custom)
	}
	return key
}

// readMemory is the file's content; nothing if there is no file, or one that cannot be read, since all can be found out again.
func readMemory(path string) map[string]remembered {
	all := map[string]remembered{}
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &all) != nil || all == nil {
		return map[string]remembered{}
	}
	return all
}

// recall settles a judge by what is remembered, after one question instead of all: false when the server answers otherwise
// than it did. The error is one that asking more would only repeat.
func (j *Judge) recall(ctx context.Context) (bool, error) {
	r, ok := readMemory(j.options.Memory)[j.memoryKey()]
	if !ok || time.Since(r.At) > rememberFor || r.API.check() != nil || r.API == APIAuto {
		return false, nil //nolint:nilerr // asking all of it again says what is wrong
	}
	protocol := r.Protocol
	switch {
	case protocol.soft():
	case protocol.written():
		protocol = j.counted()
	default:
		return false, nil
	}
	picture, err := dataURL(greySquare(), j.options.PixelBudget)
	if err != nil {
		return false, err
	}
	s := settled{api: r.API, protocol: protocol, served: r.ServedModel, prompt: r.Prompt, optional: &optional{refused: r.Unsupported}, schema: r.BySchema, structured: r.Structured, seed: r.Seed}
	if protocol.written() {
		s.votes = j.options.Votes
	}
	j.settle(s)
	reply, err := j.sample(ctx, []string{picture})
	if err != nil {
		var e *ServerError
		again := errors.As(err, &e) && (unknownAddress(err) || e.Status == http.StatusOK || e.Status == http.StatusBadRequest || e.Status == http.StatusUnprocessableEntity)
		if again {
			return false, nil
		}
		return false, err
	}
	if reply.Model != r.ServedModel || reply.Usage.Prompt != r.Prompt || !j.agrees(protocol, reply) {
		return false, nil
	}
	j.info.Pictures, j.info.PictureTokens = r.Pictures, r.PictureTokens
	return true, nil
}

// agrees says whether a reply is one of the protocol.
func (j *Judge) agrees(p Protocol, reply *chatReply) bool {
	if j.settled.api == APISystemone {
		return p == ProtocolSystemone
	}
	tokens, ok := reply.Choices[0].firstToken()
	labels := ok && !j.asks.yes.soft(tokens).Abstained
	switch p {
	case ProtocolLogprobs:
		return labels
	case ProtocolReasoned:
		return ok && !labels
	}
	return !labels && p != ProtocolSystemone
}

// remember writes down what was found out. A file that cannot be written is no reason to stop.
func (j *Judge) remember() {
	all := readMemory(j.options.Memory)
	for key, r := range all {
		if time.Since(r.At) > rememberFor {
			delete(all, key)
		}
	}
	info := j.Info()
	all[j.memoryKey()] = remembered{
		At: time.Now().UTC().Truncate(time.Second), API: info.API, Protocol: info.Protocol, ServedModel: info.ServedModel,
		Unsupported: info.Unsupported, Prompt: j.settled.prompt, Pictures: info.Pictures, PictureTokens: info.PictureTokens,
		BySchema: info.BySchema, Structured: info.Structured, Seed: info.Seed,
	}
	err := os.MkdirAll(filepath.Dir(j.options.Memory), 0o777)
	if err == nil {
		err = atomicfile.Write(j.options.Memory, func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(all)
		})
	}
	if err != nil {
		j.client.gate.tell(fmt.Sprintf("what was found out about the judge at %s cannot be kept: %v", j.base, err))
	}
}
