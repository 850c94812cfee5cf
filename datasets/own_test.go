package datasets

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestJSONL_rows(t *testing.T) {
	path := writeTemp(t, "a.jsonl", `{"prompt":"p","images":["a.png",{"path":"b.png","model":"m"}],"rank":[1,null]}
{"prompt":"p","images":["a.png","https://example.org/b.png"],"label":0.75}
{"prompt":"p","images":["a.png","b.png"],"label":null}
{"prompt":"p","image_0":"a.png","image_1":"b.png","label_0":0.5}
{"prompt":"p","chosen":"good.png","rejected":"bad.png"}
{"prompt":"p","image":"a.png","id":12}
{"caption":"p"}
{"prompt":"p","images":["a.png","b.png","c.png"],"label":1}
{"prompt":"p","images":["a.png","b.png"],"rank":[1]}
{"prompt":"p","chosen":"a.png"}
{"prompt":"p","images":["a.png","b.png"],"label":2}
{"prompt":7}
{"prompt":"p","images":[{"data":"%%"}]}
nonsense`)
	all, broken := readAll(t, path, "jsonl", nil)
	if got := columnsOf(broken); !slices.Equal(got, []string{"8 images", "9 rank", "10 rejected", "11 label", "12 prompt", "13 ", "14 "}) {
		t.Errorf("broken %q: %v", got, broken)
	}
	if len(all) != 7 {
		t.Fatalf("%d records", len(all))
	}
	if r := all[0]; r.Kind != KindGroup || r.Images[1].Model != "m" || !same(r.Rank[1], nan()) {
		t.Errorf("%+v", r)
	}
	if r := all[1]; r.Kind != KindPair || r.Label != 1 || r.Soft != .75 || r.Images[1].URL == "" {
		t.Errorf("%+v", r)
	}
	if r := all[2]; r.Kind != KindPair || !same(r.Label, nan()) {
		t.Errorf("a null label: %+v", r)
	}
	if r := all[3]; r.Label != .5 {
		t.Errorf("%+v", r)
	}
	if r := all[4]; r.Images[int(1-r.Label)].Path != "good.png" {
		t.Errorf("chosen and label disagree: %+v", r)
	}
	if r := all[5]; r.Kind != KindGroup || r.ID != "12" || r.Rank != nil {
		t.Errorf("%+v", r)
	}
	if r := all[6]; r.Kind != KindPrompt || r.Prompt != "p" {
		t.Errorf("%+v", r)
	}
}

