package report

import (
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
)

// span is a closed range of values; the zero value of nothing yet is noSpan.
type span struct{ low, high float64 }

var noSpan = span{math.Inf(1), math.Inf(-1)}

// maxMagnitude bounds what is drawn: beyond it the arithmetic of an axis overflows.
const maxMagnitude = 1e100

// finite says whether a value can be drawn.
func finite(vs ...float64) bool {
	for _, v := range vs {
		if math.IsNaN(v) || math.Abs(v) > maxMagnitude {
			return false
		}
	}
	return true
}

// add widens the span to the values that can be drawn.
func (s *span) add(vs ...float64) {
	for _, v := range vs {
		if finite(v) {
			s.low, s.high = min(s.low, v), max(s.high, v)
		}
	}
}

func (s span) empty() bool { return s.low > s.high }

// padded adds a share of the length at both ends, and gives a single value some room.
func (s span) padded(share float64) span {
	if s.empty() {
		return span{0, 1}
	}
	size := max(math.Abs(s.low), math.Abs(s.high))
	if s.high-s.low <= 1e-9*size || s.high == s.low {
		room := 0.05 * size
		if room < 1e-12 {
			room = 1
		}
		return span{s.low - room, s.high + room}
	}
	room := share * (s.high - s.low)
	return span{s.low - room, s.high + room}
}

// decimals is the number of decimals that tells values of the span apart.
func (s span) decimals() int {
	length := s.high - s.low
	if s.empty() || length <= 0 {
		length = max(math.Abs(s.low), math.Abs(s.high))
	}
	if length == 0 || !finite(length) {
		return 2
	}
	return min(max(2-int(math.Floor(math.Log10(length))), 0), 5)
}

// number writes a value with so many decimals; very large ones in scientific notation.
func number(v float64, decimals int) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case math.Abs(v) >= 1e7:
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if z := strconv.FormatFloat(0, 'f', decimals, 64); s == "-"+z {
		return z
	}
	return s
}

// interval writes a value with its bounds, or alone when it has none.
func interval(v, low, high float64, decimals int) (value, bounds string) {
	value = number(v, decimals)
	if finite(low, high) {
		bounds = "[" + number(low, decimals) + ", " + number(high, decimals) + "]"
	}
	return value, bounds
}

// linearTicks places about n ticks at round values inside the span.
func linearTicks(s span, n int) plot.ConstantTicks {
	raw := (s.high - s.low) / float64(max(n, 1))
	if !(raw > 0) || !finite(raw) {
		return nil
	}
	mag := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * mag
	for _, m := range []float64{1, 2, 2.5, 5} {
		if m*mag >= raw*0.999 {
			step = m * mag
			break
		}
	}
	decimals := 0
	for f := step; decimals < 12 && math.Abs(f-math.Round(f)) > 1e-6*f; f *= 10 {
		decimals++
	}
	var ticks plot.ConstantTicks
	first := math.Ceil(s.low/step - 1e-9)
	for i := range 4 * max(n, 1) {
		v := (first + float64(i)) * step
		if v > s.high+1e-9*step {
			break
		}
		ticks = append(ticks, plot.Tick{Value: v, Label: tickLabel(v, step, decimals)})
	}
	return ticks
}

func tickLabel(v, step float64, decimals int) string {
	if math.Abs(v) < step/2 {
		return "0"
	}
	if math.Abs(v) >= 1e6 || decimals > 6 {
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// logTicks places ticks on a logarithmic axis: at the values themselves when they
// are few (numbers of steps: 1, 2, 4, 8, …), else at 1, 2 and 5 times powers of ten. n is positive.
func logTicks(s span, values []float64, n int) plot.ConstantTicks {
	at := slices.Clone(values)
	slices.Sort(at)
	at = slices.Compact(at)
	if ticks := apart(s, at, n); len(at) <= n+2 && 2*len(ticks) > len(at) {
		return ticks
	}
	return apart(s, decades(s, n), n)
}

// tickRoom is the width of an axis in pixels for each tick that is asked of logTicks.
const tickRoom = 55

// apart makes ticks of the values whose labels do not touch the one before.
func apart(s span, at []float64, n int) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	length := math.Log(s.high / s.low)
	last, before := math.Inf(-1), 0
	for _, v := range at {
		if v < s.low || v > s.high {
			continue
		}
		where := math.Log(v/s.low) / length * tickRoom * float64(n)
		label := strconv.FormatFloat(v, 'g', 4, 64)
		if where-last < 3.5*float64(before+len(label))+8 { // half of both labels, at 7 pixels a digit
			continue
		}
		last, before = where, len(label)
		ticks = append(ticks, plot.Tick{Value: v, Label: label})
	}
	return ticks
}

func decades(s span, n int) []float64 {
	low, high := int(math.Floor(math.Log10(s.low))), int(math.Ceil(math.Log10(s.high)))
	step := max(1, (high-low+n-1)/n)
	dense := math.Log10(s.high/s.low)*3 <= float64(n)
	var at []float64
	for e := low; e <= high; e += step {
		for _, m := range []float64{1, 2, 5} {
			if m == 1 || dense {
				at = append(at, m*math.Pow(10, float64(e)))
			}
		}
	}
	return at
}
