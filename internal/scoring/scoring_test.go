package scoring

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/datasets"
	"winnow/rewards"
)

const tinyClip = "../../tests/tiny/clip_split"

func encoded(t *testing.T, n int) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, 20+n, 30))
	for i := range len(img.Pix) / 4 {
		img.SetNRGBA(i%(20+n), i/(20+n), color.NRGBA{byte(i * n), byte(i), byte(n * 40), 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func item(t *testing.T, prompt string, n int) Item {
	t.Helper()
	data := encoded(t, n)
	return Item{Name: "picture", Prompt: prompt, Load: func() ([]byte, error) { return data, nil }}
}

func openMix(t *testing.T, choices, folders []string) *rewards.Mix {
	t.Helper()
	m, err := rewards.OpenMix(t.Context(), choices, folders, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func openStore(t *testing.T, path string) *Store {
	t.Helper()
	s, err := OpenStore(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func score(t *testing.T, mix *rewards.Mix, store *Store, items []Item) (*Scorer, []Result) {
	t.Helper()
	s, err := New(t.Context(), mix, "embedded", store)
	if err != nil {
		t.Fatal(err)
	}
	results, err := s.Score(t.Context(), items)
	if err != nil || len(results) != len(items) {
		t.Fatalf("%d results, %v", len(results), err)
	}
	return s, results
}

func TestScorer(t *testing.T) {
	mix := openMix(t, []string{rewards.Mini, "clip=0.5"}, []string{tinyClip})
	store := openStore(t, filepath.Join(t.TempDir(), "odd ?#%name.cache"))
	var items []Item
	for i := range 2*ChunkSize + 3 {
		items = append(items, item(t, []string{"a red circle", "a star"}[i%2], i%20))
	}
	broken := errors.New("gone")
	items[5].Load = func() ([]byte, error) { return nil, broken }
	items[6].Load = func() ([]byte, error) { return []byte("no picture"), nil }
	items[7].Prompt = strings.Repeat("red ", 100)
	first, results := score(t, mix, store, items)
	for i, r := range results {
		if i >= 5 && i <= 7 {
			if r.Err == nil || !math.IsNaN(r.Score) || i == 5 && !errors.Is(r.Err, broken) {
				t.Errorf("item %d: %v, %v", i, r.Score, r.Err)
			}
			continue
		}
		data, _ := items[i].Load()
		img, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		want, err := mix.Score(t.Context(), items[i].Prompt, []image.Image{img})
		if err != nil || r.Err != nil || r.Score != want[0] || len(r.Parts) != 2 || r.Parts[0]+0.5*r.Parts[1] != r.Score {
			t.Errorf("item %d: %+v, want %v (%v)", i, r, want, err)
		}
	}
	// 35 items; 3 failed; 20 pictures come back with the same prompt, of which the failed ones do not count twice.
	if first.Computed != 40 || first.Known != 24 {
		t.Errorf("%d scores computed, %d known", first.Computed, first.Known)
	}
	second, again := score(t, mix, store, items)
	if second.Computed != 0 {
		t.Errorf("%d scores computed again", second.Computed)
	}
	for i := range results {
		if results[i].Score != again[i].Score && !math.IsNaN(results[i].Score) {
			t.Errorf("item %d: %v, then %v", i, results[i].Score, again[i].Score)
		}
	}
	// One reward of the mix alone finds its part.
	alone, part := score(t, openMix(t, []string{rewards.Mini}, nil), store, items[:5])
	if alone.Computed != 0 || part[3].Score != results[3].Parts[0] {
		t.Errorf("alone: %d computed, %v", alone.Computed, part[3])
	}
	if w := first.Weights(); len(w) != 2 || len(w[0]) != 64 || len(w[1]) != 64 || w[0] == w[1] {
		t.Errorf("weights %q", w)
	}
}

// Scores of other weights, executors or prompts' texts are other scores; a moved folder, or notes in it, are the same.
func TestIdentity(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	if err := os.CopyFS(dir, os.DirFS(tinyClip)); err != nil {
		t.Fatal(err)
	}
	store := openStore(t, filepath.Join(t.TempDir(), "s"))
	id := func(folder, executor string, store *Store) string {
		t.Helper()
		text, _, err := identify(t.Context(), store, openMix(t, []string{rewards.CLIP}, []string{folder}).Rewards()[0], executor)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	was := id(dir, "embedded", store)
	if got := id(tinyClip, "embedded", nil); got != was {
		t.Errorf("a copy is another reward:\n%s\n%s", got, was)
	}
	if id(dir, "onnxruntime", store) == was {
		t.Error("the executor makes no difference")
	}
	write := func(name, text string) {
		t.Helper()
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"README.md", ".hidden", "reference.json"} {
		if write(name, "{}"); id(dir, "embedded", store) != was {
			t.Errorf("%s makes a difference", name)
		}
	}
	if write("preprocessor_config.json", "\n"); id(dir, "embedded", store) == was {
		t.Error("a changed file makes no difference")
	}
}

func TestOpenStore_refusesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, bytes.Repeat([]byte("no database "), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	other := openStore(t, filepath.Join(dir, "other"))
	newer := openStore(t, filepath.Join(dir, "newer"))
	for s, change := range map[*Store]string{other: "PRAGMA application_id=0", newer: "PRAGMA user_version=99"} {
		if _, err := s.db.ExecContext(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		text: "not a database", other.path: "something else", newer.path: "version 99", filepath.Join(dir, "none", "s"): "no such file",
	} {
		s, err := OpenStore(t.Context(), path)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "score cache") {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if data, err := os.ReadFile(text); err != nil || !bytes.HasPrefix(data, []byte("no database")) {
		t.Errorf("the file was changed: %v", err)
	}
}

func TestStore_interrupted(t *testing.T) {
	store := openStore(t, filepath.Join(t.TempDir(), "s"))
	id, err := store.Reward(t.Context(), "r")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.Put(ctx, id, []Key{{}}, []float64{1}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	got, err := store.Get(t.Context(), id, []Key{{}})
	if err != nil || !math.IsNaN(got[0]) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestRecords(t *testing.T) {
	mix := openMix(t, []string{rewards.Mini}, nil)
	s, err := New(t.Context(), mix, "embedded", nil)
	if err != nil {
		t.Fatal(err)
	}
	var rowsSeen []int
	b := NewRecords(s, "set.jsonl", func(rec *datasets.Record, results []Result) error {
		rowsSeen = append(rowsSeen, rec.Row)
		if len(results) != len(rec.Images) {
			t.Fatalf("row %d: %d results", rec.Row, len(results))
		}
		for i, r := range results {
			var pe *PictureError
			if rec.Images[i].Data == nil != errors.As(r.Err, &pe) {
				t.Errorf("row %d, picture %d: %v", rec.Row, i, r.Err)
			}
			if pe != nil && (pe.Row != rec.Row || pe.File != "set.jsonl" || !errors.Is(pe, fs.ErrNotExist)) {
				t.Errorf("row %d: %v", rec.Row, pe)
			}
		}
		return nil
	})
	const n = 25
	for i := range n {
		rec := &datasets.Record{Kind: datasets.KindPair, Prompt: "a star", Row: i, Images: []datasets.Image{{Data: encoded(t, i)}, {Data: encoded(t, i+1)}}}
		if i == 9 {
			rec.Images[1] = datasets.Image{Path: "missing.png"}
		}
		if err := b.Add(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	if len(rowsSeen) != n-n%(ChunkSize/2) {
		t.Errorf("%d rows before the end", len(rowsSeen))
	}
	if err := b.Flush(t.Context()); err != nil || len(rowsSeen) != n {
		t.Errorf("%d rows, %v", len(rowsSeen), err)
	}
	for i, row := range rowsSeen {
		if i != row {
			t.Fatalf("order %v", rowsSeen)
		}
	}
}

// A picture whose score is not finite is left out where that is asked for, and ends the run otherwise.
func TestScorer_notFinite(t *testing.T) {
	mix := openMix(t, []string{rewards.Mini}, nil)
	var items []Item
	for i := range 5 {
		items = append(items, item(t, "a red circle", i))
	}
	s, err := New(t.Context(), mix, "embedded", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.rewards[0] = &sometimes{Reward: s.rewards[0], bad: map[int]float64{21: math.NaN(), 23: math.Inf(1)}} // by width
	if _, err := s.Score(t.Context(), items); err == nil {
		t.Error("a score that is NaN passes")
	}
	s.DropNotFinite = true
	results, err := s.Score(t.Context(), items)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if bad := i == 1 || i == 3; bad != (r.Err != nil) || bad != math.IsNaN(r.Score) {
			t.Errorf("picture %d: %+v", i, r)
		}
	}
}

// sometimes gives bad scores to pictures of some widths, as a broken model does.
type sometimes struct {
	rewards.Reward
	bad map[int]float64
}

func (s *sometimes) ScoreSamples(_ context.Context, samples []rewards.Sample) ([]float64, error) {
	for i, sample := range samples {
		if v, ok := s.bad[sample.Image.Bounds().Dx()]; ok {
			return nil, &rewards.NotFiniteError{Index: i, Score: v}
		}
	}
	return make([]float64, len(samples)), nil
}
