package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// clipRows is what tests/oracle/clip_rows.py writes: ids under OpenAI's vocabulary, of which it holds the part needed.
type clipRows struct {
	Truncated []int64
	Vocab     map[string]int
	Merges    []string
	Rows      []struct {
		Text     string
		Bare     []int // OpenAI's code without ftfy
		OpenCLIP []int `json:"open_clip"`
		HF       []int
	}
}

func readCLIPRows(t *testing.T) clipRows {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(golden, "clip_rows.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g clipRows
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Rows) < 35 || len(g.Vocab) < 900 {
		t.Fatalf("only %d rows, %d tokens", len(g.Rows), len(g.Vocab))
	}
	return g
}

// load makes the tokenizer of the rows; bos and eos are what its special tokens are called.
func (g clipRows) load(t *testing.T, bos, eos string) *CLIP {
	t.Helper()
	vocab := map[string]int{}
	for token, id := range g.Vocab {
		vocab[token] = id
	}
	delete(vocab, "<|startoftext|>")
	delete(vocab, "<|endoftext|>")
	vocab[bos], vocab[eos] = 49406, 49407
	text, err := json.Marshal(vocab)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := LoadCLIP(strings.NewReader(string(text)), strings.NewReader(strings.Join(g.Merges, "\n")), &Options{BOS: bos, EOS: eos})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// openAIRows are published ids. Where transformers differs (it resolves no entity, follows no final sigma and leaves
// quotation marks as they are) hf holds its own.
var openAIRows = []struct {
	text       string
	openai, hf []int
}{
	{"a photo of a cat", []int{320, 1125, 539, 320, 2368}, nil},
	{"A cat with two horns on its head", []int{320, 2368, 593, 1237, 22109, 525, 902, 1375}, nil},
	{"Hello,   World!", []int{3306, 267, 1002, 256}, nil},
	{"it's 2024: 1,000 dogs & cats", []int{585, 568, 273, 271, 273, 275, 281, 272, 267, 271, 271, 271, 3255, 261, 3989}, nil},
	{"&amp;lt;b&gt;", []int{283, 321, 285}, []int{261, 6259, 282, 3333, 282, 321, 261, 4725, 282}},
	{"naïve café ☕ 猫 中文", []int{1097, 35689, 563, 15304, 26561, 163, 234, 360, 19759, 255, 29032, 485}, nil},
	{"don't DON'T we'LL", []int{847, 713, 847, 713, 649, 1342}, nil},
	{"foo_bar-baz/qux", []int{23435, 318, 2411, 268, 25268, 270, 666, 343}, nil},
	{"İstanbul ΣΑΣ", []int{328, 16384, 11231, 139, 225, 138, 109, 139, 480}, []int{328, 16384, 11231, 139, 225, 138, 109, 139, 481}},
	{"\u00a0x\u3000y", []int{343, 344}, nil},
	{"x²½Ⅷ 12", []int{343, 41175, 33613, 158, 227, 371, 272, 273}, nil},
	{"<|startoftext|> x", []int{49406, 343}, nil},
	{"", []int{}, nil},
	{"!!!", []int{995}, nil},
	{
		"a painting of an ocean with clouds and birds, day time, low depth field effect",
		[]int{320, 3086, 539, 550, 4918, 593, 6244, 537, 4337, 267, 575, 788, 267, 1042, 10350, 1570, 5436},
		nil,
	},
	{"ﬁne ① ｆｕｌｌ", nil, []int{171, 105, 223, 1422, 158, 239, 510, 171, 121, 228, 171, 121, 243, 171, 121, 234, 171, 121, 490}},
	{"e\u0301clair", nil, []int{3459, 14039}},
	{"it’s", nil, []int{585, 728, 503, 338}},
	{"“hi”", nil, []int{728, 506, 1883, 728, 507}},
}

func TestCLIP_Encode_publishedRows(t *testing.T) {
	g := readCLIPRows(t)
	hf := g.load(t, "<|startoftext|>", "<|endoftext|>")
	for _, c := range openAIRows {
		want := c.hf
		if want == nil {
			want = c.openai
		}
		if got := hf.Encode(c.text); !slices.Equal(got, want) {
			t.Errorf("%+q:\n got %v\nwant %v", c.text, got, want)
		}
		// OpenAI's column is code without ftfy, which changes none of these texts; the cleaning is open_clip's.
		if c.openai != nil {
			if got := hf.Encode(CleanOpenCLIP(c.text)); !slices.Equal(got, c.openai) {
				t.Errorf("cleaned %+q:\n got %v\nwant %v", c.text, got, c.openai)
			}
		}
	}
	if got := hf.Encode(CleanOpenCLIP("it’s")); !slices.Equal(got, []int{585, 568}) {
		t.Errorf("a curly quote under ftfy: %v", got)
	}
	ids, mask, dropped := hf.EncodePadded("a b c d e f g h i j k l", 8)
	want := []int64{49406, 320, 321, 322, 323, 324, 325, 49407}
	if !slices.Equal(ids, want) || !slices.Equal(want, g.Truncated) || slices.Contains(mask, 0) || dropped != "g h i j k l" {
		t.Errorf("truncated: %v, dropped %q, oracle %v", ids, dropped, g.Truncated)
	}
}

func TestCLIP_Encode_rowsOfTheOracle(t *testing.T) {
	g := readCLIPRows(t)
	hf, openCLIP := g.load(t, "<|startoftext|>", "<|endoftext|>"), g.load(t, "<start_of_text>", "<end_of_text>")
	for _, row := range g.Rows {
		if got := hf.Encode(row.Text); !slices.Equal(got, row.HF) {
			t.Errorf("transformers, %+q:\n got %v\nwant %v", row.Text, got, row.HF)
		}
		if got := openCLIP.Encode(CleanOpenCLIP(row.Text)); !slices.Equal(got, row.OpenCLIP) {
			t.Errorf("open_clip, %+q:\n got %v\nwant %v", row.Text, got, row.OpenCLIP)
		}
	}
}
