package vlmjudge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// faulty serves the first failures by fault and everything after them seriously.
func faulty(t *testing.T, failures int, fault http.HandlerFunc) *fake {
	return newFake(t, func(w http.ResponseWriter, a asked) {
		if a.number < failures {
			fault(w, nil)
			return
		}
		serious(w, a)
	})
}

func status(code int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

// breaks closes the connection in the middle of a reply.
func breaks(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	fmt.Fprint(w, `{"model":"half`)
	w.(http.Flusher).Flush()
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	conn.Close()
}

const always = 1 << 30

// The attempts are those that Open makes before it gives up, or in all when it succeeds: two more are its questions.
func TestRetries(t *testing.T) {
	asJSON := "application/json"
	for _, c := range []struct {
		name     string
		failures int
		fault    http.HandlerFunc
		attempts int
		want     string // in the error; "" for success
	}{
		{"busy, then fine", 2, status(429, asJSON, `{"error":{"message":"slow"}}`), 4, ""},
		{"busy for ever", always, status(429, asJSON, `{"error":{"message":"slow"}}`), 4, `429: the server asks to slow down (the server says "slow"), after 4 attempts; lower the concurrency`},
		{"loading", 3, status(503, asJSON, `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`), 5, ""},
		{"overloaded", 1, status(529, asJSON, `{}`), 3, ""},
		{"bad gateway", always, status(502, "text/html", "<html>nginx</html>"), 4, "502: the server or a proxy failed"},
		{"500 with a reason", always, status(500, asJSON, `{"error":"boom"}`), 4, `"boom"`},
		{"plain 500", always, status(500, "text/plain; charset=utf-8", "Internal Server Error"), 2, "pictures or texts that they cannot use"},
		{"plain 500, then fine", 1, status(500, "text/plain", "Internal Server Error"), 3, ""},
		{"400", always, status(400, asJSON, `{"detail":"Server is pinned to 'tiny'; requested 'other'."}`), 1, "pinned to 'tiny'"},
		{"401", always, status(401, asJSON, `{"error":{"message":"no key"}}`), 1, "the key is missing or wrong"},
		{"403", always, status(403, asJSON, `{}`), 1, "403"},
		{"404", always, status(404, asJSON, `{"object":"error","message":"The model does not exist.","type":"NotFoundError","code":404}`), 1, "The model does not exist."},
		{"405", always, status(405, asJSON, `{"detail":"Method Not Allowed"}`), 1, "base of the API"},
		{"413", always, status(413, "text/html", "too big"), 1, "lower the pixel budget"},
		{"418", always, status(418, "text/html", "teapot"), 1, "teapot"},
		{"broken off", 2, breaks, 4, ""},
		{"broken off for ever", always, breaks, 4, "(attempts: 4)"},
		{"moved", always, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/v2/chat/completions")
			w.WriteHeader(307)
		}, 1, "give the final address"},
		{"too long", always, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Repeat("x", maxReply+1))
		}, 1, "more than 8 MiB"},
		{"wants an hour", always, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(429)
		}, 1, "slow down"},
		{"no JSON", always, status(200, "text/html", "<!doctype html>"), 1, "not a chat completion"},
		{"error in a 200", always, status(200, asJSON, `{"error":{"message":"out of memory"}}`), 1, `"out of memory"`},
		{"empty object", always, status(200, asJSON, `{}`), 1, "no choices"},
		{"no content", always, status(204, asJSON, ``), 1, "204"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := faulty(t, c.failures, c.fault)
			o := quick(server.URL)
			o.Retries = 3
			j, err := Open(t.Context(), o)
			if err == nil {
				j.Close()
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if n := len(server.requests()); n != c.attempts {
				t.Errorf("%d attempts, want %d", n, c.attempts)
			}
		})
	}
}

