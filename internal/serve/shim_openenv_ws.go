package serve

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// OpenEnv's clients since 0.3 open a WebSocket at their base address with /ws, and keep it for a session of many episodes
// (openenv-core 0.3.0, core/env_client.py and env_server/types.py):
//
//	{"type": "reset", "data": {"episode_id"?, …}}  → {"type": "observation", "data": {"observation", "reward": null, "done": false}}
//	{"type": "step", "data": {action}}             → {"type": "observation", "data": {"observation", "reward", "done": true}}
//	{"type": "state"}                              → {"type": "state", "data": {"episode_id", "step_count"}}
//	{"type": "close"}                              the session ends
//	anything else                                  → {"type": "error", "data": {"message", "code"}}, and the session goes on
//
// A message is a request: the limits of size, memory and time are those of requests. A key comes as header or as password of the
// address. A server that ends lets a message that was begun be answered, and then closes with 1001.
type openEnvMessage struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

// Codes of errors, as that server has them.
const (
	codeJSON       = "INVALID_JSON"
	codeType       = "UNKNOWN_TYPE"
	codeValidation = "VALIDATION_ERROR"
	codeExecution  = "EXECUTION_ERROR"
	codeCapacity   = "CAPACITY_REACHED"
)

// sessions are the WebSockets that are open. http.Server forgets them, so they are drained here.
type sessions struct {
	slots    chan struct{}
	mu       sync.Mutex
	draining bool
	open     map[*session]struct{}
	wg       sync.WaitGroup
}

func newSessions(most int) *sessions {
	return &sessions{slots: make(chan struct{}, most), open: map[*session]struct{}{}}
}

// session is one WebSocket.
type session struct {
	conn    *websocket.Conn
	busy    bool // a message is being answered; under sessions.mu
	episode string
	steps   int
}

// enter is false where there is no place, or the server ends.
func (s *sessions) enter(v *session) bool {
	select {
	case s.slots <- struct{}{}:
	default:
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		<-s.slots
		return false
	}
	s.open[v] = struct{}{}
	s.wg.Add(1)
	return true
}

func (s *sessions) leave(v *session) {
	s.mu.Lock()
	delete(s.open, v)
	s.mu.Unlock()
	<-s.slots
	s.wg.Done()
}

// occupied notes whether a message is being answered; false: the server ends.
func (s *sessions) occupied(v *session, busy bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.busy = busy
	return !s.draining
}

// drain closes the sessions that wait for a message; the others end behind their answer.
func (s *sessions) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for v := range s.open {
		if !v.busy {
			go func() { _ = v.conn.Close(websocket.StatusGoingAway, errDraining.Error()) }()
		}
	}
}

// wait waits until all sessions have ended, or cuts them off when ctx ends.
func (s *sessions) wait(ctx context.Context) error {
	ended := make(chan struct{})
	go func() { s.wg.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for v := range s.open {
		_ = v.conn.CloseNow()
	}
	return ctx.Err()
}

func (s *Server) serveSession(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // which has been answered
	}
	defer func() { _ = conn.CloseNow() }() // a session that ended by itself is closed already
	v := &session{conn: conn}
	// The time between messages is not a request's.
	ctx := context.WithoutCancel(r.Context())
	if !s.sessions.enter(v) {
		full := &refusal{status: http.StatusServiceUnavailable, why: "there is no place for another session, or the server is about to end; try again"}
		_ = v.send(ctx, openEnvError(full, codeCapacity))
		_ = conn.Close(websocket.StatusTryAgainLater, "no place")
		return
	}
	s.metrics.sessions.Inc()
	defer func() { s.metrics.sessions.Dec(); s.sessions.leave(v) }()
	conn.SetReadLimit(s.options.MaxRequest)
	for s.exchange(ctx, v) {
	}
}

