package vlmjudge

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// TiedStrengths are strengths of comparisons that may end in a tie.
type TiedStrengths struct {
	Strengths
	Ties float64 // ν: equal items tie with probability ν/(2+ν); 0 where nothing was tied
}

// Davidson estimates strengths where a comparison may be won, lost or tied:
//
//	P(i beats j) = p_i/s, P(tie) = ν√(p_i p_j)/s, s = p_i + p_j + ν√(p_i p_j), θ = ln p
//
// wins[i][j] is how often, in fractions, i beat j; ties is symmetric: ties[i][j] = ties[j][i] is how often the two were tied. The prior is
// θ ~ N(0, sigma²) and, where something was tied, ln ν ~ N(0, sigma²), so that every estimate is finite. Without ties it is
// [BradleyTerryPrior]. (R. R. Davidson, "On extending the Bradley-Terry model to accommodate ties in paired comparison experiments",
// JASA 65 (1970), 317.) The covariance is that of θ with ν estimated as well.
func Davidson(wins, ties [][]float64, sigma float64) (TiedStrengths, error) {
	if err := errors.Join(checkWins(wins), checkTies(ties, len(wins))); err != nil {
		return TiedStrengths{}, err
	}
	if !(sigma > 0) || math.IsInf(sigma, 1) {
		return TiedStrengths{}, fmt.Errorf("vlmjudge: prior with standard deviation %v, want a finite number above 0", sigma)
	}
	tied := 0.0
	for i := range ties {
		for j := range i {
			tied += ties[i][j]
		}
	}
	if tied == 0 {
		s, err := BradleyTerryPrior(wins, sigma)
		return TiedStrengths{Strengths: s}, err
	}
	d := davidson{wins, ties, 1 / (sigma * sigma)}
	x, hessian, err := d.maximum()
	if err != nil {
		return TiedStrengths{}, err
	}
	n := len(wins)
	var chol mat.Cholesky
	inverse := mat.NewSymDense(n+1, nil)
	if !chol.Factorize(hessian) || chol.InverseTo(inverse) != nil {
		return TiedStrengths{}, ErrNotConverged
	}
	out := TiedStrengths{Strengths{x[:n], square[float64](n)}, math.Exp(x[n])}
	for i := range n {
		for j := range n {
			out.Covariance[i][j] = inverse.At(i, j)
		}
	}
	return out, nil
}

func checkTies(ties [][]float64, n int) error {
	if len(ties) != n {
		return fmt.Errorf("vlmjudge: ties: %d rows, want %d, one per item", len(ties), n)
	}
	if err := checkWins(ties); err != nil {
		return fmt.Errorf("ties: %w", err)
	}
	for i := range ties {
		for j := range i {
			if ties[i][j] != ties[j][i] {
				return fmt.Errorf("vlmjudge: ties[%d][%d] is %v and ties[%d][%d] is %v; a tie has two sides", i, j, ties[i][j], j, i, ties[j][i])
			}
		}
	}
	return nil
}

// davidson is the negative log-posterior of θ and, behind them, ln ν. Every outcome's probability is a softmax of linear functions, so it is
// convex.
type davidson struct {
	wins, ties [][]float64
	precision  float64
}

// outcomes are the logits of a win of i, of j, and of a tie.
func outcomes(x []float64, i, j int) [3]float64 {
	return [3]float64{x[i], x[j], x[len(x)-1] + (x[i]+x[j])/2}
}

func (d davidson) value(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += d.precision / 2 * v * v
	}
	for i := range d.wins {
		for j := range i {
			o := outcomes(x, i, j)
			top := max(o[0], o[1], o[2])
			total := top + math.Log(math.Exp(o[0]-top)+math.Exp(o[1]-top)+math.Exp(o[2]-top))
			sum += d.wins[i][j]*(total-o[0]) + d.wins[j][i]*(total-o[1]) + d.ties[i][j]*(total-o[2])
		}
	}
	return sum
}

func (d davidson) derivatives(x []float64) (*mat.VecDense, *mat.SymDense) {
	n := len(x)
	gradient, hessian := mat.NewVecDense(n, nil), mat.NewSymDense(n, nil)
	for i, v := range x {
		gradient.SetVec(i, d.precision*v)
		hessian.SetSym(i, i, d.precision)
	}
	for i := range d.wins {
		for j := range i {
			counts := [3]float64{d.wins[i][j], d.wins[j][i], d.ties[i][j]}
			met := counts[0] + counts[1] + counts[2]
			if met == 0 {
				continue
			}
			// How each outcome's logit moves with θi, θj and ln ν.
			at, moves := [3]int{i, j, n - 1}, [3][3]float64{{1, 0, 0}, {0, 1, 0}, {.5, .5, 1}}
			o := outcomes(x, i, j)
			top := max(o[0], o[1], o[2])
			var p, mean [3]float64
			total := 0.0
			for k := range p {
				p[k] = math.Exp(o[k] - top)
				total += p[k]
			}
			for k := range p {
				p[k] /= total
				for a := range mean {
					mean[a] += p[k] * moves[k][a]
				}
			}
			for a := range at {
				slope := met * mean[a]
				for k := range counts {
					slope -= counts[k] * moves[k][a]
				}
				gradient.SetVec(at[a], gradient.AtVec(at[a])+slope)
				for b := a; b < len(at); b++ {
					second := -mean[a] * mean[b]
					for k := range p {
						second += p[k] * moves[k][a] * moves[k][b]
					}
					hessian.SetSym(at[a], at[b], hessian.At(at[a], at[b])+met*second)
				}
			}
		}
	}
	return gradient, hessian
}

// maximum is Newton's method with halved steps where a full one does not descend.
func (d davidson) maximum() (x []float64, hessian *mat.SymDense, err error) {
	x = make([]float64, len(d.wins)+1)
	for range 200 {
		gradient, hessian := d.derivatives(x)
		var chol mat.Cholesky
		step := mat.NewVecDense(len(x), nil)
		if !chol.Factorize(hessian) || chol.SolveVecTo(step, gradient) != nil {
			return nil, nil, ErrNotConverged
		}
		if mat.Norm(step, math.Inf(1)) < strengthTolerance {
			return x, hessian, nil
		}
		x = descend(d.value, x, step)
	}
	return nil, nil, ErrNotConverged
}