func TestCSV_rows(t *testing.T) {
	path := writeTemp(t, "a.csv", "prompt,image_0,image_1,label,note,weight\n"+
		"\"a fox, été 🦊\",a.png,b.png,1,\"two\nlines\",2\n"+
		"an owl,a.png,http://x/b.png,0.25,,\n"+
		"an owl,a.png,b.png,,,\n"+
		"an owl,a.png,b.png,maybe,,\n"+
		"an owl,a.png,,1,,\n"+
		",a.png,b.png,1,,\n"+
		"an owl,a.png,b.png,0.5,,\n")
	all, broken := readAll(t, path, "", nil)
	if labels := labelsOf(all); len(labels) != 4 || labels[0] != 1 || labels[1] != 0 || !same(labels[2], nan()) || labels[3] != .5 {
		t.Errorf("labels %v", labels)
	}
	if r := all[0]; r.Attributes["note"] != "two\nlines" || r.Weight != 2 || r.Images[1].Path != "b.png" || r.Prompt != "a fox, été 🦊" {
		t.Errorf("%+v", r)
	}
	if all[1].Soft != .25 || all[1].Images[1].URL != "http://x/b.png" || all[1].Row != 4 {
		t.Errorf("%+v", all[1])
	}
	if got := columnsOf(broken); !slices.Equal(got, []string{"6 label", "7 image_1", "8 prompt"}) {
		t.Errorf("broken %q", got)
	}
	all, _ = readAll(t, writeTemp(t, "b.csv", "prompt,chosen,rejected\np,good,bad\n"), "", nil)
	if all[0].Images[int(1-all[0].Label)].Path != "good" {
		t.Errorf("%+v", all[0])
	}
	all, _ = readAll(t, writeTemp(t, "c.csv", "image,prompt,model\na.png,p,m\n"), "", nil)
	if all[0].Kind != KindGroup || all[0].Images[0].Model != "m" {
		t.Errorf("%+v", all[0])
	}
	if _, err := Open(writeTemp(t, "d.csv", "a,b\n1,2\n"), "csv", nil); err == nil || !strings.Contains(err.Error(), "prompt") {
		t.Errorf("a header without prompt: %v", err)
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"b/2.PNG": "two", "a.jpg": "one", "a.txt": " a fox\n", "notes.md": "x", "c.webp": "three", "c.txt": strings.Repeat("x", maxLine+1)} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	all, broken := readAll(t, dir, "", nil)
	if len(all) != 2 || all[0].ID != "a.jpg" || all[0].Prompt != "a fox" || all[1].ID != "b/2.PNG" || all[1].Prompt != "" || len(broken) != 1 {
		t.Fatalf("%+v, broken %v", all, broken)
	}
	if data, err := all[1].Images[0].Bytes(); err != nil || string(data) != "two" {
		t.Errorf("%q, %v", data, err)
	}
	r, err := Open(dir, "folder", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil || r.Close() != nil {
		t.Errorf("stopping early: %v", err)
	}
}

// tarFile makes an archive of name, content, name, content….
func tarFile(t testing.TB, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(parts); i += 2 {
		h := &tar.Header{Name: parts[i], Size: int64(len(parts[i+1])), Mode: 0o600, Typeflag: tar.TypeReg}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(parts[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWebDataset(t *testing.T) {
	data := tarFile(t, "x/0.jpg", "zero", "x/0.txt", " a fox\n", "x/0.json", `{"a":1}`,
		"x/1.1.jpg", "one-one", "x/1.0.jpg", "one-zero", "x/1.json", `{"caption":"an owl","label_0":0}`,
		"x/2.jpg", "two", "x/2.json", `{"caption":`,
		"x/3.txt", "only a prompt", "x/4.cls", "7")
	path := writeTemp(t, "a.tar", string(data))
	all, broken := readAll(t, path, "", nil)
	if len(all) != 3 || all[0].Prompt != "a fox" || all[0].Kind != KindGroup || all[0].ID != "x/0" || all[2].Kind != KindPrompt {
		t.Fatalf("%+v, broken %v", all, broken)
	}
	pair := all[1]
	if pair.Kind != KindPair || pair.Label != 0 || pair.Images[0].Path != "x/1.0.jpg" || pair.Prompt != "an owl" {
		t.Errorf("%+v", pair)
	}
	for i, want := range []string{"one-zero", "one-one"} {
		if got, err := pair.Images[i].Bytes(); err != nil || string(got) != want || !pair.Images[i].Present() || pair.Images[i].File() != "" {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if got := columnsOf(broken); !slices.Equal(got, []string{"3 json", "5 txt"}) {
		t.Errorf("broken %q", got)
	}
	r, err := Open(writeTemp(t, "b.tar", string(data[:700])), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var file *FileError
	for err == nil {
		_, err = r.Next()
	}
	if !errors.As(err, &file) {
		t.Errorf("a cut archive: %v", err)
	}
}

// write makes a file of records; failures of single records are counted.
func write(t testing.TB, path string, name Format, all []Record) (failed []error) {
	t.Helper()
	err := Write(path, name, func(w Writer) error {
		for i := range all {
			err := w.Write(&all[i])
			var row *RowError
			if errors.As(err, &row) {
				failed = append(failed, err)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return failed
}

// plainly drops what a copy in another place may not have.
func plainly(all []Record) []Record {
	for i := range all {
		all[i].Row = 0
		for j := range all[i].Images {
			all[i].Images[j].roots = nil
		}
		for _, v := range []*float64{&all[i].Label, &all[i].Soft, &all[i].Confidence} {
			if *v != *v {
				*v = -1
			}
		}
	}
	return all
}

func TestJSONLWriter_keepsEverything(t *testing.T) {
	sources := map[string]*Options{golden("pickapic.parquet"): nil, golden("imagerewarddb_group.parquet"): nil, golden("open_image_preferences.parquet"): nil}
	sources[writeTemp(t, "g.jsonl", `{"tag": "position", "include": [{"class": "cat", "count": 1}, {"class": "dog", "count": 1, "color": "red", "position": ["left of", 0]}], "prompt": "p"}`)] = nil
	for path, o := range sources {
		all, _ := readAll(t, path, "", o)
		copied := filepath.Join(t.TempDir(), "copy.jsonl")
		if failed := write(t, copied, "jsonl", all); len(failed) != 0 {
			t.Fatal(failed)
		}
		again, broken := readAll(t, copied, "jsonl", nil)
		for i := range all {
			if len(all[i].Attributes) == 0 {
				all[i].Attributes = nil
			}
		}
		if !reflect.DeepEqual(plainly(all), plainly(again)) || len(broken) != 0 {
			t.Errorf("%s\n%+v\nbecame\n%+v\nbroken %v", path, all, again, broken)
		}
	}
}

func TestPickaPicWriter_copies(t *testing.T) {
	all, _ := readAll(t, golden("pickapic.parquet"), "", nil)
	copied := filepath.Join(t.TempDir(), "copy.parquet")
	if failed := write(t, copied, "pickapic", all); len(failed) != 0 {
		t.Fatal(failed)
	}
	file, pq, err := openFooter(copied)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range leaves(pq) {
		names = append(names, l.name)
	}
	original, like, err := openFooter(golden("pickapic.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range like.Root().Columns() {
		if got := pq.Root().Columns()[i]; got.Name() != c.Name() || strings.Replace(got.Type().String(), "INT(64,true)", "INT64", 1) != c.Type().String() {
			t.Errorf("column %s of type %v, pyarrow's is %s of type %v", got.Name(), got.Type(), c.Name(), c.Type())
		}
	}
	if err := errors.Join(file.Close(), original.Close()); err != nil || !slices.Equal(names, pickaPicColumns) {
		t.Errorf("columns %q, %v", names, err)
	}
	again, broken := readAll(t, copied, "", nil)
	if len(broken) != 0 {
		t.Fatal(broken)
	}
	checkPickaPic(t, again)
	if !reflect.DeepEqual(plainly(all), plainly(again)) {
		t.Errorf("%+v\nbecame\n%+v", all, again)
	}
}

func TestPickaPicWriter_groups(t *testing.T) {
	path := writeTemp(t, "test.json", imageRewardSample)
	for _, name := range []string{"a", "b", "c", "d"} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), name+".webp"), []byte("picture "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, _ := readAll(t, path, "", nil)
	all = append(all, newRecord(KindPrompt, "only a prompt"))
	copied := filepath.Join(t.TempDir(), "copy.parquet")
	failed := write(t, copied, "pickapic", all)
	if len(failed) != 2 || !errors.Is(failed[0], os.ErrNotExist) || !errors.Is(failed[1], errNoPair) {
		t.Errorf("failed %v", failed)
	}
	again, _ := readAll(t, copied, "", nil)
	if labels := labelsOf(again); !slices.Equal(labels, []float64{1, 1, 1, .5, 1, 1}) {
		t.Errorf("labels %v", labels)
	}
	if im := again[5].Images; string(im[0].Data) != "picture c" || im[1].UID != "d.webp" {
		t.Errorf("%+v", im)
	}
	cause := errors.New("cause")
	if err := Write(copied, "pickapic", func(Writer) error { return cause }); !errors.Is(err, cause) {
		t.Error(err)
	}
	if left, _ := readAll(t, copied, "", nil); len(left) != 6 {
		t.Error("a failed write replaced the file")
	}
	var argument *ArgumentError
	if err := Write(copied, "csv", nil); !errors.As(err, &argument) {
		t.Errorf("writing CSV: %v", err)
	}
}

// A picture that was labelled by itself stays one, and is no comparison; a group has no label.
func TestSingles_roundTrip(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "a.jsonl"), filepath.Join(dir, "b.jsonl")
	rows := `{"prompt":"a","image":"a.png","label":1}
{"prompt":"b","images":["b.png"],"label":0.2}
{"prompt":"c","image":"c.png"}
{"prompt":"d","kind":"group","images":["d.png","e.png"],"label":1}
{"prompt":"e","image":"e.png","label_0":1}
`
	if err := os.WriteFile(from, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	first, broken := readAll(t, from, "", nil)
	if len(broken) != 2 || !strings.Contains(broken[0].Error(), "line 4, column \"label\": is one of a pair or of one picture, and this is a group of 2") ||
		!strings.Contains(broken[1].Error(), "line 5, column \"images\": 1 pictures; a pair has 2") {
		t.Errorf("broken: %v", broken)
	}
	for i := range first {
		first[i].Images[0].Data = []byte("picture")
	}
	if failed := write(t, to, "jsonl", first); len(failed) != 0 {
		t.Fatal(failed)
	}
	again, broken := readAll(t, to, "", nil)
	if len(broken) != 0 || len(again) != 3 {
		t.Fatalf("%d records, broken %v", len(again), broken)
	}
	for i, want := range []float64{1, 0, nan()} {
		for p := range again[i].Pairs() {
			t.Errorf("row %d compares: %+v", i, p)
		}
		if r := again[i]; r.Kind != KindGroup || !same(r.Label, want) {
			t.Errorf("row %d: %+v, want label %v", i, r, want)
		}
	}
}

// Scores and shares come back from both formats that are written.
func TestScores_roundTrip(t *testing.T) {
	picture := func(name string) Image { return Image{Data: []byte("picture " + name), UID: name, Model: "mini"} }
	var all []Record
	for i, c := range []struct{ label, soft, a, b float64 }{{1, 0.9, 2.5, 0.3}, {0, 0.25, -1, 0.1}, {0.5, 0.5, 1, 1}, {1, 1, 1, nan()}} {
		r := newPair("a red circle", picture(fmt.Sprint(i, "a")), picture(fmt.Sprint(i, "b")), c.label)
		r.ID, r.Soft, r.Scores = fmt.Sprint(i), c.soft, []float64{c.a, c.b}
		all = append(all, r)
	}
	dir := t.TempDir()
	for _, file := range []struct {
		name   string
		format Format
	}{{"a.parquet", "pickapic"}, {"a.jsonl", "jsonl"}} {
		path := filepath.Join(dir, file.name)
		if failed := write(t, path, file.format, all); len(failed) != 0 {
			t.Fatal(failed)
		}
		again, broken := readAll(t, path, "", nil)
		if len(broken) != 0 || len(again) != len(all) {
			t.Fatalf("%s: %d records, broken %v", file.name, len(again), broken)
		}
		for i, r := range again {
			w := &all[i]
			for p := range r.Pairs() {
				if p.Label != w.Label || p.Soft != w.Soft || !same(r.Gap(p), w.Scores[0]-w.Scores[1]) {
					t.Errorf("%s: %+v with gap %v, want label %v, soft %v, scores %v", file.name, p, r.Gap(p), w.Label, w.Soft, w.Scores)
				}
			}
			if !same(r.Scores[0], w.Scores[0]) || !same(r.Scores[1], w.Scores[1]) || string(r.Images[1].Data) != string(w.Images[1].Data) || r.Images[0].Model != "mini" {
				t.Errorf("%s: %+v, want %+v", file.name, r, w)
			}
		}
		r := again[1]
		if r.Swap(); !same(r.Gap(Pair{A: 0, B: 1}), 1.1) || r.Soft != 0.75 {
			t.Errorf("swapped: %+v", r)
		}
	}
	none := newPair("a red circle", picture("x"), picture("y"), 1)
	if failed := write(t, filepath.Join(dir, "b.parquet"), "pickapic", []Record{none, all[0]}); len(failed) != 1 || !errors.Is(failed[0], errScoresLater) {
		t.Errorf("scores after none: %v", failed)
	}
	if failed := write(t, filepath.Join(dir, "c.parquet"), "pickapic", []Record{all[0], none}); len(failed) != 0 {
		t.Error(failed)
	}
	if mixed, _ := readAll(t, filepath.Join(dir, "c.parquet"), "", nil); len(mixed) != 2 || mixed[1].Scores != nil || mixed[1].Soft != 1 {
		t.Errorf("%+v", mixed)
	}
	bad := writeTemp(t, "bad.jsonl", `{"prompt": "p", "images": ["a.png", "b.png"], "label": 1, "scores": [1, 2, 3]}`)
	if _, broken := readAll(t, bad, "", nil); len(broken) != 1 || broken[0].Column != "scores" {
		t.Errorf("three scores for two pictures: %v", broken)
	}
}
