package datasets

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// columnsOf lists where rows broke.
func columnsOf(broken []*RowError) []string {
	var all []string
	for _, b := range broken {
		all = append(all, fmt.Sprintf("%d %s", b.Line, b.Column))
	}
	return all
}

func labelsOf(all []Record) (labels []float64) {
	for _, r := range all {
		labels = append(labels, r.Label)
	}
	return labels
}

func TestHPDv3(t *testing.T) {
	var b strings.Builder
	for i := range 400 {
		fmt.Fprintf(&b, `,{"prompt":"p%d","path1":"good%d.jpg","path2":"bad%d.jpg","choice_dist":[9,3],"confidence":%v,"model1":"m1","model2":"m2"}`, i/2, i, i, []float64{.97, .9}[i%2])
	}
	path := writeTemp(t, "train.json", `[{"prompt":"","path1":"a","path2":"b"},{"prompt":"p","path1":"a"},
{"prompt":"p","path1":"a","path2":"b","confidence":1.2},{"prompt":"p","path1":"a","path2":"b","choice_dist":[1]}`+b.String()+"]")
	all, broken := readAll(t, path, "", nil)
	if got := columnsOf(broken); !slices.Equal(got, []string{"1 prompt", "2 path2", "3 confidence", "4 choice_dist"}) {
		t.Errorf("broken %v", got)
	}
	first := 0
	for _, r := range all {
		good := 0
		if r.Label == 0 {
			good = 1
		} else {
			first++
		}
		if !strings.HasPrefix(r.Images[good].Path, "good") || r.Images[good].Model != "m1" || math.Abs(r.Soft-r.Label) != .25 {
			t.Fatalf("%+v", r)
		}
	}
	if len(all) != 400 || first < 160 || first > 240 {
		t.Errorf("%d records, %d with the preferred picture first", len(all), first)
	}
	if all[0].Confidence != .97 || all[1].Confidence != .9 {
		t.Errorf("confidence %v, %v", all[0].Confidence, all[1].Confidence)
	}
	kept, _ := readAll(t, path, "hpdv3", &Options{KeepOrder: true})
	for _, r := range kept {
		if r.Label != 1 || r.Soft != .75 {
			t.Fatalf("KeepOrder: %+v", r)
		}
	}
}

func TestOpenImagePreferences_pyarrow(t *testing.T) {
	all, broken := readAll(t, golden("open_image_preferences.parquet"), "", &Options{KeepOrder: true})
	if got := columnsOf(broken); !slices.Equal(got, []string{"2 rejected", "3 prompt"}) {
		t.Errorf("broken %v", broken)
	}
	if len(all) != 1 {
		t.Fatalf("%d records", len(all))
	}
	r := all[0]
	if string(r.Images[0].Data) != "C0" || r.Images[0].Path != "c0.jpg" || r.Images[1].Model != "sd3.5" || r.Label != 1 || r.Category != "Cinematic" ||
		r.Attributes["evolution"] != "quality" {
		t.Errorf("%+v", r)
	}
}

func TestImageRewardDB_pyarrow(t *testing.T) {
	all, broken := readAllRows(t, golden("imagerewarddb.parquet"), "imagerewarddb", nil)
	if got := columnsOf(broken); !slices.Equal(got, []string{"6 prompt"}) {
		t.Errorf("broken %v", broken)
	}
	if len(all) != 2 {
		t.Fatalf("%d groups, want 2", len(all))
	}
	fox, owl := all[0], all[1]
	if fox.ID != "1-1" || len(fox.Images) != 3 || !slices.Equal(fox.Rank, []float64{2, 1, 2}) || string(fox.Images[2].Data) != "I2" ||
		fox.Images[2].Ratings["image_text_alignment_rating"] != 4 || fox.Category != "Animals" {
		t.Errorf("%+v", fox)
	}
	if _, rated := owl.Images[1].Ratings["fidelity_rating"]; rated || !math.IsNaN(owl.Rank[1]) {
		t.Errorf("nulls: %+v", owl)
	}
	groups, broken := readAll(t, golden("imagerewarddb_group.parquet"), "", nil)
	if got := columnsOf(broken); !slices.Equal(got, []string{"2 rank"}) || len(groups) != 1 {
		t.Fatalf("%d groups, broken %v", len(groups), broken)
	}
	if g := groups[0]; !slices.Equal(g.Rank, []float64{2, 1, 2}) || string(g.Images[1].Data) != "I1" || g.Images[0].Ratings["overall_rating"] != 5 {
		t.Errorf("%+v", g)
	}
	pairs, _ := readAll(t, golden("imagerewarddb_pair.parquet"), "", &Options{KeepOrder: true})
	if p := pairs[0]; p.Kind != KindPair || p.Label != 1 || string(p.Images[0].Data) != "I1" || p.Images[1].Path != "0.webp" {
		t.Errorf("%+v", p)
	}
}

