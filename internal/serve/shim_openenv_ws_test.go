package serve

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// dial opens a session.
func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	conn, resp, err := websocket.Dial(t.Context(), strings.Replace(url, "http", "ws", 1)+"/openenv/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	conn.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

type frame struct {
	Type string
	Data struct {
		Observation   map[string]any
		Reward        *float64
		Done          bool
		EpisodeID     *string `json:"episode_id"`
		StepCount     int     `json:"step_count"`
		Message, Code string
	}
}

func exchange(t *testing.T, conn *websocket.Conn, message string) frame {
	t.Helper()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
		t.Fatal(err)
	}
	return receive(t, conn)
}

func receive(t *testing.T, conn *websocket.Conn) (f frame) {
	t.Helper()
	_, data, err := conn.Read(t.Context())
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	return f
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestOpenEnvSession(t *testing.T) {
	s, h := start(t, Options{})
	conn := dial(t, h.URL)
	step := toJSON(t, object{"type": "step", "data": object{"prompt": "ab", "images": []string{base(encode(t, 2, 2, 100)), "!"}, "metadata": object{}}})
	if f := exchange(t, conn, `{"type":"state"}`); f.Type != "state" || f.Data.EpisodeID != nil {
		t.Errorf("%+v", f)
	}
	if f := exchange(t, conn, `{"type":"reset","data":{"episode_id":"e-1","seed":3}}`); f.Type != "observation" || f.Data.Done || f.Data.Reward != nil || f.Data.Observation == nil {
		t.Errorf("%+v", f)
	}
	for range 2 {
		if f := exchange(t, conn, step); f.Type != "observation" || !f.Data.Done || f.Data.Reward == nil || *f.Data.Reward != 3 {
			t.Errorf("%+v", f)
		}
	}
	if f := exchange(t, conn, `{"type":"state"}`); *f.Data.EpisodeID != "e-1" || f.Data.StepCount != 2 {
		t.Errorf("%+v", f)
	}
	for message, code := range map[string]string{
		"no json": "INVALID_JSON", `{"type":"dance"}`: "UNKNOWN_TYPE", `{"type":"step","data":{"prompt":"x"}}`: "VALIDATION_ERROR",
		`{"type":"step"}`: "VALIDATION_ERROR", `{"type":"step","data":[]}`: "VALIDATION_ERROR", `{"type":"reset","data":5}`: "VALIDATION_ERROR",
	} {
		if f := exchange(t, conn, message); f.Type != "error" || f.Data.Code != code || f.Data.Message == "" {
			t.Errorf("%s: %+v", message, f)
		}
	}
	if f := exchange(t, conn, `{"type":"reset"}`); f.Type != "observation" { // after all that
		t.Errorf("%+v", f)
	}
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"close"}`)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Error(err)
	}
	for range 1000 {
		if s.memory.held.Load() == 0 && len(s.sessions.slots) == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d bytes and %d sessions are left", s.memory.held.Load(), len(s.sessions.slots))
}

func TestOpenEnvSession_limits(t *testing.T) {
	_, h := start(t, Options{MaxRequest: 200_000, MaxMemory: 500_000, MaxSessions: 1, Keys: []string{"k"}})
	if _, resp, err := websocket.Dial(t.Context(), strings.Replace(h.URL, "http", "ws", 1)+"/openenv/ws", nil); err == nil || resp == nil || resp.StatusCode != 401 {
		t.Errorf("without a key: %v", err)
	}
	at := strings.Replace(h.URL, "http://", "http://any:k@", 1) // as OpenEnv's clients, which are given nothing but an address
	conn := dial(t, at)
	if f := exchange(t, conn, `{"type":"state"}`); f.Type != "state" {
		t.Errorf("%+v", f)
	}
	second := dial(t, at)
	if f := receive(t, second); f.Type != "error" || f.Data.Code != "CAPACITY_REACHED" {
		t.Errorf("%+v", f)
	}
	if _, _, err := second.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusTryAgainLater {
		t.Error(err)
	}
	_ = conn.Write(t.Context(), websocket.MessageText, []byte(strings.Repeat(" ", 200_001)))
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("a message beyond the limit: %v", err)
	}
	if r := send(t, "GET", h.URL+"/openenv/ws", "", "X-API-Key", "k"); r.status != 426 {
		t.Errorf("without an upgrade: %d", r.status)
	}
	header := []string{"X-API-Key", "k", "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==", "Origin", "http://evil.example"}
	if r := send(t, "GET", h.URL+"/openenv/ws", "", header...); r.status != 403 {
		t.Errorf("a page of another site: %d", r.status)
	}
}

// A server without memory says so, and ends the session: the rest of the message cannot be skipped.
func TestOpenEnvSession_memory(t *testing.T) {
	s, h := start(t, Options{})
	s.memory.limit.Store(100)
	conn := dial(t, h.URL)
	if f := exchange(t, conn, `{"type":"state"}`); f.Type != "error" || f.Data.Code != "EXECUTION_ERROR" {
		t.Errorf("%+v", f)
	}
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusTryAgainLater {
		t.Error(err)
	}
}

// A server that ends answers what was begun, closes what waits, and does not hang on either.
func TestOpenEnvSession_drain(t *testing.T) {
	reward := &redReward{hold: make(chan struct{})}
	s, err := New(Options{Score: reward.score})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l, 10*time.Second) }()
	url := "http://" + l.Addr().String()
	waits, works := dial(t, url), dial(t, url)
	exchange(t, waits, `{"type":"state"}`)
	step := toJSON(t, object{"type": "step", "data": object{"image": base(encode(t, 2, 2, 100))}})
	if err := works.Write(t.Context(), websocket.MessageText, []byte(step)); err != nil {
		t.Fatal(err)
	}
	for reward.calls.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	stop()
	if _, _, err := waits.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the session that waited: %v", err)
	}
	select {
	case err := <-ended:
		t.Fatalf("ended before the step: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	reward.hold <- struct{}{}
	if f := receive(t, works); f.Data.Reward == nil || *f.Data.Reward != 1 {
		t.Errorf("%+v", f)
	}
	if _, _, err := works.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the session that worked: %v", err)
	}
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
