package training

import (
	"math"
	"slices"
	"testing"
)

// Streams are told apart by every part of their name, and are normal.
func TestStream(t *testing.T) {
	draw := func(seed uint64, purpose, id string, visit ...int) []float32 {
		v := make([]float32, 4)
		normal(v, stream(seed, purpose, []byte(id), visit...))
		return v
	}
	all := [][]float32{
		draw(1, "noise", "a", 0), draw(2, "noise", "a", 0), draw(1, "drop", "a", 0), draw(1, "noise", "b", 0), draw(1, "noise", "a", 1),
		draw(1, "noisea", "", 0), draw(1, "noise", "a"), draw(1, "noise", "a", 0, 0),
	}
	for i := range all {
		for k := range i {
			if slices.Equal(all[i], all[k]) {
				t.Errorf("streams %d and %d are one", i, k)
			}
		}
	}
	if !slices.Equal(all[0], draw(1, "noise", "a", 0)) {
		t.Error("a stream does not repeat")
	}
	v := make([]float32, 1<<16)
	normal(v, stream(9, "noise", nil))
	mean, square := 0.0, 0.0
	for _, x := range v {
		mean += float64(x) / float64(len(v))
		square += float64(x) * float64(x) / float64(len(v))
	}
	if math.Abs(mean) > 0.02 || math.Abs(square-1) > 0.03 {
		t.Errorf("mean %v, variance %v", mean, square)
	}
}
