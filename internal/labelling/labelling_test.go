package labelling

import (
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// places writes pairs as "A-B=label".
func places(pairs []Pair) string {
	var out []string
	for _, p := range pairs {
		out = append(out, fmt.Sprintf("%d-%d=%g", p.A, p.B, p.Label))
	}
	return strings.Join(out, " ")
}

func TestChoose(t *testing.T) {
	scores := []float64{2, 9, math.NaN(), 5, 4.5, 5}
	for _, c := range []struct {
		rule Rule
		want string
		ties int
	}{
		{Rule{Pairs: BestWorst}, "0-1=0", 0},
		{Rule{Pairs: BestWorst, PerPrompt: 5}, "0-1=0 3-4=1", 0},
		{Rule{Pairs: BestWorst, PerPrompt: 5, MinGap: 1}, "0-1=0", 1},
		{Rule{Pairs: BestWorst, PerPrompt: 5, MinGap: 1, KeepTies: true}, "0-1=0 3-4=0.5", 0},
		{Rule{Pairs: Adjacent}, "1-3=1 0-4=0 4-5=0", 1},
		{Rule{Pairs: Adjacent, PerPrompt: 2}, "1-3=1 0-4=0", 0},
		{Rule{Pairs: All}, "0-1=0 1-4=1 1-3=1 1-5=1 0-3=0 0-5=0 0-4=0 3-4=1 4-5=0", 1},
		{Rule{Pairs: All, KeepTies: true, MinGap: 2.5}, "0-1=0 1-4=1 1-3=1 1-5=1 0-3=0 0-5=0 0-4=0 3-4=0.5 4-5=0.5 3-5=0.5", 0}, // exactly 2.5 decides
		{Rule{Pairs: All, PerPrompt: 3}, "0-1=0 1-4=1 1-3=1", 0},
	} {
		pairs, ties := c.rule.Choose(scores, nil)
		if got := places(pairs); got != c.want || ties != c.ties {
			t.Errorf("%+v: %s and %d ties, want %s and %d", c.rule, got, ties, c.want, c.ties)
		}
	}
	for _, few := range [][]float64{nil, {1}, {math.NaN(), 1}} {
		if pairs, ties := (Rule{Pairs: All, KeepTies: true}).Choose(few, nil); len(pairs) != 0 || ties != 0 {
			t.Errorf("%v: %v, %d", few, pairs, ties)
		}
	}
}

// Whatever the scores, labels follow gaps, no picture meets itself, no pair comes twice, gaps fall, and soft labels lie on the
// label's side.
func TestChoose_properties(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		scores := make([]float64, r.IntN(9))
		for i := range scores {
			if scores[i] = float64(r.IntN(8)) / 4; r.IntN(6) == 0 {
				scores[i] = math.NaN()
			}
		}
		rule := Rule{
			Pairs: []string{BestWorst, All, Adjacent}[r.IntN(3)], PerPrompt: r.IntN(4), MinGap: float64(r.IntN(3)) / 4, KeepTies: r.IntN(2) == 0,
			Temperature: float64(r.IntN(2)) / 2,
		}
		pairs, ties := rule.Choose(scores, nil)
		seen, last := map[[2]int]bool{}, math.Inf(1)
		for _, p := range pairs {
			if p.A >= p.B || seen[[2]int{p.A, p.B}] || math.Abs(p.Gap) > last || p.Gap != scores[p.A]-scores[p.B] {
				t.Fatalf("%+v of %v: %+v", rule, scores, pairs)
			}
			seen[[2]int{p.A, p.B}], last = true, math.Abs(p.Gap)
			tie := p.Gap == 0 || math.Abs(p.Gap) < rule.MinGap
			if tie != (p.Label == 0.5) || !tie && (p.Label == 1) != (p.Gap > 0) || tie && !rule.KeepTies {
				t.Fatalf("%+v of %v: %+v", rule, scores, p)
			}
			if rule.Temperature == 0 && p.Soft != p.Label || (p.Soft-0.5)*p.Gap < 0 {
				t.Fatalf("%+v of %v: %+v", rule, scores, p)
			}
		}
		if ties > 0 && rule.KeepTies {
			t.Fatalf("%+v of %v: %d ties left out", rule, scores, ties)
		}
	}
	p, _ := Rule{Pairs: All, Temperature: 2}.Choose([]float64{3, 1}, nil)
	if want := 1 / (1 + math.Exp(-1)); math.Abs(p[0].Soft-want) > 1e-15 {
		t.Errorf("soft label %v, want %v", p[0].Soft, want)
	}
}

