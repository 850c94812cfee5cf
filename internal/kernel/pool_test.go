package kernel

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestPoolRunsEveryIndexOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 5} {
		p := NewPool(threads)
		for _, n := range []int{0, 1, 2, 3, 1000} {
			seen := make([]atomic.Int32, n)
			busy := make([]atomic.Bool, threads)
			p.Run(n, func(worker, i int) {
				if !busy[worker].CompareAndSwap(false, true) {
					t.Errorf("worker %d runs twice at a time", worker)
				}
				seen[i].Add(1)
				busy[worker].Store(false)
			})
			for i := range seen {
				if c := seen[i].Load(); c != 1 {
					t.Fatalf("%d threads: index %d of %d ran %d times", threads, i, n, c)
				}
			}
		}
		p.Close()
	}
}

func TestPoolNilAndClosed(t *testing.T) {
	var none *Pool
	closed := NewPool(3)
	closed.Close()
	closed.Close()
	none.Close()
	if none.Threads() != 1 || closed.Threads() != 3 || NewPool(0).Threads() != runtime.GOMAXPROCS(0) {
		t.Error("wrong number of threads")
	}
	for _, p := range []*Pool{none, closed} {
		sum := 0
		p.Run(10, func(worker, i int) { sum += i + worker })
		if sum != 45 {
			t.Errorf("sum %d, want 45", sum)
		}
	}
}

// TestPoolHammer shares one pool among goroutines, with parked workers in between.
func TestPoolHammer(t *testing.T) {
	p := NewPool(4)
	defer p.Close()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for round := range 300 {
				var sum atomic.Int64
				n := round % 17
				p.Run(n, func(_, i int) { sum.Add(int64(i)) })
				if want := int64(n * (n - 1) / 2); sum.Load() != want {
					t.Errorf("sum of %d is %d, want %d", n, sum.Load(), want)
				}
				if round%100 == g {
					time.Sleep(2 * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
}

func TestPoolPanic(t *testing.T) {
	for _, threads := range []int{1, 3} {
		p := NewPool(threads)
		for range 20 {
			err := catch(func() { p.Run(50, func(_, i int) { panicAt(i) }) })
			if err == nil || !strings.Contains(err.Error(), "tile 7 failed") {
				t.Fatalf("%d threads: recovered %v", threads, err)
			}
		}
		ran := atomic.Int32{}
		p.Run(20, func(_, _ int) { ran.Add(1) })
		if ran.Load() != 20 {
			t.Errorf("%d of 20 ran after a panic", ran.Load())
		}
		p.Close()
	}
}

func panicAt(i int) {
	if i == 7 {
		panic(errors.New("tile 7 failed"))
	}
}

// TestPoolLeavesNothingBehind checks that Close ends the workers.
func TestPoolLeavesNothingBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	pools := make([]*Pool, 10)
	for i := range pools {
		pools[i] = NewPool(4)
		pools[i].Run(8, func(_, _ int) {})
	}
	for _, p := range pools {
		p.Close()
	}
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines left", n-before)
	}
}

func TestSelect(t *testing.T) {
	before := Selected()
	defer func() { must(t, Select(before)) }()
	if names := Available(); names[0] != "ref" {
		t.Errorf("available: %v", names)
	}
	for _, name := range Available() {
		if err := Select(name); err != nil || Selected() != name {
			t.Errorf("Select(%q): %v, selected %q", name, err, Selected())
		}
	}
	if err := Select("sse9"); err == nil || !strings.Contains(err.Error(), "avx512") {
		t.Errorf("unknown name: %v", err)
	}
}

func BenchmarkPool(b *testing.B) {
	p := NewPool(2)
	defer p.Close()
	for b.Loop() {
		p.Run(8, func(_, _ int) {})
	}
}
