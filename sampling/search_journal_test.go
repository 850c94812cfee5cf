package sampling

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// noisyToy is the toy under a sampler that every method can use.
func noisyToy(t *testing.T) *toy {
	t.Helper()
	p := newToy(t, 5)
	plan, err := p.Plan.Scheduler().Plan(5, &PlanOptions{Eta: 1})
	if err != nil {
		t.Fatal(err)
	}
	p.Plan = plan
	return p
}

// still is the way through the toy's network, which predicts no noise, and back, with a curved score; it is counted as one call.
func (p *toy) still() Gradients {
	curve := func(x []float32, images int) (scores []float64, slope []float32) {
		scores, slope = make([]float64, images), make([]float32, len(x))
		for i, v := range x {
			scores[i/toySize] += math.Sin(float64(v)) / toySize
			slope[i] = float32(math.Cos(float64(v)) / toySize)
		}
		return scores, slope
	}
	return Gradients{
		Verify: func(_ context.Context, x []float32, images int) ([]float64, []float32, error) {
			scores, slope := curve(x, images)
			return scores, slope, nil
		},
		Network: func(_ context.Context, output, x []float32, _ float64, cotangent func() ([]float32, error)) ([]float32, error) {
			p.calls++
			for i, v := range x {
				output[i] = v / 3
			}
			cot, err := cotangent()
			out := make([]float32, len(cot))
			for i, v := range cot {
				out[i] = v / 3
			}
			return out, err
		},
	}
}

func openJournal(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// Every method, cut off anywhere, goes on from its journal to the same end, and asks nothing twice.
func TestJournaled_goesOn(t *testing.T) {
	const budget = 130
	for _, info := range SearchMethods() {
		plain := noisyToy(t)
		want := search(t, plain.Problem, info.Method(plain.still()), budget, 3)
		path := filepath.Join(t.TempDir(), "j")
		whole := noisyToy(t)
		p, g, err := Journaled(whole.Problem, whole.still(), openJournal(t, path), "settings")
		if err != nil {
			t.Fatal(err)
		}
		if got := search(t, p, info.Method(g), budget, 3); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: with a journal: score %v of %d evaluations, want %v of %d", info.Name, got.Score, got.NFE, want.Score, want.NFE)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, share := range []float64{0, 0.1, 0.37, 0.5, 0.93, 1} {
			cut := filepath.Join(t.TempDir(), "cut")
			if err := os.WriteFile(cut, data[:int(share*float64(len(data)))], 0o600); err != nil {
				t.Fatal(err)
			}
			again := noisyToy(t)
			p, g, err := Journaled(again.Problem, again.still(), openJournal(t, cut), "settings")
			if err != nil {
				t.Fatal(err)
			}
			if got := search(t, p, info.Method(g), budget, 3); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: cut at %v: score %v of %d evaluations, want %v of %d", info.Name, share, got.Score, got.NFE, want.Score, want.NFE)
			}
			if rest, err := os.ReadFile(cut); err != nil || !bytes.Equal(rest, data) {
				t.Errorf("%s: cut at %v: the journal is another (%d bytes, %d)", info.Name, share, len(rest), len(data))
			}
			if left := whole.calls - modelRecords(data[:int(share*float64(len(data)))]); again.calls != left {
				t.Errorf("%s: cut at %v: %d calls of the network, want the %d that are not in the journal", info.Name, share, again.calls, left)
			}
		}
	}
}

// modelRecords counts the whole records of the network's answers, with the way back one answer.
func modelRecords(data []byte) (n int) {
	for len(data) >= journalHead {
		width := map[byte]int{modelRecord: 4, verifyRecord: 8, scoreRecord: 8, slopeRecord: 4, forwardRecord: 4, backRecord: 4, headRecord: 4}[data[0]]
		size := journalHead + width*int(binary.LittleEndian.Uint32(data[9:])) + 4
		if size > len(data) {
			break
		}
		if data[0] == modelRecord || data[0] == backRecord {
			n++
		}
		data = data[size:]
	}
	return n
}

func TestJournaled_refusesOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	toy := noisyToy(t)
	open := func(settings string) (Problem, error) {
		p, _, err := Journaled(toy.Problem, Gradients{}, openJournal(t, path), settings)
		return p, err
	}
	p, err := open("a")
	if err != nil {
		t.Fatal(err)
	}
	search(t, p, RandomSearch(), 100, 1)
	var other *JournalError
	if _, err := open("b"); !errors.As(err, &other) || other.Record != 1 {
		t.Errorf("other settings: %v", err)
	}
	if p, err = open("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := RunSearch(t.Context(), p, RandomSearch(), SearchOptions{Budget: 100, Seed: 2}); !errors.As(err, &other) || other.Record != 2 {
		t.Errorf("another seed: %v", err)
	}
	// A verifier that fails leaves nothing behind but what was answered before.
	down, left := errors.New("down"), true
	toy.Verify = func(context.Context, []float32, int) ([]float64, error) {
		if left {
			return nil, down
		}
		return []float64{1, 2, 3}, nil
	}
	path = filepath.Join(t.TempDir(), "k")
	for range 2 {
		if p, err = open("a"); err != nil {
			t.Fatal(err)
		}
		_, err := RunSearch(t.Context(), p, RandomSearch(), SearchOptions{Budget: 30})
		if left != errors.Is(err, down) {
			t.Errorf("%v", err)
		}
		left = false
	}
}
