package vlmjudge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const (
	maxReply     = 8 << 20          // bytes; a verdict has a few hundred
	longestPause = 10 * time.Minute // a server that asks for more is treated as down
)

var errReplyTooLong = fmt.Errorf("the reply has more than %d MiB; this is no judge or reward server", maxReply>>20)

// client posts JSON, with retries and a bound on requests at once.
type client struct {
	http    *http.Client
	key     string
	retries int
	wait    time.Duration
	slots   chan struct{}
}

func newClient(key string, timeout time.Duration, retries, concurrency int, wait time.Duration) *client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = concurrency
	return &client{
		http: &http.Client{
			Transport: transport,
			Timeout:   timeout,
			// Pictures and key go to the address that was given, nowhere else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		key: strings.TrimSpace(key), retries: max(retries, 0), wait: wait, slots: make(chan struct{}, concurrency),
	}
}

// post sends body as JSON and returns the reply of a status 200. Other statuses are *ServerError.
func (c *client) post(ctx context.Context, address string, body any) ([]byte, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	data, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("vlmjudge: encode the request: %w", err)
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, address, data)
	if err != nil {
		return nil, fmt.Errorf("vlmjudge: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	return c.do(ctx, req)
}

func (c *client) do(ctx context.Context, req *retryablehttp.Request) ([]byte, error) {
	x := exchange{wait: c.wait}
	req.SetResponseHandler(x.read)
	retrying := retryablehttp.Client{
		HTTPClient: c.http, RetryMax: c.retries, CheckRetry: x.again, Backoff: x.pause, ErrorHandler: x.last,
	}
	resp, err := retrying.Do(req)
	if err == nil && x.body == nil { // the last attempt had a status that is retried: nobody has read it
		err = x.read(resp)
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, errReplyTooLong):
		return nil, fmt.Errorf("vlmjudge: %s: %w", req.URL, err)
	case err != nil:
		return nil, fmt.Errorf("vlmjudge: no reply from %s (attempts: %d): %w; check that the server runs", req.URL, max(x.tries, 1), unwrapURL(err))
	case resp.StatusCode != http.StatusOK:
		return nil, newServerError(req.URL.String(), resp, x.body, c.key, max(x.tries, 1))
	}
	return x.body, nil
}

// exchange is one request with its attempts.
type exchange struct {
	wait      time.Duration
	body      []byte // of the last complete reply
	tries     int
	plain500s int
	timeouts  int
}

// read takes the whole body; a connection that breaks in it counts as a failed attempt.
func (x *exchange) read(resp *http.Response) error {
	defer resp.Body.Close()
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(io.LimitReader(resp.Body, maxReply+1)); err != nil {
		return err
	}
	if buf.Len() > maxReply {
		return errReplyTooLong
	}
	x.body = buf.Bytes()
	if x.body == nil {
		x.body = []byte{}
	}
	return nil
}

// again decides on another attempt. Requests are questions: asking twice does no harm.
func (x *exchange) again(ctx context.Context, resp *http.Response, err error) (bool, error) {
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, errReplyTooLong):
		return false, nil
	case errors.As(err, &timeout) && timeout.Timeout():
		x.timeouts++
		return x.timeouts <= 1, nil // each costs the whole time limit
	case err != nil:
		return retryablehttp.DefaultRetryPolicy(ctx, resp, err)
	}
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, 529:
	default:
		return false, nil
	}
	// Python servers answer so when a picture or a text breaks them, which trying again does not change.
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); resp.StatusCode == 500 && kind == "text/plain" {
		x.plain500s++
		return x.plain500s <= 1, nil
	}
	pause, asked := retryAfter(resp.Header)
	return !asked || pause <= longestPause, nil
}

// pause honours the server's wish, else doubles from the unit up to a minute, with full jitter.
func (x *exchange) pause(_, _ time.Duration, attempt int, resp *http.Response) time.Duration {
	if resp != nil {
		if d, ok := retryAfter(resp.Header); ok {
			return d
		}
	}
	most := min(time.Minute, x.wait<<min(attempt, 10))
	return time.Duration(rand.Float64() * float64(most))
}

// last keeps the last reply instead of replacing it by a message.
func (x *exchange) last(resp *http.Response, err error, tries int) (*http.Response, error) {
	x.tries = tries
	if err != nil && resp != nil {
		resp.Body.Close()
	}
	return resp, err
}

// retryAfter reads the header in milliseconds, seconds or as a date.
func retryAfter(h http.Header) (time.Duration, bool) {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms >= 0 {
		return time.Duration(min(ms, 1e12)) * time.Millisecond, true
	}
	text := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(text, 64); err == nil && s >= 0 {
		return time.Duration(min(s, 1e9) * float64(time.Second)), true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at)), true
	}
	return 0, false
}
