package datasets

import (
	"math"
	"path/filepath"
	"slices"
	"testing"
)

// golden is a file that tests/oracle/datasets.py wrote with pyarrow.
func golden(name string) string { return filepath.Join("..", "tests", "golden", "datasets", name) }

// same compares numbers; NaN equals NaN.
func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func TestPickaPic_pyarrow(t *testing.T) {
	for _, name := range []string{"pickapic.parquet", "pickapic_zstd_v2.parquet", "pickapic_gzip.parquet", "pickapic_plain.parquet"} {
		t.Run(name, func(t *testing.T) {
			all, broken := readAll(t, golden(name), "", nil)
			if len(broken) != 1 || broken[0].Line != 7 || broken[0].Column != "jpg_0" {
				t.Errorf("broken rows %v, want column jpg_0 of row 7", broken)
			}
			checkPickaPic(t, all)
		})
	}
}

// checkPickaPic compares with the six good rows of the script.
func checkPickaPic(t *testing.T, all []Record) {
	t.Helper()
	want := []struct {
		prompt     string
		label      float64
		data0, uid string
	}{
		{"a fox", 1, "A0", "a0"},
		{"a fox", 0, "B0", "b0"},
		{"a fox, été 🦊", 0.5, "C0", "c0"},
		{"an owl", math.NaN(), "D0", "d0"},
		{"an owl", 1, "E0", "e0"}, // best_image_uid says "tie"; the labels count
		{"a cat", 1, "", "f0"},
	}
	if len(all) != len(want) {
		t.Fatalf("%d records, want %d", len(all), len(want))
	}
	for i, w := range want {
		r := all[i]
		if r.Kind != KindPair || r.Prompt != w.prompt || !same(r.Label, w.label) || !same(r.Soft, w.label) || r.Row != i+1 ||
			string(r.Images[0].Data) != w.data0 || r.Images[0].UID != w.uid || r.Images[1].Model != "sdxl" {
			t.Errorf("row %d: %+v", i+1, r)
		}
	}
	first, last := all[0], all[5]
	if first.ID != "100" || first.Attributes["user_id"] != "1" || first.Attributes["created_at"] != "2023-03-01T12:30:15.123456Z" {
		t.Errorf("id %q, attributes %v", first.ID, first.Attributes)
	}
	if last.Images[0].URL != "https://example.org/f0.jpg" || last.Images[0].Present() || string(last.Images[1].Data) != "\xff\xd8corrupt" {
		t.Errorf("the row with a null picture: %+v", last.Images)
	}
}

func TestPickaPic_withoutData(t *testing.T) {
	all, broken := readAll(t, golden("pickapic.parquet"), "pickapic", &Options{WithoutData: true})
	if len(all) != 7 || len(broken) != 0 {
		t.Fatalf("%d records, broken %v", len(all), broken)
	}
	for _, r := range all {
		if len(r.Images) != 2 || r.Images[0].Data != nil || r.Images[1].UID == "" {
			t.Errorf("%+v", r.Images)
		}
	}
	var c Counter
	for i := range all {
		c.Add(&all[i])
	}
	if want := (Counts{Records: 7, Pairs: 7, Decided: 5, Ties: 1, Unlabeled: 1, Prompts: 4, Images: 14}); c.Counts != want {
		t.Errorf("counts %+v, want %+v", c.Counts, want)
	}
	if !slices.ContainsFunc(Formats(), func(f FormatInfo) bool { return f.Name == "pickapic" }) {
		t.Error("the format is not listed")
	}
}

func nan() float64 { return math.NaN() }
