package optim

import (
	"sync"
	"sync/atomic"
)

// chunk is the numbers that one loop body handles: gradient, value, moments and scratch of so many stay in the first-level cache.
// It is a multiple of quantBlock.
const chunk = 1024

// piece is a stretch of one parameter.
type piece struct{ param, from, to int }

// pieces cuts the parameters into stretches of at most chunk elements.
func pieces(params []*Param) []piece {
	var out []piece
	for i, p := range params {
		for from := 0; from < len(p.Value); from += chunk {
			out = append(out, piece{i, from, min(from+chunk, len(p.Value))})
		}
	}
	return out
}

// batch is how many pieces a goroutine takes at a time; so small steps stay on the caller.
const batch = 16

// parallel calls f(worker, i) for every i in [0, n), grain of them at a time, on up to threads goroutines, the caller's among them.
func parallel(threads, n, grain int, f func(worker, i int)) {
	var next atomic.Int64
	work := func(worker int) {
		for {
			to := int(next.Add(int64(grain)))
			for i := to - grain; i < min(to, n); i++ {
				f(worker, i)
			}
			if to >= n {
				return
			}
		}
	}
	var wg sync.WaitGroup
	for w := 1; w < min(threads, (n+grain-1)/grain); w++ {
		wg.Go(func() { work(w) })
	}
	work(0)
	wg.Wait()
}

// mulAdd is a·b+c with one rounding but for rare ties, as the vector units of torch's builds compute it.
func mulAdd(a, b, c float32) float32 { return float32(float64(a)*float64(b) + float64(c)) }

// sumSquares is Σx² in float64, in an order of its own that is the same on every processor.
func sumSquares(x []float32) float64 {
	var s [4]float64
	for ; len(x) >= 4; x = x[4:] {
		a, b, c, d := float64(x[0]), float64(x[1]), float64(x[2]), float64(x[3])
		s[0] += float64(a * a)
		s[1] += float64(b * b)
		s[2] += float64(c * c)
		s[3] += float64(d * d)
	}
	for i, v := range x {
		s[i] += float64(float64(v) * float64(v))
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}