// With dominance no reward contradicts a pair, none that all agree on is missing, and the limit counts the pairs that are left.
func TestChoose_dominance(t *testing.T) {
	parts := [][]float64{{3, 1}, {2, 2}, {1, 0}, {3, 2}}
	scores := make([]float64, len(parts))
	for i, p := range parts {
		scores[i] = p[0] + p[1]
	}
	for _, c := range []struct {
		rule Rule
		want string
	}{
		{Rule{Pairs: All, Dominance: true}, "2-3=0 0-2=1 1-2=1 0-3=0 1-3=0"}, // not 0 and 1, which tie in the sum and contradict each other
		{Rule{Pairs: All, Dominance: true, PerPrompt: 4}, "2-3=0 0-2=1 1-2=1 0-3=0"},
		{Rule{Pairs: Adjacent, Dominance: true}, "1-2=1 0-3=0"},
	} {
		if pairs, ties := c.rule.Choose(scores, parts); places(pairs) != c.want || ties != 0 {
			t.Errorf("%+v: %s, %d ties; want %s", c.rule, places(pairs), ties, c.want)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		n := 2 + r.IntN(5)
		scores, parts := make([]float64, n), make([][]float64, n)
		for i := range parts {
			parts[i] = []float64{float64(r.IntN(5)), float64(r.IntN(5)), float64(r.IntN(5))}
			scores[i] = parts[i][0] + parts[i][1] + parts[i][2]
		}
		pairs, _ := Rule{Pairs: All, Dominance: true}.Choose(scores, parts)
		taken := map[[2]int]bool{}
		for _, p := range pairs {
			taken[[2]int{p.A, p.B}] = true
		}
		for i := range n {
			for k := i + 1; k < n; k++ {
				up, down := 0, 0
				for m := range 3 {
					if d := parts[i][m] - parts[k][m]; d > 0 {
						up++
					} else if d < 0 {
						down++
					}
				}
				if want := (up > 0) != (down > 0); taken[[2]int{i, k}] != want {
					t.Fatalf("%v: %d and %d taken: %v", parts, i, k, !want)
				}
			}
		}
	}
}

func TestRanks(t *testing.T) {
	got := Ranks([]float64{2, 9, math.NaN(), 5, 5})
	for i, want := range []float64{4, 1, math.NaN(), 2, 2} {
		if got[i] != want && !(math.IsNaN(want) && math.IsNaN(got[i])) {
			t.Errorf("%v", got)
		}
	}
}

func TestRule_Check(t *testing.T) {
	for _, r := range []Rule{{Pairs: "some"}, {Pairs: Group, MinGap: 1}, {Pairs: All, Select: 3}, {Pairs: Group, Select: 1}, {Pairs: All, PerPrompt: -1}, {Pairs: All, MinGap: -1}, {Pairs: All, MinGap: math.NaN()}, {Pairs: All, Temperature: -1}, {Pairs: All, Temperature: math.Inf(1)}} {
		if r.Check() == nil {
			t.Errorf("%+v passes", r)
		}
	}
	if err := (Rule{Pairs: All, MinGap: 0.1, Temperature: 2}).Check(); err != nil {
		t.Error(err)
	}
}

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j.jsonl")
	open := func() *Journal {
		j, err := OpenJournal(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = j.Close() })
		return j
	}
	pictures := [][32]byte{sha256.Sum256([]byte("a")), sha256.Sum256([]byte("b"))}
	key := Key("judge", "a red circle", pictures)
	for _, other := range []string{Key("other", "a red circle", pictures), Key("judge", "a star", pictures), Key("judge", "a red circle", pictures[:1])} {
		if other == key {
			t.Error("two questions have the same key")
		}
	}
	j := open()
	if err := j.Put(key, "a red circle", []float64{0.1, -0.1}); err != nil {
		t.Fatal(err)
	}
	if err := j.Put("second", "a star", []float64{1, 2}); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(path)
	if err := os.WriteFile(path, data[:len(data)-3], 0o600); err != nil { // a run killed in the middle of a line
		t.Fatal(err)
	}
	j = open()
	if got, ok := j.Get(key); !ok || !slices.Equal(got, []float64{0.1, -0.1}) {
		t.Errorf("%v, %v", got, ok)
	}
	if _, ok := j.Get("second"); ok {
		t.Error("half a line counts")
	}
	if err := j.Put("third", "a ring", []float64{3, 4}); err != nil {
		t.Fatal(err)
	}
	if got, ok := open().Get("third"); !ok || got[1] != 4 {
		t.Errorf("behind a line that was cut: %v, %v", got, ok)
	}
	if err := os.WriteFile(path, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(path); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a foreign file: %v", err)
	}
}
