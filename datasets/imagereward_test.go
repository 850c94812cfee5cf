package datasets

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// sharedData is the folder of public files beside the checkout; tests that need one run without it, too.
const sharedData = "../../shared/data"

// writeTemp writes a file of a set and returns its path.
func writeTemp(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// readAll opens a file and collects records and broken rows; a final error fails the test.
func readAll(t testing.TB, path string, name Format, o *Options) (all []Record, broken []*RowError) {
	t.Helper()
	r, err := Open(path, name, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.All() {
		var row *RowError
		switch {
		case err == nil:
			all = append(all, rec)
		case errors.As(err, &row):
			broken = append(broken, row)
		default:
			t.Fatal(err)
		}
	}
	if r.Rows() != len(all)+len(broken) || r.Failed() != len(broken) {
		t.Errorf("the reader counts %d rows and %d failed; there were %d and %d", r.Rows(), r.Failed(), len(all)+len(broken), len(broken))
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	return all, broken
}

const imageRewardSample = `[
 {"id":"1-1","prompt":"a fox, été 🦊","generations":["a.webp","b.webp","c.webp","d.webp"],"ranking":[2,3,3,5]},
 {"id":"1-2","prompt":"an owl","generations":["e.webp","f.webp"],"ranking":[1]},
 {"id":"1-3","prompt":" ","generations":["e.webp","f.webp"],"ranking":[1,2]},
 {"id":"1-4","prompt":"an owl","generations":["e.webp",7],"ranking":[1,2]},
 {"id":"1-5","prompt":"a cat","generations":["g.webp","h.webp","i.webp"],"ranking":[1,1,null]},
 {"id":"1-6","prompt":"a cat","ranking":[]}
]`

func TestImageReward_rows(t *testing.T) {
	path := writeTemp(t, "test.json", imageRewardSample)
	all, broken := readAll(t, path, "", nil)
	if len(all) != 2 {
		t.Fatalf("%d records", len(all))
	}
	fox := all[0]
	if fox.Kind != KindGroup || fox.ID != "1-1" || fox.Prompt != "a fox, été 🦊" || fox.Row != 1 || fox.Images[3].Path != "d.webp" ||
		!slices.Equal(fox.Rank, []float64{2, 3, 3, 5}) {
		t.Errorf("%+v", fox)
	}
	var labels []float64
	for p := range fox.Pairs() {
		labels = append(labels, p.Label)
	}
	if !slices.Equal(labels, []float64{1, 1, 1, 0.5, 1, 1}) {
		t.Errorf("labels %v", labels)
	}
	if !math.IsNaN(all[1].Rank[2]) {
		t.Errorf("a null rank was read as %v", all[1].Rank[2])
	}
	want := []struct {
		row    int
		column string
	}{{2, "ranking"}, {3, "prompt"}, {4, "generations"}, {6, "generations"}}
	if len(broken) != len(want) {
		t.Fatalf("broken rows %v", broken)
	}
	for i, w := range want {
		if b := broken[i]; b.Line != w.row || b.Column != w.column || b.File != path {
			t.Errorf("broken row %d: %v, want row %d, column %s", i, b, w.row, w.column)
		}
	}
	var c Counter
	for i := range all {
		c.Add(&all[i])
	}
	if want := (Counts{Records: 2, Groups: 2, Pairs: 9, Decided: 5, Ties: 2, Unlabeled: 2, Prompts: 2, Images: 7}); c.Counts != want {
		t.Errorf("counts %+v, want %+v", c.Counts, want)
	}
}

// TestImageReward_official counts the public file, where it is at hand.
func TestImageReward_official(t *testing.T) {
	path := filepath.Join(sharedData, "imagereward", "test.json")
	if _, err := os.Stat(path); err != nil {
		t.Log("the public file is not at hand")
		return
	}
	all, broken := readAll(t, path, "", nil)
	var c Counter
	sizes := map[int]int{}
	lowest := map[float64]int{}
	for i := range all {
		c.Add(&all[i])
		sizes[len(all[i].Images)]++
		lowest[slices.Min(all[i].Rank)]++
	}
	known := imageRewardFormat().Known[0].Counts
	if len(broken) != 0 || c.Groups != known.Groups || c.Pairs != known.Pairs || c.Decided != known.Decided || c.Ties != known.Ties || c.Images != known.Images {
		t.Errorf("counts %+v, want %+v; broken %v", c.Counts, known, broken)
	}
	for n, want := range map[int]int{4: 194, 5: 2, 6: 45, 7: 159, 8: 43, 9: 23} {
		if sizes[n] != want {
			t.Errorf("%d groups of %d, want %d", sizes[n], n, want)
		}
	}
	if lowest[1] != 415 || lowest[2] != 48 || lowest[3] != 3 {
		t.Errorf("lowest ranks %v", lowest)
	}
}

func TestJSONList_damage(t *testing.T) {
	for name, tc := range map[string]struct {
		content string
		rows    int
	}{
		"cut in a row":   {imageRewardSample[:200], 1},
		"cut between":    {`[{"prompt":"p","generations":["a"],"ranking":[1]},`, 1},
		"no end":         {`[{"prompt":"p","generations":["a"],"ranking":[1]}`, 1},
		"not JSON":       {`hello`, 0},
		"an object":      {`{"a":1}`, 0},
		"empty":          {``, 0},
		"rubbish inside": {`[{"prompt":"p","generations":["a"],"ranking":[1]}, xyz]`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeTemp(t, "a.json", tc.content)
			r, err := Open(path, "imagereward", nil)
			rows := 0
			if err == nil {
				defer r.Close()
				for _, e := range r.All() {
					if err = e; err == nil {
						rows++
					}
				}
				if _, again := r.Next(); again == nil || again.Error() != err.Error() {
					t.Errorf("the final error %v became %v", err, again)
				}
			}
			var file *FileError
			if !errors.As(err, &file) || file.File != path || rows != tc.rows {
				t.Errorf("error %v after %d rows, want a FileError after %d", err, rows, tc.rows)
			}
		})
	}
}
