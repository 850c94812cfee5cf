package rng

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"
)

type golden struct {
	Torch string
	Long  struct {
		Seed   uint64
		N      int
		SHA256 string
	}
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

func TestGeneratorDrawsWhatTorchDraws(t *testing.T) {
	for _, c := range readGolden(t).Cases {
		seed, err := strconv.ParseUint(c.Seed, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		g := New(seed)
		for k, call := range c.Calls {
			got := make([]float32, call.N)
			if call.Kind == "randn" {
				g.Normal(got)
			} else {
				g.Uniform(got)
			}
			if len(call.Bits) != call.N {
				t.Fatalf("seed %s call %d: %d recorded numbers of %d", c.Seed, k, len(call.Bits), call.N)
			}
			for i, bits := range call.Bits {
				if math.Float32bits(got[i]) != bits {
					t.Fatalf("seed %s call %d %s(%d)[%d] = %v, torch draws %v", c.Seed, k, call.Kind, call.N, i, got[i], math.Float32frombits(bits))
				}
			}
		}
	}
}

// A long call is compared by its checksum: 2^20 numbers, bit for bit.
func TestManyNormalsAreTorchs(t *testing.T) {
	long := readGolden(t).Long
	x := make([]float32, long.N)
	New(long.Seed).Normal(x)
	h := sha256.New()
	if err := binary.Write(h, binary.LittleEndian, x); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != long.SHA256 || long.N < 1<<20 {
		t.Errorf("SHA-256 of %d numbers is %s, of torch's %s", long.N, got, long.SHA256)
	}
}

// The polynomials against the exact functions, over the arguments that Normal can pass.
func TestPolynomialsAreAccurate(t *testing.T) {
	for i := 1; i <= 1<<24; i += 97 {
		u := float32(i) * 0x1p-24
		if got, want := float64(log1(u)), math.Log(float64(u)); math.Abs(got-want) > 1.5e-7*math.Max(1, math.Abs(want)) {
			t.Fatalf("log %v = %v, want %v", u, got, want)
		}
		theta := float32(2*math.Pi) * (u - 0x1p-24)
		sin, cos := sincos(theta)
		wantSin, wantCos := math.Sincos(float64(theta))
		if math.Abs(float64(sin)-wantSin) > 1.5e-7 || math.Abs(float64(cos)-wantCos) > 1.5e-7 {
			t.Fatalf("sin, cos of %v = %v, %v, want %v, %v", theta, sin, cos, wantSin, wantCos)
		}
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