// The error says how often it was tried, also where not all attempts were used.
func TestRetries_counted(t *testing.T) {
	for want, fault := range map[int]http.HandlerFunc{
		1: status(400, "application/json", `{}`), 2: status(500, "text/plain", "Internal Server Error"), 4: status(503, "application/json", `{}`),
	} {
		server := faulty(t, always, fault)
		o := quick(server.URL)
		o.Retries = 3
		_, err := Open(t.Context(), o)
		var e *ServerError
		if !errors.As(err, &e) || e.Tries != want || len(server.requests()) != want {
			t.Errorf("%v after %d requests, want %d", err, len(server.requests()), want)
		}
	}
}

func TestRetryAfter_isHonoured(t *testing.T) {
	for header, value := range map[string]string{"Retry-After": "1", "retry-after-ms": "1000"} {
		server := faulty(t, 1, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(header, value)
			w.WriteHeader(429)
		})
		start := time.Now()
		mustOpen(t, quick(server.URL)) // would pause for a millisecond on its own
		if d := time.Since(start); d < time.Second {
			t.Errorf("%s: asked again after %v, not one second", header, d)
		}
	}
}

func TestRetryAfter_forms(t *testing.T) {
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	for _, c := range []struct {
		h    http.Header
		want time.Duration
		ok   bool
	}{
		{header("Retry-After", "7"), 7 * time.Second, true},
		{header("Retry-After", "0"), 0, true},
		{header("Retry-After", "7", "Retry-After-Ms", "250"), 250 * time.Millisecond, true},
		{header("Retry-After", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)), 0, true},
		{header("Retry-After", "-3"), 0, false},
		{header("Retry-After", "soon"), 0, false},
		{header("Retry-After", "NaN"), 0, false},
		{header(), 0, false},
	} {
		if got, ok := retryAfter(c.h); got != c.want || ok != c.ok {
			t.Errorf("%v: %v, %v, want %v, %v", c.h, got, ok, c.want, c.ok)
		}
	}
	at := header("Retry-After", time.Now().Add(90*time.Second).UTC().Format(http.TimeFormat))
	if got, ok := retryAfter(at); !ok || got < 80*time.Second || got > 90*time.Second {
		t.Errorf("as a date: %v, %v", got, ok)
	}
}

