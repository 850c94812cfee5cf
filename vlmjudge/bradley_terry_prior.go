package vlmjudge

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Strengths are estimated log-strengths with their uncertainty.
type Strengths struct {
	Theta      []float64   // natural-log units, mean 0
	Covariance [][]float64 // of Theta: the inverse of the curvature at the maximum
}

// StandardErrors are the square roots of the covariance's diagonal.
func (s Strengths) StandardErrors() []float64 {
	out := make([]float64, len(s.Theta))
	for i := range out {
		out[i] = math.Sqrt(s.Covariance[i][i])
	}
	return out
}

// Difference is θi−θj and its standard error.
func (s Strengths) Difference(i, j int) (gap, standardError float64) {
	variance := s.Covariance[i][i] + s.Covariance[j][j] - 2*s.Covariance[i][j]
	return s.Theta[i] - s.Theta[j], math.Sqrt(max(0, variance))
}

// BradleyTerryPrior estimates strengths as [BradleyTerry] does, from wins[i][j], the fractional number of times that i
// beat j, under a Gaussian prior θ ~ N(0, sigma²), by Newton's method. The prior makes every estimate finite, those of
// items never compared included: they stay at 0 with standard error sigma. sigma = +Inf means no prior: then the result
// is that of BradleyTerry without pseudo-wins, with the same errors, and the covariance is the pseudo-inverse of the
// curvature, which describes differences of strengths.
func BradleyTerryPrior(wins [][]float64, sigma float64) (Strengths, error) {
	if err := checkWins(wins); err != nil {
		return Strengths{}, err
	}
	if !(sigma > 0) {
		return Strengths{}, fmt.Errorf("vlmjudge: prior with standard deviation %v, want more than 0", sigma)
	}
	if math.IsInf(sigma, 1) {
		if err := bounded(len(wins), func(i, j int) bool { return wins[i][j] > 0 }); err != nil {
			return Strengths{}, err
		}
	}
	if len(wins) == 0 {
		return Strengths{}, nil
	}
	p := posterior{wins, 1 / (sigma * sigma)}
	theta, err := p.maximum()
	if err != nil {
		return Strengths{}, err
	}
	covariance, err := p.covariance(theta)
	return Strengths{theta, covariance}, err
}

// posterior is −Σ w_ij ln σ(θi−θj) + ½·precision·Σθ², to be minimised. It is convex.
type posterior struct {
	wins      [][]float64
	precision float64
}

func (p posterior) value(theta []float64) float64 {
	var sum float64
	for i, row := range p.wins {
		for j, w := range row {
			if w > 0 {
				sum += w * softplus(theta[j]-theta[i])
			}
		}
		sum += p.precision / 2 * theta[i] * theta[i]
	}
	return sum
}

// softplus is ln(1+e^x) without overflow.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// derivatives gives the gradient and the Hessian.
func (p posterior) derivatives(theta []float64) (*mat.VecDense, *mat.SymDense) {
	n := len(theta)
	gradient, hessian := mat.NewVecDense(n, nil), mat.NewSymDense(n, nil)
	for i := range n {
		slope, curve := p.precision*theta[i], p.precision
		for j := range n {
			met := p.wins[i][j] + p.wins[j][i]
			if i == j || met == 0 {
				continue
			}
			pi := sigmoid(theta[i] - theta[j])
			slope += met*pi - p.wins[i][j]
			c := met * pi * sigmoid(theta[j]-theta[i])
			curve += c
			if i < j {
				hessian.SetSym(i, j, -c)
			}
		}
		gradient.SetVec(i, slope)
		hessian.SetSym(i, i, curve)
	}
	return gradient, hessian
}

// factor decomposes the Hessian. Along (1, …, 1) it has the curvature of the prior alone, which may be small or 0;
// shift/n in every entry mends that direction and changes no other one.
func (p posterior) factor(hessian *mat.SymDense) (chol mat.Cholesky, shift float64, err error) {
	n := hessian.SymmetricDim()
	shift = max(mat.Trace(hessian)/float64(n), math.SmallestNonzeroFloat64)
	for i := range n {
		for j := i; j < n; j++ {
			hessian.SetSym(i, j, hessian.At(i, j)+shift/float64(n))
		}
	}
	if !chol.Factorize(hessian) {
		return chol, shift, ErrNotConverged
	}
	return chol, shift, nil
}

// maximum is Newton's method with halved steps where a full one does not descend.
func (p posterior) maximum() ([]float64, error) {
	theta := make([]float64, len(p.wins))
	for range 200 {
		gradient, hessian := p.derivatives(theta)
		chol, _, err := p.factor(hessian)
		if err != nil {
			return nil, err
		}
		step := mat.NewVecDense(len(theta), nil)
		if err := chol.SolveVecTo(step, gradient); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotConverged, err)
		}
		centre(step.RawVector().Data) // the mean is 0 already
		if mat.Norm(step, math.Inf(1)) < strengthTolerance {
			return theta, nil
		}
		theta = descend(p.value, theta, step)
		centre(theta)
	}
	return nil, ErrNotConverged
}

// descend takes a step from x, halved until the value does not rise.
func descend(value func([]float64) float64, x []float64, step *mat.VecDense) []float64 {
	here, scale := value(x), 1.0
	next := make([]float64, len(x))
	for range 60 {
		for i := range x {
			next[i] = x[i] - scale*step.AtVec(i)
		}
		// The slack is the rounding of the sum: at the minimum no step descends.
		if value(next) <= here+1e-12*(1+math.Abs(here)) {
			break
		}
		scale /= 2
	}
	return next
}

func (p posterior) covariance(theta []float64) ([][]float64, error) {
	_, hessian := p.derivatives(theta)
	chol, shift, err := p.factor(hessian)
	if err != nil {
		return nil, err
	}
	// Put back the variance of the mean, which the shift took away.
	n := len(theta)
	common := -1 / shift
	if p.precision > 0 {
		common = 1/p.precision - 1/(p.precision+shift)
	}
	inverse := mat.NewSymDense(n, nil)
	if err := chol.InverseTo(inverse); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotConverged, err)
	}
	out := make([][]float64, n)
	for i := range out {
		out[i] = make([]float64, n)
		for j := range out[i] {
			out[i][j] = inverse.At(i, j) + common/float64(n)
		}
	}
	return out, nil
}
