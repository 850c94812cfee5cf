package vlmjudge

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// The fractional wins of four items that the golden strengths below belong to.
var fourItems = [][]float64{{0, 3, 4, 4}, {1, 0, 2.5, 4}, {.5, 1.5, 0, 2}, {.2, .6, 1, 0}}

func nearAll(t *testing.T, what string, got, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
	for i := range want {
		near(t, fmt.Sprintf("%s[%d]", what, i), got[i], want[i], tol)
	}
}

func TestBradleyTerryGolden(t *testing.T) {
	for _, c := range []struct {
		name   string
		wins   [][]float64
		pseudo float64
		theta  []float64
	}{
		{"four items", fourItems, 0, []float64{1.511500, .300615, -.441451, -1.370663}},
		{"four items, half a pseudo-win", fourItems, .5, []float64{1.067489, .231233, -.336340, -.962382}},
		{"one win", [][]float64{{0, 1}, {0, 0}}, .5, []float64{.549306, -.549306}},
		{"odds of three to one", [][]float64{{0, 3}, {1, 0}}, 0, []float64{math.Log(3) / 2, -math.Log(3) / 2}},
		{"a tie is half a win each", [][]float64{{0, .5}, {.5, 0}}, 0, []float64{0, 0}},
		{"rock, paper, scissors", [][]float64{{0, 1, 0}, {0, 0, 1}, {1, 0, 0}}, 0, []float64{0, 0, 0}},
		{"one item", [][]float64{{0}}, 0, []float64{0}},
		{"no item", nil, 0, []float64{}},
	} {
		theta, err := BradleyTerry(c.wins, c.pseudo)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		nearAll(t, c.name, theta, c.theta, 5.1e-7)
	}
	theta, _ := BradleyTerry(fourItems, 0)
	nearAll(t, "expected win rates", ExpectedWinRates(theta), []float64{.864394, .582913, .387900, .164794}, 5.1e-7)
	nearAll(t, "one item wins", ExpectedWinRates([]float64{0}), []float64{1}, 0)
}

func TestBradleyTerryErrors(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		name   string
		wins   [][]float64
		pseudo float64
		cause  error
	}{
		{"never beaten", [][]float64{{0, 1}, {0, 0}}, 0, ErrUnbounded},
		{"two camps, one-way", [][]float64{{0, 1, 1}, {1, 0, 0}, {0, 0, 0}}, 0, ErrUnbounded},
		{"two camps apart", [][]float64{{0, 1, 0, 0}, {1, 0, 0, 0}, {0, 0, 0, 1}, {0, 0, 1, 0}}, .5, ErrDisconnected},
		{"nothing compared", [][]float64{{0, 0}, {0, 0}}, .5, ErrDisconnected},
		{"not square", [][]float64{{0, 1}}, .5, nil},
		{"negative", [][]float64{{0, -1}, {1, 0}}, .5, nil},
		{"not a number", [][]float64{{0, nan}, {1, 0}}, .5, nil},
		{"infinite", [][]float64{{0, inf}, {1, 0}}, .5, nil},
		{"itself", [][]float64{{1, 1}, {1, 0}}, .5, nil},
		{"negative pseudo-wins", [][]float64{{0, 1}, {1, 0}}, -1, nil},
		{"pseudo-wins not a number", [][]float64{{0, 1}, {1, 0}}, nan, nil},
	} {
		theta, err := BradleyTerry(c.wins, c.pseudo)
		if err == nil || theta != nil || c.cause != nil && !errors.Is(err, c.cause) {
			t.Errorf("%s: strengths %v, error %v, want error %v", c.name, theta, err, c.cause)
		}
	}
	for _, sigma := range []float64{0, -1, nan} {
		if _, err := BradleyTerryPrior(fourItems, sigma); err == nil {
			t.Errorf("prior %v was taken", sigma)
		}
	}
	if _, err := BradleyTerryPrior([][]float64{{0, 1}, {0, 0}}, inf); !errors.Is(err, ErrUnbounded) {
		t.Errorf("no prior, never beaten: error %v", err)
	}
}

// randomWins draws n items' comparisons by a soft judge: every pair with chance density, and a ring so that all connect.
func randomWins(rng *rand.Rand, n int, density float64) [][]float64 {
	wins := make([][]float64, n)
	for i := range wins {
		wins[i] = make([]float64, n)
	}
	for i := range n {
		for j := range i {
			if rng.Float64() < density || j == i-1 || i == n-1 && j == 0 {
				p := rng.Float64()
				wins[i][j], wins[j][i] = 2*p, 2*(1-p)
			}
		}
	}
	return wins
}

