package rng

import "testing"

// TestRandomState compares with numpy 2.4: numpy.random.RandomState(0).uniform(0, 1, 3).
func TestRandomState(t *testing.T) {
	r := NewRandomState(0)
	for i, want := range []float64{0.5488135039273248, 0.7151893663724195, 0.6027633760716439} {
		if got := r.Float64(); got != want {
			t.Errorf("draw %d is %v, want %v", i, got, want)
		}
	}
}
