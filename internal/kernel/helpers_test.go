package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// eachLevel runs f with every implementation that this machine has.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	before := Selected()
	defer func() { must(t, Select(before)) }()
	for _, name := range Available() {
		must(t, Select(name))
		t.Run(name, f)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const (
	guardLen = 40
	canary   = 12345.678
)

// guarded is a slice with sentinel words on both sides.
type guarded struct {
	all, data []float32
}

// guard returns n numbers between sentinels; offset shifts them against the alignment.
func guard(n, offset int) guarded {
	all := make([]float32, n+2*guardLen+offset)
	for i := range all {
		all[i] = canary
	}
	return guarded{all, all[guardLen+offset:][:n:n]}
}

// check fails when a sentinel has changed.
func (g guarded) check(t testing.TB, what string) {
	t.Helper()
	lead := len(g.all) - len(g.data) - guardLen
	for i, v := range g.all {
		if (i < lead || i >= lead+len(g.data)) && v != canary {
			t.Fatalf("%s: word %d outside its %d elements was overwritten with %g", what, i-lead, len(g.data), v)
		}
	}
}

func randomize(r *rand.Rand, x []float32) {
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
}

func randoms(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	randomize(r, x)
	return x
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// near fails unless got equals want within tol·(1+|want|), NaN matching NaN.
func near(t testing.TB, what string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i := range want {
		g, w := float64(got[i]), float64(want[i])
		if g == w || (math.IsNaN(g) && math.IsNaN(w)) {
			continue
		}
		if !(math.Abs(g-w) <= tol*(1+math.Abs(w))) {
			t.Fatalf("%s: element %d of %d is %v, want %v", what, i, len(want), got[i], want[i])
		}
	}
}

// same fails unless both slices hold the same bits.
func same(t testing.TB, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d of %d is %v, want the same bits as %v", what, i, len(want), got[i], want[i])
		}
	}
}

func catch(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	f()
	return nil
}