// TestBradleyTerryAgreesWithNewton: two ways to the same maximum.
func TestBradleyTerryAgreesWithNewton(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for trial := range 40 {
		wins := randomWins(rng, 2+trial%11, []float64{0, .3, 1}[trial%3])
		pseudo := float64(trial%2) / 2
		mm, err := BradleyTerry(wins, pseudo)
		if err != nil {
			t.Fatal(err)
		}
		augmented, _ := withPseudo(wins, pseudo)
		newton, err := BradleyTerryPrior(augmented, math.Inf(1))
		if err != nil {
			t.Fatal(err)
		}
		nearAll(t, "Newton", newton.Theta, mm, 1e-8)
		wide, err := BradleyTerryPrior(augmented, 1e4)
		if err != nil {
			t.Fatal(err)
		}
		nearAll(t, "a very wide prior", wide.Theta, mm, 1e-5)
	}
}

// TestBradleyTerryPermuted: the items' order does not matter, and neither do equal shares of wins for all.
func TestBradleyTerryPermuted(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		n := 3 + rng.IntN(8)
		wins, order := randomWins(rng, n, .5), rng.Perm(n)
		moved := make([][]float64, n)
		for i := range moved {
			moved[i] = make([]float64, n)
			for j := range moved {
				moved[i][j] = wins[order[i]][order[j]] * 3 // three times the evidence has the same maximum
			}
		}
		a, errA := BradleyTerry(wins, 0)
		b, errB := BradleyTerry(moved, 0)
		pa, errPA := BradleyTerryPrior(wins, 2)
		pb, errPB := BradleyTerryPrior(moved, 2/math.Sqrt(3))
		if err := errors.Join(errA, errB, errPA, errPB); err != nil {
			t.Fatal(err)
		}
		for i := range order {
			near(t, "moved", b[i], a[order[i]], 1e-8)
			near(t, "moved, prior", pb.Theta[i], pa.Theta[order[i]], 1e-8)
			near(t, "error, prior", pb.StandardErrors()[i], pa.StandardErrors()[order[i]]/math.Sqrt(3), 1e-8)
		}
		shifted := append([]float64(nil), a...)
		for i := range shifted {
			shifted[i] += 7
		}
		nearAll(t, "win rates of shifted strengths", ExpectedWinRates(shifted), ExpectedWinRates(a), 1e-12)
	}
}

func TestBradleyTerryPriorUncompared(t *testing.T) {
	s, err := BradleyTerryPrior([][]float64{{0, 4, 0}, {0, 0, 0}, {0, 0, 0}}, 1.5)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "never compared", s.Theta[2], 0, 1e-12)
	near(t, "its error", s.StandardErrors()[2], 1.5, 1e-12)
	if !(s.Theta[0] > 0 && s.Theta[0] < 3) {
		t.Errorf("never beaten: %v", s.Theta)
	}
	gap, se := s.Difference(0, 2)
	near(t, "gap", gap, s.Theta[0], 1e-12)
	if !(se > 1.5) {
		t.Errorf("difference to the unknown item has error %v", se)
	}
}

// TestBradleyTerryRecovers draws hard votes from known strengths: the estimates return them within their own standard
// errors, about 95 of 100 within 1.96 of them.
func TestBradleyTerryRecovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const n, votes = 8, 60
	var inside, all, worst float64
	for range 40 {
		truth, wins := make([]float64, n), make([][]float64, n)
		for i := range truth {
			truth[i], wins[i] = rng.NormFloat64(), make([]float64, n)
		}
		centre(truth)
		for i := range n {
			for j := range i {
				for range votes {
					if rng.Float64() < sigmoid(truth[i]-truth[j]) {
						wins[i][j]++
					} else {
						wins[j][i]++
					}
				}
			}
		}
		s, err := BradleyTerryPrior(wins, 10)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n - 1 {
			gap, se := s.Difference(i, i+1)
			off := math.Abs(gap - (truth[i] - truth[i+1]))
			all++
			worst = max(worst, off)
			if off < 1.96*se {
				inside++
			}
		}
	}
	if share := inside / all; share < .91 || share > .98 || worst > 1 {
		t.Errorf("%.3f of the differences within 1.96 standard errors, worst off by %.3f", share, worst)
	}
}

// A long chain of comparisons is the slowest case of the iteration.
func TestBradleyTerryChain(t *testing.T) {
	const n = 64
	wins := make([][]float64, n)
	for i := range wins {
		wins[i] = make([]float64, n)
	}
	for i := range n - 1 {
		wins[i][i+1], wins[i+1][i] = 3, 1
	}
	theta, err := BradleyTerry(wins, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n - 1 {
		near(t, "step of the chain", theta[i]-theta[i+1], math.Log(3), 1e-7)
	}
}

func ExampleBradleyTerry() {
	theta, err := BradleyTerry([][]float64{{0, 3, 4}, {1, 0, 2.5}, {.5, 1.5, 0}}, .5)
	fmt.Printf("%.2f %v\n", theta, err)
	// Output: [0.78 -0.15 -0.63] <nil>
}
