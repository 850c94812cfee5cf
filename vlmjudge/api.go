package vlmjudge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// API is the form in which a server is asked.
type API string

// The APIs. APIAuto starts with APIChat, which nearly all servers have, and goes on to a server's own form where that
// gives label probabilities and the chat does not, or where the server's chat is known to cut long questions silently.
const (
	APIAuto      API = ""
	APIChat      API = "chat"      // POST …/v1/chat/completions of OpenAI and of what is compatible
	APIOllama    API = "ollama"    // POST …/api/chat of Ollama
	APILlama     API = "llama.cpp" // POST …/completion of llama.cpp's server, with its own rendering of the chat template
	APISystemone API = "systemone" // POST …/v1/systemone of transformers serve: the probability of each option
)

// APIs are those that an option can name.
func APIs() []API { return []API{APIChat, APIOllama, APILlama, APISystemone} }

func (a API) check() error {
	if a == APIAuto || slices.Contains(APIs(), a) {
		return nil
	}
	return fmt.Errorf("vlmjudge: API %q: want one of %q, or none to find out", a, APIs())
}

// root is the address without the version of the chat API, where servers have what is their own.
func (j *Judge) root() string {
	if i := strings.LastIndexByte(j.base, '/'); versioned.MatchString(j.base[i:]) {
		return j.base[:i]
	}
	return j.base
}

// probeAny settles the API. A native form is kept only if it gives label probabilities.
func (j *Judge) probeAny(ctx context.Context) error {
	reply, chatErr := j.try(ctx, APIChat)
	natives := []API{APISystemone, APIOllama, APILlama}
	switch {
	case chatErr != nil && !unknownAddress(chatErr):
		return chatErr
	case chatErr == nil && reply.Fingerprint == "fp_ollama":
		natives = []API{APIOllama} // its chat form has no way to ask for a longer context
	case chatErr == nil && j.settled.protocol.soft() && !j.asks.onlyDecisions:
		return nil
	case j.asks.noDecisions:
		natives = natives[1:]
	case j.asks.onlyDecisions:
		natives = natives[:1]
	}
	chat := j.settled
	patient := j.client
	for _, api := range natives {
		j.client = patient.once() // servers answer questions that they do not know in many ways
		_, err := j.try(ctx, api)
		j.client = patient
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil && j.settled.protocol.soft() {
			return nil
		}
	}
	j.settle(chat)
	if chatErr == nil && j.asks.onlyDecisions {
		return j.asks.fits(APIChat)
	}
	return chatErr
}

// unknownAddress tells a server that has no chat from one that fails.
func unknownAddress(err error) bool {
	var e *ServerError
	return errors.As(err, &e) && (e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusNotImplemented)
}
