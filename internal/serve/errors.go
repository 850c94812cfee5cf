package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"winnow/rewards"
)

// refusal is an error with a status: what the client is told.
type refusal struct {
	status int
	kind   string // as OpenAI's API names it
	why    string
	retry  time.Duration // 0: trying again does not help
}

func (e *refusal) Error() string { return e.why }

// badRequest is a request that cannot be understood.
func badRequest(format string, args ...any) error {
	return &refusal{status: http.StatusBadRequest, kind: "invalid_request_error", why: fmt.Sprintf(format, args...)}
}

// unusable is a request that is understood and whose content cannot be used.
func unusable(format string, args ...any) error {
	return &refusal{status: http.StatusUnprocessableEntity, kind: "invalid_request_error", why: fmt.Sprintf(format, args...)}
}

// tooLarge is a request beyond a limit.
func tooLarge(format string, args ...any) error {
	return &refusal{status: http.StatusRequestEntityTooLarge, kind: "invalid_request_error", why: fmt.Sprintf(format, args...)}
}

// busy is a request that there is no room for now.
func busy(why string) error {
	return &refusal{status: http.StatusTooManyRequests, kind: "rate_limit_error", why: why + "; try again", retry: time.Second}
}

// refuse turns any error into what the client is told. Errors that are not the client's are told as they are: rewards and judges
// keep keys and pictures out of theirs.
func refuse(err error) *refusal {
	var r *refusal
	var long *rewards.PromptTooLongError
	var arg *rewards.ArgumentError
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, errBusy):
		return refuse(busy(err.Error()))
	case errors.Is(err, errDraining):
		return &refusal{status: http.StatusServiceUnavailable, kind: "api_error", why: err.Error(), retry: 5 * time.Second}
	case errors.Is(err, context.DeadlineExceeded):
		return &refusal{status: http.StatusGatewayTimeout, kind: "api_error", why: "the request took too long; send fewer pictures, or allow more by --request-timeout"}
	case errors.Is(err, context.Canceled):
		return &refusal{status: statusClientGone, kind: "api_error", why: "the client has gone"}
	case errors.As(err, &long), errors.As(err, &arg):
		return &refusal{status: http.StatusUnprocessableEntity, kind: "invalid_request_error", why: err.Error()}
	}
	return &refusal{status: http.StatusInternalServerError, kind: "api_error", why: err.Error()}
}

// statusClientGone stands in metrics and logs for a reply that nobody reads.
const statusClientGone = 499

type errorBody struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// fail writes an error in the form of OpenAI's API.
func fail(w http.ResponseWriter, err error) {
	r := refuse(err)
	retryLater(w, r)
	writeJSON(w, r.status, map[string]errorBody{"error": {Message: r.why, Type: r.kind}})
}

func retryLater(w http.ResponseWriter, r *refusal) {
	if r.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(r.retry.Seconds())))
	}
}

// writeJSON writes a reply. NaN and infinities are never among its numbers: what has no score is null.
func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil { // a number that is not finite: a mistake of ours
		status, data = http.StatusInternalServerError, []byte(`{"error":{"message":"the reply cannot be written","type":"api_error","param":null,"code":null}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n'))
}
