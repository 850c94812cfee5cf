package kernel

import "math"

// GroupNormSpec describes group normalisation over [N, C, HW] data: each of the
// Groups runs of C/Groups channels of one sample is brought to mean 0 and variance
// 1, then scaled and shifted per channel, then passed through Act.
type GroupNormSpec struct {
	N, C, HW, Groups int
	Eps              float32
	Gamma, Beta      []float32 // per channel, or nil for 1 and 0
	Act              Act
}

// GroupNorm writes the normalised src to dst, which may be src.
func GroupNorm(p *Pool, dst, src []float32, s GroupNormSpec) {
	need("group norm input", len(src), s.N*s.C*s.HW)
	need("group norm output", len(dst), s.N*s.C*s.HW)
	cg := s.C / s.Groups
	p.Run(s.N*s.Groups, func(_, i int) {
		first := i % s.Groups * cg
		x := src[i*cg*s.HW:][:cg*s.HW]
		y := dst[i*cg*s.HW:][:cg*s.HW]
		mean, rstd := moments(x, float64(s.Eps))
		for c := range cg {
			m, b := channelAffine(s.Gamma, s.Beta, first+c, mean, rstd)
			row := y[c*s.HW:][:s.HW]
			MulAddScalar(row, x[c*s.HW:][:s.HW], m, b)
			s.Act.Apply(row, row)
		}
	})
}

// channelAffine folds normalisation, scale and shift into one multiply-add.
func channelAffine(gamma, beta []float32, c int, mean, rstd float64) (m, b float32) {
	g, sh := 1.0, 0.0
	if gamma != nil {
		g = float64(gamma[c])
	}
	if beta != nil {
		sh = float64(beta[c])
	}
	return float32(g * rstd), float32(sh - mean*rstd*g)
}

// moments returns mean and 1/√(variance+eps). Squares of float32 numbers are exact in
// float64, so one pass loses digits only when the mean is 10⁵ times the deviation.
func moments(x []float32, eps float64) (mean, rstd float64) {
	n := float64(len(x))
	sum, squares := sumSquares(x, 0)
	mean = sum / n
	return mean, 1 / math.Sqrt(max(squares/n-mean*mean, 0)+eps)
}

// LayerNorm normalises each row of src [rows, cols] to mean 0 and variance 1, then
// multiplies by gamma and adds beta (per column; nil for 1 and 0). dst may be src.
func LayerNorm(p *Pool, dst, src []float32, rows, cols int, gamma, beta []float32, eps float32) {
	need("layer norm input", len(src), rows*cols)
	need("layer norm output", len(dst), rows*cols)
	eachRow(p, rows, cols, func(r int) {
		x, y := src[r*cols:][:cols], dst[r*cols:][:cols]
		mean, rstd := moments(x, float64(eps))
		MulAddScalar(y, x, float32(rstd), float32(-mean*rstd))
		scaleShift(y, gamma, beta)
	})
}

// RMSNorm divides each row of src by its root mean square, then multiplies by gamma
// (per column; nil for 1). dst may be src.
func RMSNorm(p *Pool, dst, src []float32, rows, cols int, gamma []float32, eps float32) {
	need("RMS norm input", len(src), rows*cols)
	need("RMS norm output", len(dst), rows*cols)
	eachRow(p, rows, cols, func(r int) {
		x, y := src[r*cols:][:cols], dst[r*cols:][:cols]
		MulScalar(y, x, float32(1/math.Sqrt(SumSquares(x, 0)/float64(cols)+float64(eps))))
		scaleShift(y, gamma, nil)
	})
}

func scaleShift(y, gamma, beta []float32) {
	switch {
	case gamma != nil && beta != nil:
		MulAdd(y, y, gamma, beta)
	case gamma != nil:
		Mul(y, y, gamma)
	case beta != nil:
		Add(y, y, beta)
	}
}

// Softmax writes e^x/Σe^x of each row of src [rows, cols]. dst may be src.
func Softmax(p *Pool, dst, src []float32, rows, cols int) {
	need("softmax input", len(src), rows*cols)
	need("softmax output", len(dst), rows*cols)
	eachRow(p, rows, cols, func(r int) {
		x, y := src[r*cols:][:cols], dst[r*cols:][:cols]
		AddScalar(y, x, -MaxOf(x))
		Exp(y, y)
		MulScalar(y, y, float32(1/Sum(y)))
	})
}

// eachRow runs f over all rows in blocks large enough to be worth handing out.
func eachRow(p *Pool, rows, cols int, f func(r int)) {
	block := max(1, 16384/max(cols, 1))
	p.Run((rows+block-1)/block, func(_, i int) {
		for r := i * block; r < min(rows, (i+1)*block); r++ {
			f(r)
		}
	})
}
