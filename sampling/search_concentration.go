package sampling

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// Concentration says how improbable noise of standard normal numbers is: it is cut into m vectors of k = dims numbers, in the orders that
// permutations give (nil is the order as it is), and the value is minus the mean over them of ln p₁ + ln p₂, bounds on the probability that
// the mean vector, or the largest deviation M of the covariance from the identity (its spectral norm), is as large as it is:
//
//	ln p₁ = −m·‖mean‖²/(2k)        ln p₂ = −m·max(√(1+M) − 1 − √(k/m), 0)²/2
//
// each no more than −ln 2, where it is a bound that says nothing and has no derivative. So the least value is 2·ln 2. What is left of the
// noise behind m·k numbers does not count. dst, if not nil, receives the gradient; it must not be noise. It panics when dst has another length, when dims is below
// 1, or when there are fewer than two vectors.
// (Tang et al. 2024, Direct Noise Optimization, arXiv 2405.18881, section 4; the program leaves out the factor 2 of both bounds behind
// the cut, a constant.)
func Concentration(dst, noise []float32, dims int, permutations [][]int) float64 {
	if dst != nil && len(dst) != len(noise) || dims < 1 || len(noise) < 2*dims {
		panic("sampling: Concentration of too little noise, or with a gradient of another length")
	}
	clear(dst)
	if len(permutations) == 0 {
		permutations = [][]int{nil}
	}
	sum, weight := 0.0, 1/float64(len(permutations))
	for _, order := range permutations {
		c := concentration{noise: noise, order: order, k: dims, m: len(noise) / dims}
		sum += c.value(dst, weight) * weight
	}
	return sum
}

// concentration is noise in one order.
type concentration struct {
	noise []float32
	order []int
	k, m  int
}

// at is where number j of vector i stands.
func (c *concentration) at(i, j int) int {
	if c.order == nil {
		return i*c.k + j
	}
	return c.order[i*c.k+j]
}

// moments are the mean of the vectors, and their covariance about 0 less the identity.
func (c *concentration) moments() (mean []float64, cov *mat.SymDense) {
	mean, cov = make([]float64, c.k), mat.NewSymDense(c.k, nil)
	share, row := 1/float64(c.m), make([]float64, c.k)
	for i := range c.m {
		for j := range row {
			row[j] = float64(c.noise[c.at(i, j)])
			mean[j] += share * row[j]
		}
		for j, v := range row {
			for l := j; l < c.k; l++ {
				cov.SetSym(j, l, cov.At(j, l)+share*v*row[l])
			}
		}
	}
	for j := range c.k {
		cov.SetSym(j, j, cov.At(j, j)-1)
	}
	return mean, cov
}

// value is −ln p₁ − ln p₂; weight times its gradient is added to dst.
func (c *concentration) value(dst []float32, weight float64) float64 {
	mean, cov := c.moments()
	k, m := float64(c.k), float64(c.m)
	byMean := m * dotWide(mean, mean) / (2 * k)
	if byMean <= math.Ln2 {
		byMean, mean = math.Ln2, nil
	}
	var eigen mat.EigenSym
	most, excess := math.NaN(), 0.0
	var vectors mat.Dense
	at := 0
	if eigen.Factorize(cov, true) {
		values := eigen.Values(nil) // ascending
		if most = values[len(values)-1]; -values[0] > most {
			most = values[0]
		} else {
			at = len(values) - 1
		}
		eigen.VectorsTo(&vectors)
		excess = max(math.Sqrt(1+math.Abs(most))-1-math.Sqrt(k/m), 0)
	}
	byCov := m * excess * excess / 2
	if byCov <= math.Ln2 {
		byCov, excess = math.Ln2, 0
	}
	if dst != nil && (mean != nil || excess > 0) {
		// d‖mean‖² is 2·mean/m in each vector, dM is ±2·v·(v·z)/m with v the eigenvector.
		slope := 0.0
		direction := make([]float64, c.k)
		if excess > 0 {
			slope = math.Copysign(weight*excess/math.Sqrt(1+math.Abs(most)), most)
			for j := range direction {
				direction[j] = vectors.At(j, at)
			}
		}
		c.add(dst, mean, weight/k, direction, slope)
	}
	return byMean + byCov
}

// add adds byMean·mean + slope·v·(v·z) to the place of every vector z.
func (c *concentration) add(dst []float32, mean []float64, byMean float64, v []float64, slope float64) {
	for i := range c.m {
		along := 0.0
		for j, d := range v {
			along += d * float64(c.noise[c.at(i, j)])
		}
		for j, d := range v {
			g := slope * along * d
			if mean != nil {
				g += byMean * mean[j]
			}
			dst[c.at(i, j)] += float32(g)
		}
	}
}

func dotWide(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}