func TestCancel_duringPause(t *testing.T) {
	server := faulty(t, always, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(503)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := Open(ctx, quick(server.URL)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("it took %v to stop", d)
	}
}

func TestTimeout_oneMoreAttempt(t *testing.T) {
	release := make(chan struct{})
	server := faulty(t, always, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	o := quick(server.URL)
	o.Timeout = 50 * time.Millisecond
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "(attempts: 2)") {
		t.Errorf("error %v", err)
	}
}

func TestNoServer(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	o := quick(server.URL)
	o.Retries = -1
	_, err := Open(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "(attempts: 1)") || !strings.Contains(err.Error(), "check that the server runs") {
		t.Errorf("error %v", err)
	}
}

// The key and the pictures go to one place only, and come back in no error.
func TestSecrets(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	picture := strings.Repeat("iVBORw0KGgo", 40)
	for name, fault := range map[string]http.HandlerFunc{
		"echoes the key":     status(401, "application/json", `{"error":{"message":"Incorrect API key provided: hidden."}}`),
		"echoes the picture": status(422, "application/json", `{"detail":[{"type":"x","loc":["body","messages"],"msg":"bad","input":"`+picture+`"}]}`),
		"echoes everything":  status(400, "text/plain", "cannot use data:image/png;base64,"+picture+" with hidden"),
		"redirects": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", other.URL)
			w.WriteHeader(308)
		},
	} {
		o := quick(faulty(t, always, fault).URL)
		o.Key = "hidden"
		_, err := Open(t.Context(), o)
		if err == nil || strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "KGgoiVBORw0") || len(err.Error()) > 700 {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// Fields that a server does not know are left out once and for all.
func TestRefusedFields(t *testing.T) {
	for _, c := range []struct {
		name    string
		refused []string
		reply   http.HandlerFunc
	}{
		{
			"a set in a string",
			[]string{"logprobs", "top_logprobs"},
			status(422, "application/json", `{"detail":"Unexpected fields in the request: {'top_logprobs', 'logprobs'}"}`),
		},
		{
			"a list",
			[]string{"top_logprobs"},
			status(422, "application/json", `{"detail":[{"type":"extra_forbidden","loc":["body","top_logprobs"],"msg":"Extra inputs are not permitted","input":20}]}`),
		},
		{
			"hosted reasoning model",
			[]string{"max_tokens"},
			status(400, "application/json", `{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}`),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := newFake(t, func(w http.ResponseWriter, a asked) {
				for _, f := range c.refused {
					if _, ok := a.raw[f]; ok {
						c.reply(w, nil)
						return
					}
				}
				say(w, a, "Yes")
			})
			o := quick(server.URL)
			o.Votes = 1
			j := mustOpen(t, o)
			if _, err := j.Yes(t.Context(), "x", red(1)); err != nil {
				t.Fatal(err)
			}
			if n := len(server.requests()); n != 4 {
				t.Errorf("%d requests, want 4: one refused, two by Open, one answer", n)
			}
			if got := j.Info().Unsupported; !slices.Equal(got, c.refused) {
				t.Errorf("remembered %v", got)
			}
			last := server.requests()[3].raw
			if c.refused[0] == "max_tokens" && last["max_completion_tokens"] != 16. {
				t.Errorf("last request %v", last)
			}
		})
	}
}

// A server that refuses what it was no longer sent must not be asked for ever.
func TestRefusedFields_stubborn(t *testing.T) {
	server := faulty(t, always, status(422, "application/json", `{"detail":"Unexpected fields in the request: {'seed'}"}`))
	if _, err := Open(t.Context(), quick(server.URL)); err == nil || !strings.Contains(err.Error(), "'seed'") {
		t.Errorf("error %v", err)
	}
	if n := len(server.requests()); n != 2 {
		t.Errorf("%d requests", n)
	}
}

// A wrong model that is refused by a 400 is no matter of long contexts.
func TestWrongModel(t *testing.T) {
	for body, wrong := range map[string]bool{
		`{"detail":"Server is pinned to 'tiny'; requested 'other'."}`:                                           true,
		`{"error":{"message":"invalid model ID","type":"invalid_request_error"}}`:                               true,
		`{"error":{"message":"The model gpt-9 does not exist"}}`:                                                true,
		`{"error":{"message":"This model's maximum context length is 4096 tokens, you requested 5000 tokens"}}`: false,
		`{"error":{"message":"response_format is not supported by this model"}}`:                                false,
	} {
		_, err := Open(t.Context(), quick(faulty(t, always, status(400, "application/json", body)).URL))
		if err == nil || strings.Contains(err.Error(), "give the model's name") != wrong || strings.Contains(err.Error(), "context is too long, lower") == wrong {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestMessageOf(t *testing.T) {
	for _, c := range []struct{ body, message, field string }{
		{`{"error":{"message":"m","type":"t","param":"p","code":null}}`, "m", "p"},
		{`{"error":{"message":"m","type":"BadRequestError","param":null,"code":400}}`, "m", ""},
		{`{"object":"error","message":"m","type":"BadRequestError","param":null,"code":400}`, "m", ""},
		{`{"error":"m"}`, "m", ""},
		{`{"error":{"code":503,"message":"m","type":"unavailable_error"}}`, "m", ""},
		{`{"detail":"m"}`, "m", ""},
		{`{"detail":[{"type":"extra_forbidden","loc":["body","top_k"],"msg":"m","input":0}]}`, "body.top_k: m", "top_k"},
		{`{"detail":[{"type":"json_invalid","loc":["body",9],"msg":"m","input":{},"ctx":{"error":"Expecting value"}}]}`, "body.9: m", "9"},
		{`{"detail":[{"msg":"a"},{"msg":"b"}]}`, "a; b", ""},
		{`Internal Server Error`, "Internal Server Error", ""},
		{`{"unheard":1}`, `{"unheard":1}`, ""},
		{`[1]`, `[1]`, ""},
		{``, ``, ""},
	} {
		message, fields := messageOf([]byte(c.body))
		if message != c.message || strings.Join(fields, ",") != c.field {
			t.Errorf("%s: %q, %v", c.body, message, fields)
		}
	}
}
