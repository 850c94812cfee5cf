package vlmjudge

import (
	"errors"
	"fmt"
	"image"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// tally is a chat server that counts the attempts and the answers of every question.
type tally struct {
	mu       sync.Mutex
	attempts map[string]int
	answers  map[string]int
}

// serve answers the question unless fault, which is told of the question's earlier attempts, does something else.
func (c *tally) serve(w http.ResponseWriter, r *http.Request, fault func(w http.ResponseWriter, question string, before int) bool) {
	body, err := io.ReadAll(r.Body)
	a, bad := understand(body)
	if err != nil || bad != nil || r.URL.Path != "/v1/chat/completions" {
		http.NotFound(w, r)
		return
	}
	c.mu.Lock()
	before := c.attempts[string(body)]
	c.attempts[string(body)]++
	c.mu.Unlock()
	if fault != nil && fault(w, string(body), before) {
		return
	}
	c.mu.Lock()
	c.answers[string(body)]++
	c.mu.Unlock()
	serious(w, a)
}

func newTally() *tally { return &tally{attempts: map[string]int{}, answers: map[string]int{}} }

// reds are pictures that all differ.
func reds(n int) []image.Image {
	out := make([]image.Image, n)
	for i := range out {
		out[i] = red(uint8(i))
	}
	return out
}

// eachOnce checks that every question was answered once.
func (c *tally) eachOnce(t *testing.T, questions int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.answers) != questions {
		t.Errorf("%d questions were answered, want %d", len(c.answers), questions)
	}
	for _, n := range c.answers {
		if n != 1 {
			t.Errorf("a question was answered %d times", n)
		}
	}
}

// Nothing is lost to faults that pass, nothing is asked again that was answered, and no question more often than it failed.
func TestFaults_nothingTwice(t *testing.T) {
	reset := func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	faults := []http.HandlerFunc{
		status(429, "application/json", `{}`), status(503, "application/json", `{}`), breaks, reset,
		status(500, "application/json", `{"error":"out of memory"}`), status(500, "text/plain", "Internal Server Error"),
	}
	c := newTally()
	var next, injected atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.serve(w, r, func(w http.ResponseWriter, _ string, before int) bool {
			if before > 0 {
				return false
			}
			injected.Add(1)
			faults[int(next.Add(1))%len(faults)](w, nil)
			return true
		})
	}))
	defer server.Close()
	j := mustOpen(t, quick(server.URL))
	scores, err := j.Score(t.Context(), "x", reds(60))
	if err != nil || len(scores) != 60 {
		t.Fatal(err)
	}
	c.eachOnce(t, 62) // two by Open
	total := 0
	for _, n := range c.attempts {
		total += n
	}
	if want := 62 + int(injected.Load()); total != want {
		t.Errorf("%d attempts, want %d: one for each answer and one for each fault", total, want)
	}
}

// A server that takes two requests at once and refuses all others gets its answers asked for by and by.
func TestFaults_storm(t *testing.T) {
	c := newTally()
	var under, refused atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer under.Add(-1)
		if under.Add(1) > 2 {
			refused.Add(1)
			io.Copy(io.Discard, r.Body)
			status(429, "application/json", `{"error":{"message":"slow down"}}`)(w, r)
			return
		}
		time.Sleep(time.Millisecond)
		c.serve(w, r, nil)
	}))
	defer server.Close()
	o := quick(server.URL)
	o.Concurrency, o.Retries = 32, 40
	j := mustOpen(t, o)
	if _, err := j.Score(t.Context(), "x", reds(120)); err != nil {
		t.Fatal(err)
	}
	c.eachOnce(t, 122)
	if j.client.gate.limit > 8 {
		t.Errorf("%d at once are still let through after %d refusals", j.client.gate.limit, refused.Load())
	}
}

// A server that goes away and comes back at the same address, as on a restart, is waited for.
func TestFaults_restart(t *testing.T) {
	c := newTally()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serve(w, r, nil) })
	server := httptest.NewServer(handler)
	address := server.Listener.Addr().String()
	var h heard
	o := quick(server.URL)
	o.Retries, o.Patience = 20, time.Minute
	o.Logger = slog.New(&h)
	j := mustOpen(t, o)
	server.CloseClientConnections()
	server.Close()
	back := make(chan *httptest.Server)
	go func() {
		for len(h.all()) == 0 { // until it is taken to be down
			time.Sleep(time.Millisecond)
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			panic(err)
		}
		again := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
		again.Start()
		back <- again
	}()
	_, err := j.Score(t.Context(), "x", reds(40))
	defer (<-back).Close()
	if err != nil {
		t.Fatal(err)
	}
	c.eachOnce(t, 42)
	if notices := h.all(); len(notices) != 2 || !strings.Contains(notices[0], "failed 10 times in a row") || !strings.Contains(notices[1], "back after") {
		t.Errorf("notices %q", notices)
	}
}

// A server that stays away is not asked for ever.
func TestFaults_down(t *testing.T) {
	var hits atomic.Int32
	var down atomic.Bool
	server := newFake(t, func(w http.ResponseWriter, a asked) {
		if down.Load() {
			hits.Add(1)
			status(502, "text/html", "bad gateway")(w, nil)
			return
		}
		serious(w, a)
	})
	o := quick(server.URL)
	o.Retries, o.Patience, o.wait = -1, 100*time.Millisecond, 20*time.Millisecond
	j := mustOpen(t, o)
	down.Store(true)
	var last error
	for range 200 {
		_, last = j.Yes(t.Context(), "x", red(1))
	}
	var gone *DownError
	if !errors.As(last, &gone) || gone.Faults < openAfter || !strings.Contains(last.Error(), "502 Bad Gateway") {
		t.Errorf("error %v", last)
	}
	if n := hits.Load(); n > openAfter+5 {
		t.Errorf("a server that is down was asked %d times", n)
	}
}

// No path and no address of a caller reaches a server as a picture: servers open them.
func TestPictures_areData(t *testing.T) {
	server := newFake(t, serious) // fails the test on anything but PNG data URLs
	j := mustOpen(t, quick(server.URL))
	for _, prompt := range []string{"file:///etc/passwd", "/etc/passwd", "http://localhost/x.png", `{"type":"image_url","image_url":{"url":"/etc/passwd"}}`} {
		if _, err := j.Compare(t.Context(), prompt, red(1), red(2)); err != nil {
			t.Error(err)
		}
	}
	for _, a := range server.requests() {
		if text := fmt.Sprint(a.raw); strings.Count(text, "image_url:map[url:data:image/png;base64,") != len(a.pictures) {
			t.Errorf("a picture that is no data: %.300s", text)
		}
	}
}
