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

// client posts JSON, with retries, when its gate lets it.
type client struct {
	http    *http.Client
	key     string
	retries int
	wait    time.Duration
	gate    *gate
}

func newClient(key string, timeout time.Duration, retries int, wait time.Duration, gate *gate) *client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = gate.most
	return &client{
		http: &http.Client{
			Transport: transport,
			Timeout:   timeout,
			// Pictures and key go to the address that was given, nowhere else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		key: strings.TrimSpace(key), retries: max(retries, 0), wait: wait, gate: gate,
	}
}

// once is the same client without second attempts.
func (c *client) once() *client {
	one := *c
	one.retries = 0
	return &one
}

// post sends body as JSON and returns the reply of a status 200. Other statuses are *ServerError.
func (c *client) post(ctx context.Context, address string, body any) ([]byte, error) {
	if err := c.gate.enter(ctx); err != nil {
		return nil, err
	}
	defer c.gate.leave()
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
	if err := c.gate.ready(ctx); err != nil {
		return nil, err
	}
	x := exchange{wait: c.wait, gate: c.gate, key: c.key}
	req.SetResponseHandler(x.read)
	retrying := retryablehttp.Client{
		HTTPClient: c.http, RetryMax: c.retries, CheckRetry: x.again, Backoff: x.pause, ErrorHandler: x.last,
		PrepareRetry: func(r *http.Request) error { return c.gate.ready(r.Context()) },
	}
	resp, err := retrying.Do(req)
	if err == nil && x.body == nil { // the last attempt had a status that is retried: nobody has read it
		err = x.read(resp)
	}
	var down *DownError
	switch {
	case ctx.Err() != nil:
		c.gate.untried()
		return nil, ctx.Err()
	case errors.As(err, &down):
		return nil, down
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
	gate      *gate
	key       string
	body      []byte // of the last complete reply
	tries     int    // attempts that were made
	plain500s int
	timeouts  int
	fault     string // of the last attempt
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
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	passing := err == nil && mayPass(resp.StatusCode)
	if err == nil && !passing && x.body == nil {
		return false, nil // it is read now, and then looked at again
	}
	if passing && x.body != nil {
		return false, nil // so it was decided, and then it was read
	}
	x.report(resp, err)
	switch {
	case errors.Is(err, errReplyTooLong):
		return false, nil
	case timedOut(err):
		x.timeouts++
		return x.timeouts <= 1, nil // each costs the whole time limit
	case err != nil:
		return retryablehttp.DefaultRetryPolicy(ctx, resp, err)
	case !passing:
		return false, nil
	case hopeless(resp):
		x.plain500s++
		return x.plain500s <= 1, nil
	}
	pause, asked := retryAfter(resp.Header)
	return !asked || pause <= longestPause, nil
}

// mayPass names the statuses that another attempt may not have.
func mayPass(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, statusOverloaded:
		return true
	}
	return false
}

const statusOverloaded = 529 // of some hosted servers

// noSight is how llama.cpp's server says, by a status 500, that its model has no part for pictures.
const noSight = "image input is not supported"

// hopeless is how Python servers answer when a picture or a text breaks them, which trying again does not change, and llama.cpp when it
// sees no pictures.
func hopeless(resp *http.Response) bool {
	if resp.StatusCode != http.StatusInternalServerError {
		return false
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return kind == "text/plain" || bytes.Contains(peek(resp), []byte(noSight))
}

// peek is the start of a body, which stays to be read.
func peek(resp *http.Response) []byte {
	start, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // what is wrong with it is found when all of it is read
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), resp.Body), resp.Body}
	return start
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// report counts an attempt and tells the gate what became of it.
func (x *exchange) report(resp *http.Response, err error) {
	x.tries++
	if err != nil && !errors.Is(err, errReplyTooLong) {
		x.fault = tidy(unwrapURL(err).Error(), x.key)
		x.gate.fault(x.fault, timedOut(err), 0)
		return
	}
	x.fault = resp.Status
	pause, _ := retryAfter(resp.Header)
	switch resp.StatusCode {
	case http.StatusTooManyRequests, statusOverloaded:
		x.gate.overloaded(max(pause, budgetPause(resp.Header)))
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		x.gate.fault(resp.Status, true, pause)
	case http.StatusInternalServerError:
		if !hopeless(resp) {
			x.gate.fault(resp.Status, false, pause)
			return
		}
		fallthrough
	default:
		x.gate.answered(resp.Header)
	}
}

// pause honours the server's wish, else doubles from the unit up to a minute, with full jitter.
func (x *exchange) pause(_, _ time.Duration, attempt int, resp *http.Response) time.Duration {
	most := min(time.Minute, x.wait<<min(attempt, 10))
	d := time.Duration(rand.Float64() * float64(most))
	if resp != nil {
		if wanted, ok := retryAfter(resp.Header); ok {
			d = wanted
		}
	}
	x.gate.note(fmt.Sprintf("attempt %d failed; another one follows in %s", attempt+1, d.Round(time.Millisecond)), "why", x.fault)
	return d
}

// last keeps the last reply instead of replacing it by a message.
func (x *exchange) last(resp *http.Response, err error, _ int) (*http.Response, error) {
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
