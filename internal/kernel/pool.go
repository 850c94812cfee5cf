package kernel

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// spinRounds is how often an idle worker looks for new work before it parks.
// Layers of a network follow each other within microseconds, and waking a
// parked goroutine costs several of them.
const spinRounds = 2000

// Pool is a fixed set of workers that share loops among them.
// The nil *Pool is valid and runs everything on the calling goroutine.
// A Pool may be used from several goroutines; their loops run one after another.
type Pool struct {
	threads int
	mu      sync.Mutex // held by the caller of Run: one loop at a time
	gate    sync.Mutex // guards cond
	cond    *sync.Cond
	epoch   atomic.Uint64 // counts loops, so that idle workers see a new one
	open    atomic.Bool   // the loop in job accepts workers
	active  atomic.Int32  // workers that may be looking at job
	waiting atomic.Bool   // the caller of Run has stopped spinning
	idle    chan struct{} // wakes it when active may have become 0
	job     job
	closed  atomic.Bool
}

// job is the loop in progress. It is written only while open is false and active is 0.
type job struct {
	n     int
	f     func(worker, i int)
	next  atomic.Int64
	fault atomic.Pointer[PoolPanic]
}

// PoolPanic is the value that [Pool.Run] panics with when a loop body panicked
// in a worker: the original value and the stack of the worker.
type PoolPanic struct {
	Value any
	Stack string
}

// Error describes the panic together with the worker's stack.
func (p *PoolPanic) Error() string {
	return fmt.Sprintf("kernel: panic in a pool worker: %v\n%s", p.Value, p.Stack)
}

// NewPool starts a pool of the given number of threads, the caller of Run
// included; 0 means runtime.GOMAXPROCS. Close ends its workers.
func NewPool(threads int) *Pool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{threads: threads, idle: make(chan struct{}, 1)}
	p.cond = sync.NewCond(&p.gate)
	for w := 1; w < threads; w++ {
		go p.work(w)
	}
	return p
}

// Threads returns the number of workers including the caller; 1 for a nil pool.
func (p *Pool) Threads() int {
	if p == nil {
		return 1
	}
	return p.threads
}

// Run calls f(worker, i) once for every i in [0, n), worker in [0, Threads()).
// No two calls with the same worker overlap, so worker may index scratch space.
// Run returns when all calls have returned. If a call panics, the remaining indices
// are dropped and Run panics in the caller's goroutine, with a *PoolPanic when the
// loop was shared out.
// f must not call Run of the same pool.
func (p *Pool) Run(n int, f func(worker, i int)) {
	if p == nil || p.threads == 1 || n <= 1 || p.closed.Load() {
		for i := range n {
			f(0, i)
		}
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start(n, f)
	p.drain(0)
	p.open.Store(false)
	// A worker that was late for this loop counts itself in, sees it closed and
	// leaves; only workers with a call in progress are waited for.
	p.settle()
	p.job.f = nil
	if fault := p.job.fault.Load(); fault != nil {
		panic(fault)
	}
}

// start publishes the loop and wakes the workers.
func (p *Pool) start(n int, f func(worker, i int)) {
	p.settle() // a late worker of the loop before
	p.job.n, p.job.f = n, f
	p.job.next.Store(0)
	p.job.fault.Store(nil)
	p.open.Store(true)
	p.gate.Lock()
	p.epoch.Add(1)
	p.cond.Broadcast()
	p.gate.Unlock()
}

// settle returns when no worker looks at the job: spinning first, because the last
// tile usually ends soon, then parked, because on a busy machine it may not.
func (p *Pool) settle() {
	for range spinRounds {
		if p.active.Load() == 0 {
			return
		}
	}
	p.waiting.Store(true)
	for p.active.Load() > 0 {
		<-p.idle // may be a token from earlier; active decides
	}
	p.waiting.Store(false)
}

// leave takes the worker out of the count and wakes the caller if it sleeps.
func (p *Pool) leave() {
	if p.active.Add(-1) == 0 && p.waiting.Load() {
		select {
		case p.idle <- struct{}{}:
		default:
		}
	}
}

// drain takes indices until none is left.
func (p *Pool) drain(worker int) {
	defer func() {
		if r := recover(); r != nil {
			buf := make([]byte, 16<<10)
			buf = buf[:runtime.Stack(buf, false)]
			p.job.fault.CompareAndSwap(nil, &PoolPanic{Value: r, Stack: string(buf)})
			p.job.next.Store(int64(p.job.n))
		}
	}()
	for {
		i := int(p.job.next.Add(1)) - 1
		if i >= p.job.n {
			return
		}
		p.job.f(worker, i)
	}
}

// work is the life of one worker: wait for the next epoch, drain, report.
func (p *Pool) work(worker int) {
	seen := uint64(0)
	for {
		seen = p.await(seen)
		if p.closed.Load() {
			return
		}
		p.active.Add(1)
		if p.open.Load() {
			p.drain(worker)
		}
		p.leave()
	}
}

// await returns the first epoch after seen, spinning for a while before parking.
func (p *Pool) await(seen uint64) uint64 {
	for spin := 0; spin < spinRounds; spin++ {
		if e := p.epoch.Load(); e != seen {
			return e
		}
		if spin%64 == 63 {
			runtime.Gosched()
		}
	}
	p.gate.Lock()
	defer p.gate.Unlock()
	for p.epoch.Load() == seen {
		p.cond.Wait()
	}
	return p.epoch.Load()
}

// Close ends the workers after the loop in progress. It may be called more than
// once; later calls of Run work serially.
func (p *Pool) Close() {
	if p == nil || p.closed.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate.Lock()
	defer p.gate.Unlock()
	p.closed.Store(true)
	p.epoch.Add(1)
	p.cond.Broadcast()
}
