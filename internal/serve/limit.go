package serve

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// memory bounds the bytes of all requests together. A request reserves what it may need before it is read.
type memory struct {
	limit, held atomic.Int64
	metrics     *metrics
}

func (m *memory) take(n int64) bool {
	if m.held.Add(n) > m.limit.Load() {
		m.held.Add(-n)
		return false
	}
	m.metrics.held.Add(float64(n))
	return true
}

func (m *memory) give(n int64) {
	m.held.Add(-n)
	m.metrics.held.Sub(float64(n))
}

// lease is what one request holds.
type lease struct {
	memory *memory
	bytes  int64
}

func (l *lease) take(n int64) error {
	if !l.memory.take(n) {
		return busy("too many bytes are under way")
	}
	l.bytes += n
	return nil
}

func (l *lease) end() { l.memory.give(l.bytes) }

// readBody reads a request into memory: what it says of its length is checked first, and reserved; without a length the largest
// request is.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, l *lease) ([]byte, error) {
	limit := s.options.MaxRequest
	need := r.ContentLength
	switch {
	case need > limit:
		return nil, tooLarge("the request has %d bytes, and the limit is %d; send fewer pictures at a time, or raise --max-request", need, limit)
	case need == 0:
		return nil, badRequest("the request is empty")
	case need < 0:
		need = limit
	}
	// A body of text becomes pictures of three quarters of its size beside it.
	if err := l.take(2 * need); err != nil {
		return nil, err
	}
	// A client that sends slowly holds its share of the memory only so long.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.options.ReadTimeout))
	body := http.MaxBytesReader(w, r.Body, limit)
	var data []byte
	var err error
	if r.ContentLength > 0 {
		data = make([]byte, r.ContentLength)
		_, err = io.ReadFull(body, data)
	} else {
		data, err = io.ReadAll(body)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	var more *http.MaxBytesError
	switch {
	case errors.As(err, &more):
		return nil, tooLarge("the request has more than %d bytes; send fewer pictures at a time, or raise --max-request", limit)
	case err != nil:
		return nil, badRequest("the request broke off: %v", err)
	case len(data) == 0:
		return nil, badRequest("the request is empty")
	}
	return data, nil
}
