package monitor

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

func TestBar(t *testing.T) {
	var out bytes.Buffer
	b := NewBar(&out, false, 40, 0)
	for step := 1; step <= 40; step++ {
		loss := 1.0
		if step > 20 {
			loss = []float64{0.25, 0.75}[step%2]
		}
		b.Step(Metrics{
			Step: step, Values: []Value{{Loss, loss}, {Accuracy, 0.625}, {Margins, 0.001234}, {GradNorm, math.NaN()}},
			Timings: []Value{{PairsPerSecond, 12.5}, {Memory, 5 << 29}},
		})
	}
	b.Stop()
	// The loss is the mean of 20 steps; what is not known is left out.
	if got, want := out.String(), "training: 40/40, 0s, loss 0.5000, accuracy 0.62, margin +0.00123, 12.5 pairs/s, 2.5 GiB\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	out.Reset()
	b = NewBar(&out, true, 2, 0)
	b.Step(row(1))
	b.Clear()
	b.Step(row(2))
	b.Stop()
	if out.Len() != 0 {
		t.Errorf("quiet wrote %q", out.String())
	}
}

func TestBytesText(t *testing.T) {
	var got []string
	for _, v := range []float64{512, 2048, 3 << 20, 1.5 * (1 << 30), 2e12} {
		got = append(got, bytesText(v))
	}
	if s := strings.Join(got, " "); s != "512 B 2 KiB 3 MiB 1.5 GiB 1862.6 GiB" {
		t.Error(s)
	}
}

func TestSmooth(t *testing.T) {
	m, low, high := Smooth([]float64{1, 2, math.NaN(), 4, 9}, 3)
	for i, want := range [][3]float64{{1.5, 1, 2}, {1.5, 1, 2}, {3, 2, 4}, {6.5, 4, 9}, {6.5, 4, 9}} {
		if got := [3]float64{m[i], low[i], high[i]}; got != want {
			t.Errorf("%d: %v, want %v", i, got, want)
		}
	}
	if m, _, _ := Smooth([]float64{math.NaN()}, 5); !math.IsNaN(m[0]) {
		t.Errorf("nothing known: %v", m)
	}
}

func TestCenter(t *testing.T) {
	// Deviations from the median 3 are 2, 1, 0, 1, 97.
	if m, s := center([]float64{1, 2, 3, 4, 100}); m != 3 || math.Abs(s-1.4826022) > 1e-6 {
		t.Errorf("%v %v", m, s)
	}
	if m := median([]float64{4, 1, 2, 9}); m != 3 {
		t.Errorf("median of four %v", m)
	}
}
