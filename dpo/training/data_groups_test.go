package training

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"winnow/internal/miniworld"
)

// writeGroups makes rows of ranked pictures.
func writeGroups(t *testing.T, ranks ...[]any) string {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 8))
	var rows []any
	for i, rank := range ranks {
		var images, scores []any
		for k := range rank {
			images, scores = append(images, map[string]any{"data": encodePNG(t, miniworld.RandomScene(r).Render())}), append(scores, 10*i+k)
		}
		rows = append(rows, map[string]any{"prompt": "a red circle", "images": images, "rank": rank, "scores": scores})
	}
	return writeRows(t, rows...)
}

// A loss that ranks has each picture of a row once, the best with the worst and inwards, and the pairs of a row in one batch.
func TestLoad_groups(t *testing.T) {
	tr := open(t, Config{Method: "dpo", BatchSize: 2, Seed: 5})
	tr.loss.Groups = true
	d, err := tr.Load(t.Context(), []string{writeGroups(t, []any{2, 5, 1, 3, 4}, []any{1, 2}, []any{1, 2, 2, 3}, []any{3, nil, 1, 2})}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.Middle != 2 || d.Ties != 1 {
		t.Errorf("%d pictures in the middle, %d ties; want 2 and 1", d.Middle, d.Ties)
	}
	var got [][2]float64
	for _, p := range d.Pairs {
		got = append(got, p.Scores)
	}
	if want := [][2]float64{{2, 1}, {0, 4}, {10, 11}, {20, 23}, {32, 30}}; !slices.Equal(got, want) {
		t.Errorf("pairs by scores %v, want %v", got, want)
	}
	if err := tr.Begin(d); err != nil {
		t.Fatal(err)
	}
	times := map[[2]float64]int{}
	for i := range 2 { // an epoch of four rows
		s, err := tr.source.batch(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		b := s.(*denoising)
		rows := map[int]int{}
		for k, group := range b.groups {
			row := int(b.scores[k][0]) / 10
			if was, ok := rows[group]; ok && was != row || group > 1 {
				t.Errorf("batch %d: group %d holds rows %d and %d", i, group, was, row)
			}
			rows[group] = row
			times[b.scores[k]]++
		}
		if len(rows) != 2 {
			t.Errorf("batch %d holds %d rows", i, len(rows))
		}
	}
	if len(times) != 5 {
		t.Errorf("pairs seen in an epoch: %v", times)
	}
	if one, err := tr.Step(t.Context()); err != nil || math.Abs(one.Loss-math.Ln2) > 1e-6 {
		t.Errorf("loss %v, %v", one.Loss, err)
	}
}