// exchange waits for a message and answers it. It is false when the session is over.
func (s *Server) exchange(ctx context.Context, v *session) bool {
	idle, cancel := context.WithTimeout(ctx, s.options.IdleTimeout)
	defer cancel()
	_, from, err := v.conn.Reader(idle)
	if err != nil {
		return false
	}
	if !s.sessions.occupied(v, true) {
		_ = v.conn.Close(websocket.StatusGoingAway, errDraining.Error())
		return false
	}
	l := &lease{memory: &s.memory}
	defer l.end()
	limited, stop := context.WithTimeout(ctx, s.options.RequestTimeout)
	defer stop()
	data, err := readMessage(from, int(s.options.MaxRequest), l, time.AfterFunc(s.options.ReadTimeout, func() { _ = v.conn.CloseNow() }))
	var m openEnvMessage
	var reply any
	switch {
	case errors.As(err, new(*refusal)): // the rest of the message cannot be skipped
		_ = v.send(limited, openEnvError(err, codeExecution))
		_ = v.conn.Close(websocket.StatusTryAgainLater, refuse(err).why)
		return false
	case err != nil:
		return false
	case json.Unmarshal(data, &m) != nil:
		reply = openEnvError(badRequest(`the message is not JSON of the form {"type": "step", "data": {…}}`), codeJSON)
	case m.Type == "close":
		_ = v.conn.Close(websocket.StatusNormalClosure, "")
		return false
	default:
		reply = s.answer(limited, v, &m, l)
	}
	if v.send(limited, reply) != nil {
		return false
	}
	if !s.sessions.occupied(v, false) {
		_ = v.conn.Close(websocket.StatusGoingAway, errDraining.Error())
		return false
	}
	return true
}

// readMessage reads a message whose length nobody states: memory is taken as it comes, twice, since text becomes pictures beside it.
// Beyond limit the reader fails.
func readMessage(from io.Reader, limit int, l *lease, late *time.Timer) ([]byte, error) {
	defer late.Stop()
	var data []byte
	for room := 64 << 10; ; room *= 2 {
		room = max(1, min(room, limit+1-len(data))) // a byte more shows the end
		if err := l.take(2 * int64(room)); err != nil {
			return nil, err
		}
		grown := make([]byte, len(data), len(data)+room)
		copy(grown, data)
		n, err := io.ReadFull(from, grown[len(data):cap(grown)])
		data = grown[:len(data)+n]
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return data, nil
		case err != nil:
			return nil, err
		}
	}
}

func (s *Server) answer(ctx context.Context, v *session, m *openEnvMessage, l *lease) any {
	observation := func(data any) any { return map[string]any{"type": "observation", "data": data} }
	switch m.Type {
	case "reset":
		var data struct {
			EpisodeID string `json:"episode_id"`
		}
		if len(m.Data) > 0 && json.Unmarshal(m.Data, &data) != nil {
			return openEnvError(badRequest(`"data" of a reset is an object`), codeValidation)
		}
		if v.episode, v.steps = data.EpisodeID, 0; v.episode == "" {
			v.episode = rand.Text()
		}
		return observation(s.resetReply())
	case "step":
		var action openEnvAction
		if err := json.Unmarshal(m.Data, &action); err != nil {
			return openEnvError(unusable("the action: %v", err), codeValidation)
		}
		reply, err := s.act(ctx, action, l)
		if err != nil {
			code := codeExecution
			if refuse(err).status == http.StatusUnprocessableEntity {
				code = codeValidation
			}
			return openEnvError(err, code)
		}
		v.steps++
		return observation(reply)
	case "state":
		var episode *string
		if v.episode != "" {
			episode = &v.episode
		}
		return map[string]any{"type": "state", "data": map[string]any{"episode_id": episode, "step_count": v.steps}}
	}
	return openEnvError(badRequest("a message of type %q is not answered; want reset, step, state or close", m.Type), codeType)
}

func openEnvError(err error, code string) any {
	return map[string]any{"type": "error", "data": map[string]string{"message": refuse(err).why, "code": code}}
}

func (v *session) send(ctx context.Context, reply any) error {
	data, err := json.Marshal(reply)
	if err != nil {
		return err
	}
	return v.conn.Write(ctx, websocket.MessageText, data)
}
