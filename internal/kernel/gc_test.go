package kernel

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// TestKernelsUnderGC runs kernels while another goroutine collects garbage all the
// time: assembly must neither hide pointers nor keep the collector waiting.
func TestKernelsUnderGC(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		for !stop.Load() {
			runtime.GC()
		}
		close(done)
	}()
	rng := newRand(19)
	const m, n, k = 200, 400, 300
	var want []float32
	for round := range 20 {
		a, b := randoms(newRand(1), m*k), randoms(newRand(2), k*n)
		c := make([]float32, m*n)
		Gemm(pool, nil, GemmArgs{M: m, N: n, K: k, A: RowMajor(a, k), B: RowMajor(b, n), C: c, LDC: n, Ep: Epilogue{Act: ActGelu}})
		if want == nil {
			want = c
		}
		same(t, fmt.Sprint("round ", round), c, want)
		oneAttention(t, rng, pool, newAttention(1, 2, 40, 300, 40, 40, tokenStrides))
	}
	stop.Store(true)
	<-done
}

// TestAssemblyCallsAreShort times the longest single calls: Go cannot stop a goroutine
// inside assembly, so each must stay below 100 µs. The fastest of many runs counts,
// because the machine may be busy.
func TestAssemblyCallsAreShort(t *testing.T) {
	const head = 512 // largest head size in use: the VAE's
	x, y, z := make([]float32, 1<<18), make([]float32, 1<<18), make([]float32, 1<<18)
	for l := levelAVX2; l <= bestLevel(); l++ {
		mr, nr := l.geometry()
		calls := map[string]func(){
			"product tile":     func() { l.gemmPanel(kBlock, x, 0, y, z, nr, mr, nr, false) },
			"attention scores": func() { l.gemmPanel(head, x, mr*head, y, z, nr, keyBlock, nr, false) },
			"attention output": func() { l.gemmPanel(keyBlock, x, mr*keyBlock, y, z, nr, head, nr, true) },
			"transpose":        func() { l.transpose2D(x, tileRows, y, tileCols, tileRows, tileCols) },
		}
		for op, b := range bounds {
			calls[b.name] = func() { unary(op, z[:asmChunk], x[:asmChunk]) }
		}
		before := Selected()
		must(t, Select(levelNames[l]))
		for name, f := range calls {
			best := time.Hour
			for range 30 {
				start := time.Now()
				f()
				best = min(best, time.Since(start))
			}
			if best > 100*time.Microsecond {
				t.Errorf("%s, %s: one call takes %v", levelNames[l], name, best)
			}
		}
		must(t, Select(before))
	}
}
