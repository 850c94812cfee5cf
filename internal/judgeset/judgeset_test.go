package judgeset

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"winnow/datasets"
	"winnow/vlmjudge"
)

func TestNormal(t *testing.T) {
	for text, want := range map[string]string{
		"A Red  Fox.": "a red fox", " \"a red fox\" ": "a red fox", "a red fox": "a red fox", "Ａ red fox!": "a red fox", "a red, fox": "a red, fox", "...": "", "ﬁg": "fig",
		"E\u0301te\u0301": "été",
	} {
		if got := Normal(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Parts depend on nothing but prompt and seed, have about the size that was asked for, and are independent of each other and of a split of
// the file by the same seed.
func TestSelection(t *testing.T) {
	s := Selection{Share: .25, Validation: .2, Seed: 7}
	s.Exclude("Prompt 3.")
	var n [4]int
	inSplit, taken := 0, 0
	for i := range 20000 {
		prompt := fmt.Sprintf("prompt %d", i)
		part := s.Of(prompt)
		if part != s.Of("  "+strings.ToUpper(prompt)+"!") {
			t.Fatalf("%s: another form goes elsewhere", prompt)
		}
		n[part]++
		if part == Train || part == Validation {
			taken++
			if datasets.InValidation(prompt, 7, .5) {
				inSplit++
			}
		}
	}
	near := func(what string, got int, of, want float64) {
		if sd := math.Sqrt(of * want * (1 - want)); math.Abs(float64(got)-of*want) > 4*sd {
			t.Errorf("%s: %d of %v, want a part of %v", what, got, of, want)
		}
	}
	near("taken", taken, 20000, .25)
	near("validation", n[Validation], float64(taken), .2)
	near("of a split by the same seed", inSplit, float64(taken), .5)
	if n[Leaked] != 1 {
		t.Errorf("%d prompts are excluded", n[Leaked])
	}
	other := Selection{Share: .25, Seed: 8}
	differ := 0
	for i := range 1000 {
		prompt := fmt.Sprintf("prompt %d", i)
		if (s.Of(prompt) == Beyond) != (other.Of(prompt) == Beyond) {
			differ++
		}
	}
	near("differ by the seed", differ, 1000, 2*.25*.75)
}

// group is three ranked pictures with two annotators.
func group() datasets.Record {
	r := datasets.Record{Kind: datasets.KindGroup, Prompt: "a red fox <image>", Rank: []float64{2, 1, 2}, Label: math.NaN(), Soft: math.NaN()}
	for i := range 3 {
		r.Images = append(r.Images, datasets.Image{UID: fmt.Sprint("u", i), Data: []byte{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', byte(i)}})
	}
	r.Votes = []datasets.Vote{{Rank: []float64{1, 2, 3}}, {Rank: []float64{3, 1, 3}}}
	return r
}

func TestQuestions_pairs(t *testing.T) {
	r := group()
	var c Counts
	both := Asking{Question: vlmjudge.QuestionReason, BothOrder: true}
	got, err := both.questions(&r, &c)
	if err != nil || len(got) != 4 || c.Ties != 1 {
		t.Fatalf("%d questions, %+v, %v", len(got), c, err)
	}
	// Of 0 and 1 one annotator prefers each; of 1 and 2 both prefer 1.
	for i, want := range []struct {
		places []int
		share  float64
		answer string
		turned bool
	}{{[]int{0, 1}, .5, "2", false}, {[]int{1, 0}, .5, "1", true}, {[]int{1, 2}, 1, "1", false}, {[]int{2, 1}, 0, "2", true}} {
		q := got[i]
		if !slices.Equal(q.places, want.places) || *q.truth.Share != want.share || q.answer != want.answer || q.turned != want.turned || q.images[0].UID != fmt.Sprint("u", want.places[0]) {
			t.Errorf("question %d: %+v, share %v", i, q, *q.truth.Share)
		}
	}
	both.KeepTies, both.Question = true, vlmjudge.QuestionProbability
	if got, err = both.questions(&r, &Counts{}); err != nil || len(got) != 6 || got[2].answer != "0.75" || got[3].answer != "0.25" {
		t.Errorf("with ties: %+v, %v", got, err)
	}
	r.Rank[0] = math.NaN()
	if _, err = both.questions(&r, &c); err != nil || c.Unlabeled != 2 {
		t.Errorf("%+v, %v", c, err)
	}
	r.Images[2].Data = nil
	if _, err = both.questions(&r, &c); err == nil || !strings.Contains(err.Error(), "picture 3") {
		t.Errorf("a picture that is not there: %v", err)
	}
}

// One order of each pair, about half of them turned, and the same ones again.
func TestQuestions_oneOrder(t *testing.T) {
	one := Asking{Question: vlmjudge.QuestionReason}
	turned := 0
	for i := range 1000 {
		r := group()
		r.Kind, r.Images, r.Rank, r.Votes, r.Label, r.Soft = datasets.KindPair, r.Images[:2], nil, nil, 1, .8
		r.Prompt = fmt.Sprint("prompt ", i)
		a, err := one.questions(&r, &Counts{})
		if err != nil || len(a) != 1 {
			t.Fatalf("%+v, %v", a, err)
		}
		b, _ := one.questions(&r, &Counts{})
		want, answer := .8, "1"
		if a[0].turned {
			turned++
			want, answer = 1-.8, "2"
		}
		if a[0].turned != b[0].turned || *a[0].truth.Share != want || a[0].answer != answer {
			t.Fatalf("%+v", a[0])
		}
	}
	if turned < 440 || turned > 560 {
		t.Errorf("%d of 1000 are turned", turned)
	}
}

func TestQuestions_list(t *testing.T) {
	r := group()
	list := Asking{Question: vlmjudge.QuestionList, BothOrder: true}
	got, err := list.questions(&r, &Counts{})
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, q := range got {
		best := byte('A' + slices.Index(q.places, 1))
		if q.answer[0] != best || len(q.answer) != 5 || q.answer[1] != '>' || q.answer[3] != '=' {
			t.Errorf("places %v: %s", q.places, q.answer)
		}
		for k, i := range q.places {
			if *q.truth.Ranks[k] != r.Rank[i] {
				t.Errorf("places %v, ranks of the record %v: %v", q.places, r.Rank, *q.truth.Ranks[k])
			}
		}
		// The right answer has the whole reward.
		g, err := vlmjudge.DefaultGrader.Grade("<think>x</think><answer>"+q.answer+"</answer>", q.truth, math.NaN())
		if err != nil || math.Abs(g.Reward-1.1) > 1e-12 {
			t.Errorf("%+v, %v", g, err)
		}
	}
	back := slices.Clone(got[0].places)
	slices.Reverse(back)
	if !slices.Equal(back, got[1].places) {
		t.Errorf("%v is not the reverse of %v", got[1].places, got[0].places)
	}
	var c Counts
	r.Rank = []float64{1, 1, 1}
	if got, err := list.questions(&r, &c); err != nil || len(got) != 0 || c.Ties != 1 {
		t.Errorf("%+v, %+v, %v", got, c, err)
	}
	r.Rank = []float64{math.NaN(), 1, math.NaN()}
	if got, err := list.questions(&r, &c); err != nil || len(got) != 0 || c.Unlabeled != 1 {
		t.Errorf("%+v, %+v, %v", got, c, err)
	}
}

func set(layout, task, question string, files ...string) Set {
	return Set{Layout: layout, Task: task, Asking: Asking{Question: question, BothOrder: true}, Files: files}
}

func TestWrite_jsonl(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ layout, task, question, want string }{
		{TRL, GRPO, vlmjudge.QuestionReason, `{"type":"image"},{"type":"text","text":"Image 2:"}`},
		{TRL, SFT, vlmjudge.QuestionDirect, `"completion":[{"role":"assistant","content":[{"type":"text","text":"2"}]}]`},
		{Verl, GRPO, vlmjudge.QuestionList, `"reward_model":{"style":"rule","ground_truth":"{\"ranks\":[`},
		{Verl, SFT, vlmjudge.QuestionDirect, `{"role":"assistant","content":"2"}`},
		{LLaMAFactory, SFT, vlmjudge.QuestionDirect, `Image 1:\n<image>\nImage 2:\n<image>\n`},
	} {
		file := filepath.Join(dir, c.layout+c.task+".jsonl")
		s := set(c.layout, c.task, c.question, file)
		write := func() {
			err := s.Write(func(w *Writer) error { r := group(); return w.Write(&r, Train) })
			if err != nil {
				t.Fatal(err)
			}
		}
		write()
		first, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write()
		again, _ := os.ReadFile(file)
		if !bytes.Equal(first, again) {
			t.Errorf("%s %s: another run writes another file", c.layout, c.task)
		}
		if !bytes.Contains(first, []byte(c.want)) || !bytes.Contains(first, []byte("< image>")) {
			t.Errorf("%s %s: no %s in %s", c.layout, c.task, c.want, first)
		}
		for line := bufio.NewScanner(bytes.NewReader(first)); line.Scan(); {
			var row struct{ Images []any }
			if err := json.Unmarshal(line.Bytes(), &row); err != nil || len(row.Images) < 2 {
				t.Fatalf("%v: %s", err, line.Text())
			}
			path, ok := row.Images[0].(string)
			if !ok {
				path = row.Images[0].(map[string]any)["image"].(string)
			}
			if _, err := os.Stat(path); err != nil || !filepath.IsAbs(path) || filepath.Ext(path) != ".png" {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// readRows reads a parquet file back, and what it says to Hugging Face's datasets.
func readRows[T any](t *testing.T, file string) ([]T, string) {
	t.Helper()
	rows, err := parquet.ReadFile[T](file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, _ := f.Stat()
	p, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	about, _ := p.Lookup("huggingface")
	// What may be absent: column, member, and its bytes; and the list may be empty. Else datasets takes the pictures for plain bytes.
	if at, ok := p.Schema().Lookup("images", "list", "element", "bytes"); !ok || at.MaxDefinitionLevel != 4 {
		t.Errorf("%s: the pictures stand at level %d (%v) of the column, want 4", file, at.MaxDefinitionLevel, ok)
	}
	return rows, about
}

func TestWrite_parquet(t *testing.T) {
	dir := t.TempDir()
	train, val := filepath.Join(dir, "train.parquet"), filepath.Join(dir, "val.parquet")
	s := set(Verl, GRPO, vlmjudge.QuestionReason, train, val)
	err := s.Write(func(w *Writer) error {
		r := group()
		if err := w.Write(&r, Train); err != nil {
			return err
		}
		return w.Write(&r, Validation)
	})
	if err != nil || s.Counts.Questions != [2]int{4, 4} {
		t.Fatalf("%+v, %v", s.Counts, err)
	}
	rows, info := readRows[verlRow](t, val)
	if len(rows) != 4 || rows[3].ExtraInfo.Index != 3 || rows[3].ExtraInfo.Split != "validation" || rows[1].RewardModel.GroundTruth != `{"share":0.5}` {
		t.Errorf("%+v", rows)
	}
	if r := group(); !bytes.Equal(rows[1].Images[0].Bytes, r.Images[1].Data) || strings.Count(rows[1].Prompt[1].Content, "<image>") != 2 {
		t.Errorf("%+v", rows[1])
	}
	if !strings.Contains(info, `"images":[{"_type":"Image"}]`) || !strings.Contains(info, `"ground_truth":{"_type":"Value","dtype":"string"}`) {
		t.Errorf("%s", info)
	}
	if _, err := os.Stat(filepath.Join(dir, "train.pictures")); err == nil {
		t.Error("pictures were written beside a file that holds them")
	}
	s = set(TRL, GRPO, vlmjudge.QuestionReason, train)
	if err := s.Write(func(w *Writer) error { r := group(); return w.Write(&r, Train) }); err != nil {
		t.Fatal(err)
	}
	trl, info := readRows[trlRow](t, train)
	if len(trl) != 4 || len(trl[0].Prompt) != 2 || trl[0].Prompt[1].Content[2].Type != "image" || trl[0].Prompt[1].Content[2].Text != nil || trl[0].PromptID == "" {
		t.Errorf("%+v", trl)
	}
	if !strings.Contains(info, `"turned":{"_type":"Value","dtype":"bool"}`) {
		t.Errorf("%s", info)
	}
}

// A run that fails leaves nothing, and what was there stays.
func TestWrite_fails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.jsonl")
	s := set(TRL, GRPO, vlmjudge.QuestionReason, file, filepath.Join(dir, "b.jsonl"))
	err := s.Write(func(w *Writer) error {
		r := group()
		if err := w.Write(&r, Validation); err != nil {
			return err
		}
		return os.ErrClosed
	})
	if left, _ := os.ReadDir(dir); err == nil || len(left) != 0 {
		t.Errorf("%v: %v are left", err, left)
	}
	for _, bad := range []Set{
		set(TRL, GRPO, vlmjudge.QuestionReason, "a.csv"), set(LLaMAFactory, GRPO, vlmjudge.QuestionReason, file), set(TRL, SFT, vlmjudge.QuestionReason, file),
		{Layout: TRL, Task: SFT, Asking: Asking{Question: vlmjudge.QuestionDirect, KeepTies: true}, Files: []string{file}},
	} {
		if err := bad.Write(func(*Writer) error { return nil }); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}
