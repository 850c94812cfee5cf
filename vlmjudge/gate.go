package vlmjudge

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	growAfter = 50 // answers in a row until one more question may be under way
	openAfter = 10 // faults in a row, of whatever question, until the server is taken to be down
)

// DownError says that a server has been down for longer than Options.Patience: questions fail at once, but for one now
// and then that finds out whether it is back.
type DownError struct {
	Since  time.Time // of the first fault
	Faults int       // in a row
	Last   string    // the last one, shortened; untrusted
}

// Error is "vlmjudge: the server has been down since TIME (N faults in a row, the last: …); …".
func (e *DownError) Error() string {
	return fmt.Sprintf("vlmjudge: the server has been down since %s (%d faults in a row, the last: %s); start it again, and go on where this ended",
		e.Since.Format(time.TimeOnly), e.Faults, e.Last)
}

// gate decides when a request may start. Three things hold it back: a bound on requests at once, which halves when the server is
// overloaded and grows by one after many answers; a rate, and pauses that the server asks for, which hold for all requests; and a
// circuit breaker, which lets one request at a time try a server that is down while the others wait.
type gate struct {
	most     int
	rate     *rate.Limiter // nil: no bound
	patience time.Duration
	unit     time.Duration // of the breaker's pauses
	logger   *slog.Logger  // nil: none

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when something below changes
	limit   int
	under   int // way
	inRow   int // answers since the limit changed
	cut     time.Time
	quiet   time.Time // no attempt before
	faults  int       // in a row
	since   time.Time // of the first of them
	last    string
	retryAt time.Time // of a server that is down
	trying  bool      // one request is finding out whether it is back
}

func newGate(concurrency int, perSecond float64, patience, unit time.Duration, logger *slog.Logger) *gate {
	g := &gate{most: concurrency, limit: concurrency, patience: patience, unit: unit, logger: logger, changed: make(chan struct{})}
	if perSecond > 0 {
		g.rate = rate.NewLimiter(rate.Limit(perSecond), 1)
	}
	return g
}

// wake has those who wait look again. The lock is held.
func (g *gate) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// enter waits for a place among the requests that are under way.
func (g *gate) enter(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil { // who takes no place gives none back
			return err
		}
		g.mu.Lock()
		if g.under < g.limit {
			g.under++
			g.mu.Unlock()
			return nil
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// leave gives the place back.
func (g *gate) leave() {
	g.mu.Lock()
	g.under--
	g.wake()
	g.mu.Unlock()
}

// ready waits until the next attempt may start.
func (g *gate) ready(ctx context.Context) error {
	for {
		wait, changed, err := g.next(time.Now())
		if err != nil {
			return err
		}
		if wait <= 0 {
			break
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if g.rate == nil {
		return ctx.Err()
	}
	if err := g.rate.Wait(ctx); err != nil {
		g.untried()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("vlmjudge: the context ends before the rate allows the next request: %w", context.DeadlineExceeded)
	}
	return nil
}

// next is how long an attempt has to wait at least; 0: it starts now.
func (g *gate) next(now time.Time) (time.Duration, <-chan struct{}, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case now.Before(g.quiet):
		return g.quiet.Sub(now), g.changed, nil
	case g.faults < openAfter:
		return 0, nil, nil
	case !g.trying && !now.Before(g.retryAt):
		g.trying = true
		return 0, nil, nil
	}
	left := g.patience - now.Sub(g.since)
	switch {
	case left <= 0:
		return 0, nil, &DownError{Since: g.since, Faults: g.faults, Last: g.last}
	case g.trying:
		return left, g.changed, nil // another request reports soon
	}
	return min(left, g.retryAt.Sub(now)), g.changed, nil
}

// untried takes back that an attempt tries whether the server is back.
func (g *gate) untried() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trying = false
	g.wake()
}

// answered notes a reply of a server that is well, whether or not it liked the question.
func (g *gate) answered(h http.Header) {
	pause := budgetPause(h)
	g.mu.Lock()
	defer g.mu.Unlock()
	down := g.faults >= openAfter
	g.faults, g.trying = 0, false
	if g.inRow++; g.inRow >= growAfter && g.limit < g.most {
		g.limit, g.inRow = g.limit+1, 0
	}
	g.rest(pause)
	if down {
		g.tell(fmt.Sprintf("the judge's server is back after %s", time.Since(g.since).Round(time.Second)))
	}
	g.wake()
}

// overloaded notes a server that asks to slow down. pause is what it asks for; 0: nothing.
func (g *gate) overloaded(pause time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults, g.trying = 0, false
	g.shrink()
	g.rest(pause)
	g.wake()
}

// fault notes an attempt that failed as those of a server do that is down. slow is set where fewer requests may help; pause is what
// the server asks for.
func (g *gate) fault(what string, slow bool, pause time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.faults == 0 {
		g.since = time.Now()
	}
	g.faults++
	g.last, g.trying = what, false
	if slow {
		g.shrink()
	}
	g.rest(pause)
	if g.faults >= openAfter {
		g.retryAt = time.Now().Add(min(time.Minute, 10*g.unit<<min(g.faults-openAfter, 10)))
	}
	if g.faults == openAfter {
		g.tell(fmt.Sprintf("the judge's server has failed %d times in a row (%s); waiting up to %s for it", g.faults, what, g.patience))
	}
	g.wake()
}

// shrink halves the bound, once for all requests that were under way at the time.
func (g *gate) shrink() {
	now := time.Now()
	g.inRow = 0
	if now.Sub(g.cut) < g.unit {
		return
	}
	g.cut = now
	g.limit = max(1, g.limit/2)
}

func (g *gate) rest(pause time.Duration) {
	if until := time.Now().Add(pause); pause > 0 && pause <= longestPause && until.After(g.quiet) {
		g.quiet = until
	}
}

func (g *gate) tell(text string) {
	if g.logger != nil {
		g.logger.Warn(text)
	}
}

// note is for those who want to know more: what was done about a fault that may pass, or about a refusal.
func (g *gate) note(text string, args ...any) {
	if g.logger != nil {
		g.logger.Info(text, args...)
	}
}

// budgetPause is how long a server wants nothing more, by the headers of hosted ones: none left of the requests or tokens
// of a time, and when there are some again ("1s", "6m0s", "20ms", or seconds).
func budgetPause(h http.Header) (pause time.Duration) {
	for _, what := range []string{"requests", "tokens"} {
		left, err := strconv.Atoi(strings.TrimSpace(h.Get("X-Ratelimit-Remaining-" + what)))
		if err != nil || left > 0 {
			continue
		}
		pause = max(pause, resetIn(h.Get("X-Ratelimit-Reset-"+what)))
	}
	return min(pause, longestPause)
}

func resetIn(text string) time.Duration {
	text = strings.TrimSpace(text)
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return d
	}
	if s, err := strconv.ParseFloat(text, 64); err == nil && s > 0 && s < longestPause.Seconds() {
		return time.Duration(s * float64(time.Second))
	}
	return 0
}