// readAllRows is readAll for formats that join rows, where records and rows differ in number.
func readAllRows(t *testing.T, path string, name Format, o *Options) (all []Record, broken []*RowError) {
	t.Helper()
	r, err := Open(path, name, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.All() {
		var row *RowError
		if errors.As(err, &row) {
			broken = append(broken, row)
		} else if err != nil {
			t.Fatal(err)
		} else {
			all = append(all, rec)
		}
	}
	return all, broken
}

func TestGenAIBench(t *testing.T) {
	path := writeTemp(t, "a.json", `[
{"prompt":"p","left_model":"l","left_image":"a","right_model":"r","right_image":"b","vote_type":"leftvote"},
{"prompt":"p","left_model":"l","left_image":"a","right_model":"r","right_image":"b","vote_type":"rightvote"},
{"prompt":"p","left_model":"l","left_image":"a","right_model":"r","right_image":"b","vote_type":"tievote"},
{"prompt":"p","left_model":"l","left_image":"a","right_model":"r","right_image":"b","vote_type":"bothbad_vote"},
{"prompt":"p","left_model":"l","left_image":"a","right_model":"r","right_image":"b","vote_type":"share"},
{"prompt":"p","left_image":"a","vote_type":"leftvote"}]`)
	all, broken := readAll(t, path, "", nil)
	if !slices.Equal(labelsOf(all), []float64{1, 0, .5, .5}) || all[3].Attributes["vote_type"] != "bothbad_vote" || all[0].Images[1].Model != "r" {
		t.Errorf("%+v", all)
	}
	if got := columnsOf(broken); !slices.Equal(got, []string{"5 vote_type", "6 right_image"}) {
		t.Errorf("broken %v", got)
	}
	all, broken = readAll(t, golden("genai_bench.parquet"), "", nil)
	if !slices.Equal(labelsOf(all), []float64{1, 0, .5, .5}) || string(all[1].Images[1].Data) != "R1" || all[2].Images[0].Model != "l" {
		t.Errorf("parquet: %+v", all)
	}
	if got := columnsOf(broken); !slices.Equal(got, []string{"5 vote_type"}) {
		t.Errorf("parquet: broken %v", got)
	}
	path = writeTemp(t, "genai_image.json", `{"00000":{"id":"00000","prompt":"p","models":{"SDXL":[1,2,3],"DALLE_3":[5,5,4]}},"00001":{"id":"00001","prompt":"q","models":{"SDXL":[9]}}}`)
	all, broken = readAll(t, path, "", nil)
	if len(all) != 1 || len(broken) != 1 || broken[0].Column != "models.SDXL" {
		t.Fatalf("%+v, broken %v", all, broken)
	}
	if im := all[0].Images; im[0].Path != "DALLE_3/00000.jpeg" || im[1].Ratings["human"] != 2 || all[0].Rank != nil {
		t.Errorf("%+v", im)
	}
}

func TestMMRB2AndEvalMuse(t *testing.T) {
	path := writeTemp(t, "t2i.json", `{"version":{"x":[1]},"pairs":[
{"pair_id":7,"prompt_source":"s","prompt_content":[["text","a fox"],["image","in.png"]],"response_a":{"model":"m","response_content":[["text","here"],["image","a.png"]]},"response_b":{"model":"n","response_content":[["image","b.png"]]},"chosen":"B"},
{"pair_id":"8","prompt_content":[["text","a fox"]],"response_a":{"model":"m","response_content":[["image","a.png"],["image","c.png"]]},"response_b":{"model":"n","response_content":[["image","b.png"]]},"chosen":"A"},
{"pair_id":"9","prompt_content":[["text","a fox"]],"response_a":{"model":"m","response_content":[["image","a.png"]]},"response_b":{"model":"n","response_content":[["image","b.png"]]},"chosen":"tie"}]}`)
	all, broken := readAll(t, path, "", nil)
	if len(all) != 1 || all[0].ID != "7" || all[0].Label != 0 || all[0].Inputs[0].Path != "in.png" || all[0].Images[1].Model != "n" || all[0].Prompt != "a fox" {
		t.Errorf("%+v", all)
	}
	if got := columnsOf(broken); !slices.Equal(got, []string{"2 response_a", "3 chosen"}) {
		t.Errorf("broken %v", got)
	}
	path = writeTemp(t, "train_list.json", `[{"prompt_id":"3","prompt":"p","img_path":"a.jpg","total_score":3.5,"element_score":{"a cat (animal)":0.5,"x":null}},
{"prompt":"p","img_path":"a.jpg","total_score":0},{"prompt":"p","img_path":"b.jpg"},{"prompt":"p","img_path":""}]`)
	all, broken = readAll(t, path, "", nil)
	if len(all) != 2 || all[0].ID != "3" || all[0].Images[0].Ratings["total_score"] != 3.5 || len(all[0].Images[0].Ratings) != 2 || all[1].Images[0].Ratings != nil {
		t.Errorf("%+v", all)
	}
	if got := columnsOf(broken); !slices.Equal(got, []string{"2 total_score", "4 img_path"}) {
		t.Errorf("broken %v", got)
	}
}

func TestPartiPrompts(t *testing.T) {
	long := strings.Repeat("x", maxLine+10)
	path := writeTemp(t, "PartiPrompts.tsv", "\ufeffPrompt\tCategory\tChallenge\tNote\n\"Hello\", said the fox\tAnimals\tBasic\t\nthe word \"a\"\tArts\tBasic\n"+
		long+"\tArts\tBasic\t\n\tArts\tBasic\t\na\tb\tc\td\te\nlast\tArts\tBasic\tnote")
	all, broken := readAll(t, path, "", nil)
	var prompts []string
	for _, r := range all {
		prompts = append(prompts, r.Prompt)
	}
	if !slices.Equal(prompts, []string{`"Hello", said the fox`, `the word "a"`, "last"}) || all[2].Attributes["Note"] != "note" || all[0].Category != "Animals" {
		t.Errorf("%q", prompts)
	}
	if got := columnsOf(broken); !slices.Equal(got, []string{"4 ", "5 Prompt", "6 "}) {
		t.Errorf("broken %q", got)
	}
}

func TestGenEval(t *testing.T) {
	path := writeTemp(t, "m.jsonl", `{"tag": "position", "include": [{"class": "cat", "count": 1}, {"class": "dog", "count": 1, "position": ["left of", 0]}], "prompt": "a dog left of a cat"}
{"tag": "counting", "include": [{"class": "cat", "count": 2}], "exclude": [{"class": "cat", "count": 3}], "prompt": "two cats"}
{"tag": "colors", "include": [{"class": "cat", "count": 1, "color": "red"}], "prompt": "a red cat"}
{"tag": "single_object", "include": [{"class": "cat", "count": 1}], "prompt": "a cat"}
{"tag": "two_object", "include": [{"class": "cat", "count": 1}, {"class": "dog", "count": 1}], "prompt": "a cat and a dog"}
{"tag": "color_attr", "include": [{"class": "cat", "count": 1, "color": "red"}, {"class": "dog", "count": 1, "color": "blue"}], "prompt": "both"}
{"tag": "position", "include": [{"class": "dog", "count": 1, "position": ["left of", 4]}], "prompt": "p"}
{"tag": "other", "include": [{"class": "dog", "count": 1}], "prompt": "p"}
{"tag": "colors", "include": [{"class": "dog", "count": "1"}], "prompt": "p"}
{"tag": "colors", "include": [], "prompt": "p"}
{"tag":
`)
	all, broken := readAll(t, path, "", nil)
	if len(all) != 6 {
		t.Fatalf("%d records, broken %v", len(all), broken)
	}
	if p := all[0].Spec.Include[1].Position; p.Relation != "left of" || p.Target != 0 {
		t.Errorf("%+v", p)
	}
	if all[1].Spec.Exclude[0] != (Object{Class: "cat", Count: 3}) || all[2].Spec.Include[0].Color != "red" || all[5].Category != "color_attr" {
		t.Errorf("%+v", all)
	}
	if got := columnsOf(broken); !slices.Equal(got, []string{"7 include", "8 tag", "9 include.count", "10 include", "11 "}) {
		t.Errorf("broken %q", got)
	}
}

// TestOfficialPrompts counts the public prompt sets, where they are at hand.
func TestOfficialPrompts(t *testing.T) {
	for path, want := range map[string]struct {
		format   Format
		rows     int
		category string
		of       int
	}{
		"partiprompts/PartiPrompts.tsv":      {"partiprompts", 1632, "Animals", 314},
		"geneval/evaluation_metadata.jsonl":  {"geneval", 553, "position", 100},
		"imagereward/benchmark-prompts.json": {"prompts", 100, "", 100},
	} {
		path = filepath.Join(sharedData, filepath.FromSlash(path))
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			t.Log("the public file is not at hand: " + path)
			continue
		}
		if f, err := Detect(path); err != nil || f != want.format {
			t.Errorf("%s: format %q, %v", path, f, err)
		}
		all, broken := readAll(t, path, "", nil)
		n := 0
		for _, r := range all {
			if r.Category == want.category {
				n++
			}
		}
		if len(all) != want.rows || len(broken) != 0 || n != want.of {
			t.Errorf("%s: %d rows, %d %s, broken %v", path, len(all), n, want.category, broken)
		}
	}
}

