package vlmjudge

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"unicode"
)

// ServerError is a reply that is no answer: a status other than 200, or a 200 that holds none.
type ServerError struct {
	URL     string
	Status  int
	Tries   int    // attempts that were made
	Message string // the server's own words, shortened; untrusted
	Cause   string
	Cure    string

	fields []string // of the request that the server names as its reason
}

// Error is "vlmjudge: URL: STATUS: CAUSE (the server says …); CURE".
func (e *ServerError) Error() string {
	text := fmt.Sprintf("vlmjudge: %s: %d: %s", e.URL, e.Status, e.Cause)
	if e.Message != "" {
		text += fmt.Sprintf(" (the server says %q)", e.Message)
	}
	if e.Tries > 1 {
		text += fmt.Sprintf(", after %d attempts", e.Tries)
	}
	if e.Cure == "" {
		return text
	}
	return text + "; " + e.Cure
}

var causes = map[int][2]string{
	http.StatusBadRequest:            {"the server refuses the request", "if the context is too long, lower the pixel budget"},
	http.StatusUnauthorized:          {"the key is missing or wrong", "give the key of this server"},
	http.StatusForbidden:             {"the key may not do this", "use a key that may use this model"},
	http.StatusNotFound:              {"the server does not know the address or the model", "check the address and the model's name"},
	http.StatusMethodNotAllowed:      {"the address takes no questions", "give the base of the API, as in http://localhost:8000/v1"},
	http.StatusRequestEntityTooLarge: {"the request is too large", "lower the pixel budget"},
	http.StatusUnprocessableEntity:   {"the server does not understand a field", "see which one it names"},
	http.StatusTooManyRequests:       {"the server asks to slow down", "lower the concurrency, or wait"},
	http.StatusInternalServerError:   {"the server failed", "its log says why; some fail so on pictures or texts that they cannot use"},
	http.StatusServiceUnavailable:    {"the server is not ready", "wait until it has loaded its model"},
}

// serveSight is the cure of a judge that is blind.
const serveSight = "serve a model that sees pictures (llama.cpp needs its --mmproj file)"

func newServerError(address string, resp *http.Response, body []byte, key string, tries int) *ServerError {
	e := &ServerError{URL: address, Status: resp.StatusCode, Tries: tries}
	e.Message, e.fields = messageOf(body)
	e.Message = tidy(e.Message, key)
	if strings.Contains(e.Message, noSight) {
		e.Cause, e.Cure = "the model sees no pictures", serveSight
		return e
	}
	if resp.StatusCode == http.StatusBadRequest && anotherModel.MatchString(e.Message) {
		e.Cause, e.Cure = "the server does not have the model", "give the model's name as the server has it, or none"
		return e
	}
	if c, ok := causes[resp.StatusCode]; ok {
		e.Cause, e.Cure = c[0], c[1]
		return e
	}
	switch resp.StatusCode / 100 {
	case 3:
		e.Cause, e.Cure = "the server sends elsewhere, which is not followed", "give the final address"
	case 4:
		e.Cause, e.Cure = "the server refuses the request", "see its message"
	case 5:
		e.Cause, e.Cure = "the server or a proxy failed", "try later; its log says why"
	default:
		e.Cause, e.Cure = "the server's answer has an unknown status", "check the address"
	}
	return e
}

// anotherModel is how servers refuse a model by a 400: "Server is pinned to 'a'; requested 'b'", "model 'b' does not exist".
var anotherModel = regexp.MustCompile(`(?i)pinned to|\bmodel\b.{0,80}(does not exist|not found|is unknown|not available)|(unknown|invalid|no such) model\b`)

// noAnswer is the error of a status 200 without an answer.
func noAnswer(address string, body []byte, key, cause, cure string) *ServerError {
	e := &ServerError{URL: address, Status: http.StatusOK, Tries: 1, Cause: cause, Cure: cure}
	e.Message, _ = messageOf(body)
	e.Message = tidy(e.Message, key)
	return e
}

// messageOf finds the reason in the bodies of OpenAI and vLLM {"error":{…}}, old vLLM {"object":"error","message":…},
// Ollama {"error":"…"}, llama.cpp {"error":{"code":…}} and FastAPI {"detail":"…"} or {"detail":[{…}]}; anything else is
// the reason itself. fields are those of the request that it names apart from the text.
func messageOf(body []byte) (message string, fields []string) {
	var doc struct {
		Error   json.RawMessage `json:"error"`
		Detail  json.RawMessage `json:"detail"`
		Message string          `json:"message"`
		Param   string          `json:"param"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return string(body), nil
	}
	named := func(field string) []string {
		if field == "" {
			return nil
		}
		return []string{field}
	}
	var object struct {
		Message string `json:"message"`
		Param   string `json:"param"`
	}
	switch {
	case json.Unmarshal(doc.Error, &message) == nil && message != "":
		return message, nil
	case json.Unmarshal(doc.Error, &object) == nil && object.Message != "":
		return object.Message, named(object.Param)
	case json.Unmarshal(doc.Detail, &message) == nil && message != "":
		return message, nil
	case doc.Message != "":
		return doc.Message, named(doc.Param)
	}
	if message, fields = detailList(doc.Detail); message != "" {
		return message, fields
	}
	return string(body), nil
}

// detailList reads FastAPI's list. Its members may also echo what was sent, pictures included, which is left out.
func detailList(raw json.RawMessage) (message string, fields []string) {
	var list []struct {
		Loc []any  `json:"loc"`
		Msg string `json:"msg"`
	}
	if json.Unmarshal(raw, &list) != nil {
		return "", nil
	}
	var parts []string
	for _, d := range list {
		var where []string
		for _, l := range d.Loc {
			where = append(where, fmt.Sprint(l))
		}
		parts = append(parts, strings.TrimPrefix(strings.Join(where, ".")+": ", ": ")+d.Msg)
		if len(where) == 2 && where[0] == "body" {
			fields = append(fields, where[1])
		}
	}
	return strings.Join(parts, "; "), fields
}

var longRun = regexp.MustCompile(`[A-Za-z0-9+/=_-]{80,}`)

// tidy makes a server's text fit for an error: one short line, without key and without encoded pictures.
func tidy(text, key string) string {
	const longest = 300
	if key != "" {
		text = strings.ReplaceAll(text, key, "[key]")
	}
	text = longRun.ReplaceAllString(text, "[…]")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest]) + "…"
	}
	return text
}

// unwrapURL takes off the layer that only repeats method and address.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
