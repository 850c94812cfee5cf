package rng

import (
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"
)

type golden struct {
	Torch string
	Cases []struct {
		Seed  string
		Calls []struct {
			Kind string
			N    int
			Bits []uint32
		}
	}
}

func readGolden(t *testing.T) golden {
	t.Helper()
	data, err := os.ReadFile("../../tests/golden/rng/torch.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Cases) == 0 {
		t.Fatal("no cases in the golden file")
	}
	return g
}

// ulps counts the float32 numbers between a and b.
func ulps(a, b float32) int64 {
	order := func(f float32) int64 {
		v := int64(math.Float32bits(f))
		if v&0x80000000 != 0 {
			return 0x80000000 - v
		}
		return v
	}
	d := order(a) - order(b)
	return max(d, -d)
}

// Tolerances of long normal calls: torch's float32 polynomials against the rounded exact functions.
const (
	maxULP   = 3
	maxDiff  = 5e-7
	minEqual = 0.75
)

func TestGeneratorDrawsWhatTorchDraws(t *testing.T) {
	var equal, total int
	for _, c := range readGolden(t).Cases {
		seed, err := strconv.ParseUint(c.Seed, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		g := New(seed)
		for k, call := range c.Calls {
			got := make([]float32, call.N)
			long := call.Kind == "randn" && call.N >= 16
			if call.Kind == "randn" {
				g.Normal(got)
			} else {
				g.Uniform(got)
			}
			for i, bits := range call.Bits {
				want := math.Float32frombits(bits)
				diff := math.Abs(float64(got[i]) - float64(want))
				switch {
				case !long && got[i] != want:
					t.Fatalf("seed %s call %d %s(%d)[%d] = %v, torch draws %v", c.Seed, k, call.Kind, call.N, i, got[i], want)
				case long && (ulps(got[i], want) > maxULP || diff > maxDiff):
					t.Fatalf("seed %s call %d %s(%d)[%d] = %v, torch draws %v (%d ulp)", c.Seed, k, call.Kind, call.N, i, got[i], want, ulps(got[i], want))
				}
				if long {
					total++
					if got[i] == want {
						equal++
					}
				}
			}
		}
	}
	if share := float64(equal) / float64(total); share < minEqual {
		t.Errorf("only %.3f of %d numbers are bit-equal, want at least %.2f", share, total, minEqual)
	} else {
		t.Logf("%.3f of %d numbers are bit-equal", share, total)
	}
}

func TestNormalMoments(t *testing.T) {
	const n = 1 << 16
	x := make([]float32, n)
	New(11).Normal(x)
	var m1, m2, m4 float64
	for _, v := range x {
		f := float64(v)
		m1 += f / n
		m2 += f * f / n
		m4 += f * f * f * f / n
	}
	// Five standard errors of the mean, the variance and the fourth moment of n normal numbers.
	if math.Abs(m1) > 5/math.Sqrt(n) || math.Abs(m2-1) > 5*math.Sqrt(2.0/n) || math.Abs(m4-3) > 5*math.Sqrt(96.0/n) {
		t.Errorf("moments %v %v %v, want 0 1 3", m1, m2, m4)
	}
}

func TestCopyIsIndependent(t *testing.T) {
	a := New(9)
	var x, y [3]float32
	a.Normal(x[:]) // leaves a cached number behind
	b := *a
	a.Normal(x[:])
	b.Normal(y[:])
	if x != y {
		t.Errorf("the copy drew %v, the original %v", y, x)
	}
}

func TestFirstWordsOfMT19937(t *testing.T) {
	// The reference implementation's output for init_genrand(5489), its default seed.
	var m mt19937
	m.seed(5489)
	for i, want := range []uint32{3499211612, 581869302, 3890346734, 3586334585, 545404204} {
		if got := m.uint32(); got != want {
			t.Fatalf("word %d = %d, want %d", i, got, want)
		}
	}
}

func BenchmarkNormal(b *testing.B) {
	x := make([]float32, 4*64*64)
	g := New(1)
	b.SetBytes(int64(4 * len(x)))
	for b.Loop() {
		g.Normal(x)
	}
}
