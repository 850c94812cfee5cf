package vlmjudge

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestGate_concurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(8, 0, time.Minute, time.Second, nil)
		bound := func() int {
			n := 0
			for {
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				err := g.enter(ctx)
				cancel()
				if err != nil {
					break
				}
				n++
			}
			for range n {
				g.leave()
			}
			return n
		}
		if n := bound(); n != 8 {
			t.Errorf("%d at once, want 8", n)
		}
		g.overloaded(0)
		g.overloaded(0) // of the same burst
		if n := bound(); n != 4 {
			t.Errorf("after a 429: %d at once, want 4", n)
		}
		for range 4 {
			time.Sleep(2 * time.Second)
			g.fault("slow", true, 0)
		}
		if n := bound(); n != 1 {
			t.Errorf("after many: %d at once, want 1", n)
		}
		for range 2 * growAfter {
			g.answered(nil)
		}
		if n := bound(); n != 3 {
			t.Errorf("after 100 answers: %d at once, want 3", n)
		}
	})
}

// What waits for a place gets it when one is given back.
func TestGate_places(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 0, time.Minute, time.Second, nil)
		if err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		entered := make(chan error, 1)
		go func() { entered <- g.enter(t.Context()) }()
		synctest.Wait()
		if len(entered) != 0 {
			t.Fatal("two have entered")
		}
		g.leave()
		if err := <-entered; err != nil {
			t.Error(err)
		}
	})
}

func TestGate_pausesForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(8, 0, time.Minute, time.Second, nil)
		start := time.Now()
		g.overloaded(30 * time.Second)
		if err := g.ready(t.Context()); err != nil || time.Since(start) != 30*time.Second {
			t.Errorf("ready after %v, %v", time.Since(start), err)
		}
		g.answered(http.Header{"X-Ratelimit-Remaining-Requests": {"0"}, "X-Ratelimit-Reset-Requests": {"2s"}})
		if err := g.ready(t.Context()); err != nil || time.Since(start) != 32*time.Second {
			t.Errorf("ready after %v, %v", time.Since(start), err)
		}
	})
}

func TestGate_rate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(8, 10, time.Minute, time.Second, nil)
		start := time.Now()
		for range 6 {
			if err := g.ready(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d < 499*time.Millisecond || d > 501*time.Millisecond {
			t.Errorf("6 requests at 10 a second took %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := g.ready(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

// A server that is down is tried by one request at a time; when it is back all go on.
func TestGate_circuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h heard
		g := newGate(8, 0, time.Hour, time.Second, slog.New(&h))
		for range openAfter - 1 {
			g.fault("connection refused", false, 0)
		}
		start := time.Now()
		if err := g.ready(t.Context()); err != nil || time.Since(start) != 0 {
			t.Errorf("after %d faults: %v, %v", openAfter-1, time.Since(start), err)
		}
		g.fault("connection refused", false, 0)
		var mu sync.Mutex
		var through []time.Duration
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := g.ready(t.Context()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				through = append(through, time.Since(start))
				mu.Unlock()
			})
		}
		time.Sleep(15 * time.Second)
		synctest.Wait() // which orders what was written before what is read, as sleeping does not
		if !slices.Equal(through, []time.Duration{10 * time.Second}) {
			t.Errorf("after 15 s there have started: %v, want one at 10 s", through)
		}
		g.fault("connection refused", false, 0) // it is still down: twice the pause
		time.Sleep(25 * time.Second)
		g.answered(nil)
		all.Wait()
		if !slices.Equal(through, []time.Duration{10 * time.Second, 35 * time.Second, 40 * time.Second}) {
			t.Errorf("started: %v", through)
		}
		if notices := h.all(); len(notices) != 2 || !strings.Contains(notices[0], "10 times in a row (connection refused)") || !strings.Contains(notices[1], "back after 40s") {
			t.Errorf("notices %q", notices)
		}
	})
}

// Beyond the patience all fail at once, but for one at a time that tries.
func TestGate_patience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(8, 0, 5*time.Second, time.Second, nil)
		for range openAfter {
			g.fault("EOF", false, 0)
		}
		start := time.Now()
		var down *DownError
		waiting := make(chan error, 1)
		go func() { waiting <- g.ready(t.Context()) }()
		time.Sleep(6 * time.Second)
		if err := g.ready(t.Context()); !errors.As(err, &down) || down.Faults != openAfter || time.Since(start) != 6*time.Second || !strings.Contains(err.Error(), "the last: EOF") {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if err := <-waiting; !errors.As(err, &down) {
			t.Errorf("the one that waited: %v", err)
		}
		time.Sleep(4 * time.Second)
		if err := g.ready(t.Context()); err != nil {
			t.Errorf("the one that tries: %v", err)
		}
	})
}

// One that was cancelled while it tried must leave the trial to the next.
func TestGate_cancelledTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(8, 0, time.Hour, time.Second, nil)
		for range openAfter {
			g.fault("EOF", false, 0)
		}
		if err := g.ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.untried()
		start := time.Now()
		if err := g.ready(t.Context()); err != nil || time.Since(start) > time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.ready(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("beside a trial: error %v", err)
		}
	})
}

func TestBudgetPause(t *testing.T) {
	for _, c := range []struct {
		left, reset string
		want        time.Duration
	}{
		{"0", "1s", time.Second},
		{"0", "6m0s", 6 * time.Minute},
		{"0", "20ms", 20 * time.Millisecond},
		{"0", "1.5", 1500 * time.Millisecond},
		{"0", "2h", longestPause},
		{"1", "1s", 0},
		{"", "1s", 0},
		{"0", "", 0},
		{"0", "-3s", 0},
		{"0", "soon", 0},
		{"0", "1e300", 0},
	} {
		h := http.Header{}
		h.Set("x-ratelimit-remaining-tokens", c.left)
		h.Set("x-ratelimit-reset-tokens", c.reset)
		if got := budgetPause(h); got != c.want {
			t.Errorf("%q left, reset %q: %v, want %v", c.left, c.reset, got, c.want)
		}
	}
}

// A question that is called off before it starts takes no place: else a judge would wait for ever after a few of them.
func TestGate_calledOff(t *testing.T) {
	g := newGate(1, 0, time.Second, time.Millisecond, nil)
	off, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.enter(off); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	if err := g.enter(ctx); err != nil {
		t.Errorf("the place is taken: %v", err)
	}
}
