package rewards

import (
	"context"
	"errors"
	"image"
	"strings"
	"testing"
)

// Samples of different prompts score, bit for bit, as each does alone: what is cached from one run serves any other.
func TestScoreSamples_doesNotDependOnTheBatch(t *testing.T) {
	g := readPublished(t)
	var samples []Sample
	for i := range 2*batchSize + 5 {
		samples = append(samples, Sample{Prompt: g.Prompts[(i*7/3)%len(g.Prompts)], Image: g.picture(t, i)})
	}
	open := map[string]string{Mini: "", CLIP: "../tests/tiny/clip"}
	for name, c := range publishedCases {
		open[name] = tinyRewards + "/" + c.folder
	}
	for name, dir := range open {
		together, alone := openAt(t, name, dir), openAt(t, name, dir)
		got, err := ScoreSamples(t.Context(), together, samples)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range samples {
			want, err := alone.Score(t.Context(), s.Prompt, []image.Image{s.Image})
			if err != nil {
				t.Fatal(err)
			}
			if got[i] != want[0] {
				t.Errorf("%s: sample %d scores %v among others, %v alone", name, i, got[i], want[0])
			}
		}
	}
}

func openAt(t *testing.T, name, dir string) *Model {
	t.Helper()
	m, err := Open(t.Context(), name, dir, &Options{Truncate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// lengths scores a picture by the length of its prompt, and records the calls.
type lengths struct{ calls []string }

func (l *lengths) Score(_ context.Context, prompt string, images []image.Image) ([]float64, error) {
	l.calls = append(l.calls, prompt)
	if prompt == "broken" {
		return []float64{1}, nil
	}
	out := make([]float64, len(images))
	for i := range out {
		out[i] = float64(len(prompt))
	}
	return out, nil
}

func TestScoreSamples_callsPlainScorersOncePerRun(t *testing.T) {
	l := &lengths{}
	got, err := ScoreSamples(t.Context(), Sum(Term{l, 2}), []Sample{{Prompt: "a"}, {Prompt: "a"}, {Prompt: "bb"}, {Prompt: "a"}})
	if err != nil || len(got) != 4 || got[0] != 2 || got[2] != 4 || got[3] != 2 {
		t.Errorf("%v, %v", got, err)
	}
	if strings.Join(l.calls, " ") != "a bb a" {
		t.Errorf("calls %q", l.calls)
	}
	if _, err := ScoreSamples(t.Context(), l, []Sample{{Prompt: "broken"}, {Prompt: "broken"}}); err == nil {
		t.Error("one score for two samples was accepted")
	}
	var arg *ArgumentError
	if _, err := OpenMix(t.Context(), nil, nil, "", nil); !errors.As(err, &arg) {
		t.Errorf("no reward: %v", err)
	}
}
