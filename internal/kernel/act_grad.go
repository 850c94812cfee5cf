package kernel

import (
	"fmt"
	"sync"
)

// gradChunk is the length of the pieces in which Backward works: its temporaries stay in the first-level cache.
const gradChunk = 512

// gradTemp holds temporaries of backward loops. They come from a pool, because arrays on the stack would move to the heap:
// the compiler cannot see that the vector loops keep no pointer.
type gradTemp struct{ s, t, u [gradChunk]float32 }

var gradTemps = sync.Pool{New: func() any { return new(gradTemp) }}

// Backward writes dy·act'(x) to dst, which may be x or dy. At a kink (ReLU at 0) the derivative is 0, as in PyTorch.
func (a Act) Backward(dst, x, dy []float32) {
	need("activation gradient", len(dst), len(x))
	need("cotangent of an activation", len(dy), len(x))
	if a == ActNone {
		copy(dst, dy[:len(x)])
		return
	}
	tmp := gradTemps.Get().(*gradTemp)
	defer gradTemps.Put(tmp)
	a.backward(dst, x, dy, tmp)
}

// backward is Backward with the temporaries s and t of tmp.
func (a Act) backward(dst, x, dy []float32, tmp *gradTemp) {
	for at := 0; at < len(x); at += gradChunk {
		n := min(gradChunk, len(x)-at)
		a.slope(tmp.s[:n], tmp.t[:n], x[at:at+n])
		Mul(dst[at:at+n], dy[at:at+n], tmp.s[:n])
	}
}

// slope writes act'(x) to s; t is a temporary.
func (a Act) slope(s, t, x []float32) {
	switch a {
	case ActSilu:
		unary(opSiluSlope, s, x)
	case ActQuickGelu:
		quickGeluSlope(s, t, x)
	case ActGelu:
		unary(opGeluSlope, s, x)
	case ActGeluTanh:
		geluTanhSlope(s, t, x)
	case ActRelu:
		for i, v := range x {
			s[i] = 0
			if v > 0 {
				s[i] = 1
			}
		}
	case ActSigmoid: // σ − σ²
		Sigmoid(t, x)
		Mul(s, t, t)
		Sub(s, t, s)
	case ActTanh: // 1 − tanh²
		Tanh(t, x)
		Mul(t, t, t)
		SubScalarFrom(s, t, 1)
	default:
		panic(fmt.Sprintf("kernel: unknown activation %d", uint8(a)))
	}
}

// quickGeluSlope is the derivative of x·σ(αx), α = 1.702: σ + αx·(σ − σ²).
func quickGeluSlope(s, t, x []float32) {
	MulScalar(t, x, 1.702)
	Sigmoid(s, t)
	for i, v := range s {
		s[i] = v + t[i]*v*(1-v)
	}
}

// geluTanhSlope is the derivative of ½x·(1 + tanh u), u = √(2/π)·(x + 0.044715·x³).
func geluTanhSlope(s, t, x []float32) {
	const c, k = 0.7978845608028654, 0.044715
	for i, v := range x {
		t[i] = c * (v + k*v*v*v)
	}
	Tanh(t, t)
	for i, v := range x {
		s[i] = 0.5*(1+t[i]) + 0.5*v*(1-t[i]*t[i])*c*(1+3*k*v*v)
	}
}

// GEGLUBackward goes back through y = a·act(b): da = dy·act(b), db = dy·a·act'(b). Neither result may overlap an operand.
func (a Act) GEGLUBackward(da, db, value, gate, dy []float32) {
	n := len(dy)
	da, db, value, gate = da[:n], db[:n], value[:n], gate[:n]
	if a == ActGelu {
		if !gegluGradAsm(da, db, value, gate, dy) {
			gegluGradRef(da, db, value, gate, dy)
		}
		return
	}
	Mul(da, dy, value)
	a.Backward(db, gate, da)
	a.Apply(da, gate)
	Mul(da, da, dy)
}