func TestDPGBench(t *testing.T) {
	dir := t.TempDir()
	csv := "\ufeffitem_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,question_natural_language\n" +
		"the item,the prompt,k,number,parents,broad,detail,t,q\n" +
		"a,\"a fox, asleep\",,1,0,entity,whole,entity - whole (fox),Is there a fox?\n" +
		"a,\"a fox, asleep\",,2,1.0,attribute,state,\"attribute - state (fox, asleep)\",Is it asleep?\n" +
		"b,an owl,,1,0,entity,whole,t,Is there an owl?\n" +
		"b,an owl,,x,0,entity,whole,t,Is there?\n" +
		"b,an owl,,3,\"1, two\",entity,whole,t,Is there?\n" +
		"b,an owl\n" +
		"b,an owl,,4,\"1,3\",entity,whole,t,Last?\n"
	for name, text := range map[string]string{"dpg_bench.csv": csv, "prompts/b.txt": "an owl\n", "prompts/a.txt": "a fox, asleep", "prompts/c.txt": " \n"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{filepath.Join(dir, "dpg_bench.csv"), dir} {
		all, broken := readAllRows(t, path, "", nil)
		if len(all) != 2 || len(all[0].Questions) != 2 || len(all[1].Questions) != 2 || all[0].ID != "a" || all[0].Prompt != "a fox, asleep" {
			t.Fatalf("%s: %+v, broken %v", path, all, broken)
		}
		if q := all[0].Questions[1]; q.ID != 2 || !slices.Equal(q.Parents, []int{1}) || q.Tuple != "attribute - state (fox, asleep)" || q.Text != "Is it asleep?" {
			t.Errorf("%+v", q)
		}
		want := []string{"6 proposition_id", "7 dependency", "8 "}
		if path == dir {
			want = append(want, "1 ")
		}
		if got := columnsOf(broken); !slices.Equal(got, want) {
			t.Errorf("%s: broken %q, %v", path, got, broken)
		}
	}
}

func TestDrawBenchCSVAndPromptLists(t *testing.T) {
	for name, tc := range map[string]struct {
		content string
		format  Format
		prompts []string
		broken  []string
	}{
		"d.csv":    {"Prompts,Category\n\"A red, \"\"round\"\" car\",Colors\n,Colors\n", "drawbench", []string{`A red, "round" car`}, []string{"3 Prompts"}},
		"a.json":   {`["a fox", "", "an owl", 3]`, "prompts", []string{"a fox", "an owl"}, []string{"2 prompt", "4 "}},
		"b.json":   {`[{"id":"1-1","prompt":"a fox"}]`, "prompts", []string{"a fox"}, nil},
		"c.txt":    {"a fox\n\nan owl", "prompts", []string{"a fox", "an owl"}, nil},
		"p.csv":    {"id,prompt\n1,a fox\n2\n3,\"an \"owl\n4,a cat\n", "csv", []string{"a fox", "a cat"}, []string{"3 ", "4 "}},
		"e.jsonl":  {"\"a fox\"\n{\"caption\":\"an owl\"}\n\n[1]\n", "jsonl", []string{"a fox", "an owl"}, []string{"4 "}},
		"f.ndjson": {"{\"text\":\"a fox\"}\n", "jsonl", []string{"a fox"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeTemp(t, name, tc.content)
			if f, err := Detect(path); err != nil || f != tc.format {
				t.Errorf("format %q, %v", f, err)
			}
			all, broken := readAll(t, path, "", nil)
			var prompts []string
			for _, r := range all {
				prompts = append(prompts, r.Prompt)
			}
			if !slices.Equal(prompts, tc.prompts) || !slices.Equal(columnsOf(broken), tc.broken) {
				t.Errorf("%q, broken %v", prompts, broken)
			}
		})
	}
}
