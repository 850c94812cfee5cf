package serve

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"winnow/internal/scoring"
)

var (
	// errBusy reports a queue without room for the items of a request.
	errBusy = errors.New("the queue is full")
	// errDraining reports a server that is about to end.
	errDraining = errors.New("the server is shutting down")
)

// ScoreFunc gives one result per item, in order; an error means that none of them could be scored. It is called by one
// goroutine at a time. *scoring.Scorer has it.
type ScoreFunc func(ctx context.Context, items []scoring.Item) ([]scoring.Result, error)

// picture is one item of a request: an encoded picture whose header has been checked, and the prompt.
type picture struct {
	prompt string
	data   []byte
	pixels int // width × height, as the header says
}

// ticket is a picture in the queue.
type ticket struct {
	picture
	ctx    context.Context
	result scoring.Result
	err    error // of the batch, not of the picture
	group  *group
}

// group is what one request waits for.
type group struct {
	open int // tickets without a result; under queue.mu
	done chan struct{}
}

// queue gathers pictures of concurrent requests into batches, in the order in which they came.
type queue struct {
	score   ScoreFunc
	size    int           // pictures of a batch
	pixels  int           // of a batch together, decoded at one time
	wait    time.Duration // for more pictures after the first one
	room    int           // pictures that may wait
	metrics *metrics

	mu      sync.Mutex
	waiting []*ticket
	closed  bool
	wake    chan struct{} // holds a token when something has changed
	ended   chan struct{}
}

func newQueue(score ScoreFunc, o *Options, m *metrics) *queue {
	return &queue{
		score: score, size: o.BatchSize, pixels: max(batchPixels, o.Limits.Pixels), wait: o.BatchWait, room: o.Queue, metrics: m,
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
}

// batchPixels bounds what is decoded at one time to 256 MiB of RGBA, or to a single picture that is larger.
const batchPixels = 64 << 20

// submit scores pictures and waits. Results are in order. When ctx ends, what still waits leaves the queue at once.
func (q *queue) submit(ctx context.Context, pictures []picture) ([]scoring.Result, error) {
	if len(pictures) == 0 {
		return nil, ctx.Err()
	}
	g := &group{open: len(pictures), done: make(chan struct{})}
	tickets := make([]*ticket, len(pictures))
	for i := range pictures {
		tickets[i] = &ticket{picture: pictures[i], ctx: ctx, group: g}
	}
	if err := q.enter(tickets); err != nil {
		return nil, err
	}
	select {
	case <-g.done:
	case <-ctx.Done():
		q.leave(g)
		return nil, ctx.Err()
	case <-q.ended:
		select {
		case <-g.done:
		default:
			return nil, errDraining
		}
	}
	results := make([]scoring.Result, len(tickets))
	for i, t := range tickets {
		if t.err != nil {
			return nil, t.err
		}
		results[i] = t.result
	}
	return results, nil
}

func (q *queue) enter(tickets []*ticket) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return errDraining
	case len(q.waiting)+len(tickets) > q.room:
		return errBusy
	}
	q.waiting = append(q.waiting, tickets...)
	q.changed()
	return nil
}

// leave takes the tickets of a request whose client has gone out of the queue.
func (q *queue) leave(g *group) {
	q.mu.Lock()
	defer q.mu.Unlock()
	kept := q.waiting[:0]
	for _, t := range q.waiting {
		if t.group == g {
			q.metrics.items.WithLabelValues("cancelled").Inc()
			continue
		}
		kept = append(kept, t)
	}
	clear(q.waiting[len(kept):])
	q.waiting = kept
	q.changed()
}

// changed wakes the worker and shows the length; q.mu is held.
func (q *queue) changed() {
	q.metrics.queued.Set(float64(len(q.waiting)))
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// close lets the worker end when the queue is empty; new pictures are refused.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed()
}

// run is the worker. It ends when the queue is closed and empty, or when ctx ends.
func (q *queue) run(ctx context.Context) {
	defer close(q.ended)
	for {
		batch, ok := q.take(ctx)
		if !ok {
			return
		}
		q.serve(ctx, batch)
	}
}

