package training

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"winnow/dpo"
	"winnow/internal/miniworld"
)

// writeSingles makes pictures that are labelled by themselves, each under a prompt of its own.
func writeSingles(t *testing.T, labels ...float64) string {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 8))
	var rows []any
	for i, label := range labels {
		rows = append(rows, map[string]any{
			"prompt": fmt.Sprintf("picture %d", i), "image": map[string]any{"data": encodePNG(t, miniworld.RandomScene(r).Render())}, "label": label,
		})
	}
	return writeRows(t, rows...)
}

// Every picture is in a pair with one of the other sort, those of the rarer sort in as many more as it takes, and never twice in the same.
func TestLoad_singles(t *testing.T) {
	tr := open(t, Config{Method: "kto", BatchSize: 2, Seed: 5})
	d, err := tr.Load(t.Context(), []string{writeSingles(t, 1, 0, 0, 0, 0.5, 1, 0, 0.2, 0.9, 0)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.Singles != 9 || d.Ties != 1 || d.Alone != 0 || len(d.Pairs) != 6 {
		t.Errorf("%d singles, %d ties, %d alone, %d pairs", d.Singles, d.Ties, d.Alone, len(d.Pairs))
	}
	liked, disliked := map[string]int{}, map[string]int{}
	ids := map[Key]bool{}
	for _, p := range d.Pairs {
		liked[p.Prompt]++
		disliked[p.Other]++
		ids[p.ID] = true
	}
	if len(liked) != 3 || liked["picture 0"] != 2 || liked["picture 5"] != 2 || liked["picture 8"] != 2 {
		t.Errorf("liked: %v", liked)
	}
	if len(disliked) != 6 || len(ids) != 6 {
		t.Errorf("disliked: %v; %d different pairs", disliked, len(ids))
	}
}

// A liked and a disliked picture of one prompt are what a pair of them is; under another prompt the rejected picture is measured with that.
func TestSingles_asPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	picture := func() any { return map[string]any{"data": encodePNG(t, miniworld.RandomScene(r).Render())} }
	a, b := picture(), picture()
	row := func(prompt string, image any, label int) any {
		return map[string]any{"prompt": prompt, "image": image, "label": label}
	}
	c := Config{Method: "kto", BatchSize: 1, Seed: 5, Mode: true}
	batch := func(rows ...any) (*denoising, Pair) {
		tr := ready(t, c, writeRows(t, rows...))
		s, err := tr.source.batch(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return s.(*denoising), tr.source.(*pairs).data.Pairs[0]
	}
	pairOf := func(prompt string) any { return map[string]any{"prompt": prompt, "chosen": a, "rejected": b} }
	paired, one := batch(pairOf("a red circle"))
	single, two := batch(row("a red circle", b, 0), row("a red circle", a, 1))
	if one.ID != two.ID || !slices.Equal(paired.in.x, single.in.x) || !slices.Equal(paired.in.cond.Hidden.F32(), single.in.cond.Hidden.F32()) {
		t.Error("two pictures of a prompt are not the pair of them")
	}
	other, three := batch(row("two blue stars", b, 0), row("a red circle", a, 1))
	elsewhere, _ := batch(pairOf("two blue stars"))
	half := len(other.in.cond.Hidden.F32()) / 2
	if three.ID == one.ID || three.Other != "two blue stars" {
		t.Errorf("%+v", three)
	}
	if !slices.Equal(other.in.cond.Hidden.F32()[:half], paired.in.cond.Hidden.F32()[:half]) || !slices.Equal(other.in.cond.Hidden.F32()[half:], elsewhere.in.cond.Hidden.F32()[half:]) {
		t.Error("pictures are not measured with their own prompts")
	}
}

// Learning makes liked pictures likelier under their prompts, and the others less likely.
func TestSingles_learn(t *testing.T) {
	c := Config{Method: "kto", BatchSize: 4, Steps: 12, LearningRate: 2e-3, Seed: 5, Settings: dpo.Settings{Beta: 200}}
	tr := ready(t, c, writeSingles(t, 1, 1, 0, 0, 1, 0))
	var last Metrics
	for range c.Steps {
		var err error
		if last, err = tr.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if last.Margin <= 0 || last.Loss >= 0.5 {
		t.Errorf("margin %g, loss %g after %d updates", last.Margin, last.Loss, c.Steps)
	}
}

func TestSingles_refused(t *testing.T) {
	for _, c := range []struct {
		config Config
		labels []float64
		want   string
	}{
		{Config{Method: "kto"}, []float64{1, 1}, "all 2 pictures are liked, or none is"},
		{Config{Method: "kto", Selection: Selection{Clear: 0.5}}, []float64{1, 0}, "2 pictures were labelled by themselves"},
		{Config{Method: "dpo"}, []float64{1, 0}, "is one picture with a label of its own, and dpo compares two; kto"},
	} {
		c.config.BatchSize = 1
		tr := open(t, c.config)
		if _, err := tr.Load(t.Context(), []string{writeSingles(t, c.labels...)}, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.labels, err, c.want)
		}
	}
}