// take waits for pictures, and then for more of them until the batch is full or the first has waited long enough.
func (q *queue) take(ctx context.Context) (batch []*ticket, ok bool) {
	var timer <-chan time.Time
	for {
		q.mu.Lock()
		waiting, closed := len(q.waiting), q.closed
		if waiting >= q.size || waiting > 0 && closed {
			batch = q.cut()
			q.mu.Unlock()
			return batch, true
		}
		q.mu.Unlock()
		switch {
		case closed:
			return nil, false
		case waiting == 0:
			timer = nil
		case timer == nil:
			timer = time.After(q.wait)
		}
		select {
		case <-ctx.Done():
			return nil, false
		case <-q.wake:
		case <-timer:
			q.mu.Lock()
			batch = q.cut()
			q.mu.Unlock()
			if len(batch) > 0 {
				return batch, true
			}
			timer = nil
		}
	}
}

// cut takes a batch from the front; q.mu is held.
func (q *queue) cut() []*ticket {
	n, pixels := 0, 0
	for n < len(q.waiting) && n < q.size {
		if pixels += q.waiting[n].pixels; n > 0 && pixels > q.pixels {
			break
		}
		n++
	}
	batch := append([]*ticket(nil), q.waiting[:n]...)
	rest := copy(q.waiting, q.waiting[n:])
	clear(q.waiting[rest:]) // pictures must not live longer than their request
	q.waiting = q.waiting[:rest]
	q.metrics.queued.Set(float64(rest))
	return batch
}

// serve scores a batch. Where that fails as a whole, its pictures are scored one by one, so that a picture which a server
// behind the reward refuses costs no other client its scores; two failures in a row end that, since then it is the reward.
func (q *queue) serve(ctx context.Context, batch []*ticket) {
	ctx, stop := q.untilAllGone(ctx, batch)
	defer stop()
	q.metrics.batch.Observe(float64(len(batch)))
	err := q.try(ctx, batch)
	if err != nil && ctx.Err() == nil && len(batch) > 1 {
		failed := 0
		for i, t := range batch {
			if failed == 2 {
				q.settle(batch[i:], nil, err)
				return
			}
			alone := q.try(ctx, []*ticket{t})
			failed++
			if alone == nil {
				failed = 0
				continue
			}
			err = alone
			q.settle([]*ticket{t}, nil, err)
		}
		return
	}
	if err != nil {
		q.settle(batch, nil, err)
	}
}

// try scores tickets and settles them unless it fails.
func (q *queue) try(ctx context.Context, tickets []*ticket) error {
	items := make([]scoring.Item, len(tickets))
	for i, t := range tickets {
		items[i] = scoring.Item{Name: "image", Prompt: t.prompt, Load: func() ([]byte, error) { return t.data, nil }}
	}
	start := time.Now()
	results, err := guarded(func() ([]scoring.Result, error) { return q.score(ctx, items) })
	q.metrics.batchTime.Observe(time.Since(start).Seconds())
	if err == nil && len(results) != len(items) {
		err = fmt.Errorf("%d results for %d pictures", len(results), len(items))
	}
	if err != nil {
		return err
	}
	q.settle(tickets, results, nil)
	return nil
}

// guarded keeps a panic of a reward from ending the process, and with it every other request.
func guarded(f func() ([]scoring.Result, error)) (r []scoring.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the reward panicked: %v", p)
		}
	}()
	return f()
}

// settle gives tickets their results, or the error of the batch.
func (q *queue) settle(tickets []*ticket, results []scoring.Result, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, t := range tickets {
		label := "scored"
		switch {
		case t.ctx.Err() != nil:
			label = "cancelled"
		case err != nil:
			label = "failed"
		case results[i].Err != nil:
			label = "refused"
		}
		q.metrics.items.WithLabelValues(label).Inc()
		if t.err = err; err == nil {
			t.result = results[i]
		}
		if t.group.open--; t.group.open == 0 {
			close(t.group.done)
		}
	}
}

// untilAllGone is a context that ends when nobody waits for the batch any more.
func (q *queue) untilAllGone(ctx context.Context, batch []*ticket) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	var mu sync.Mutex
	left := len(batch)
	stops := make([]func() bool, len(batch))
	for i, t := range batch {
		stops[i] = context.AfterFunc(t.ctx, func() {
			mu.Lock()
			defer mu.Unlock()
			if left--; left == 0 {
				cancel()
			}
		})
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}
