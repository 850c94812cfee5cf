package tokenizer

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

const golden = "../../tests/golden/tokenizer"

// goldenDirs are the committed goldens, and those of the full CLIP vocabulary
// where the variable names the folder that the oracle wrote.
func goldenDirs() []string {
	dirs := []string{golden}
	if extra := os.Getenv("WINNOW_TOKENIZER_GOLDEN"); extra != "" {
		dirs = append(dirs, extra)
	}
	return dirs
}

func open(t testing.TB, dir string) *CLIP {
	t.Helper()
	c, err := Open(os.DirFS(dir), dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type goldenFile struct {
	Encode []struct {
		text string
		ids  []int
	}
	Padded []struct {
		text      string
		ids, mask []int64
	}
}

// readGolden decodes rows written as [text, ids] and [text, ids, mask].
func readGolden(t *testing.T, path string) goldenFile {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var raw struct{ Encode, Padded [][]json.RawMessage }
	if err := json.Unmarshal(data, &raw); err != nil {
		t.Fatal(err)
	}
	var g goldenFile
	g.Encode = slices.Grow(g.Encode, len(raw.Encode))[:len(raw.Encode)]
	g.Padded = slices.Grow(g.Padded, len(raw.Padded))[:len(raw.Padded)]
	for i, r := range raw.Encode {
		decode(t, r, &g.Encode[i].text, &g.Encode[i].ids)
	}
	for i, r := range raw.Padded {
		decode(t, r, &g.Padded[i].text, &g.Padded[i].ids, &g.Padded[i].mask)
	}
	if len(g.Encode) < 500 || len(g.Padded) < 30 {
		t.Fatalf("%s holds only %d and %d rows", path, len(g.Encode), len(g.Padded))
	}
	return g
}

func decode(t *testing.T, row []json.RawMessage, to ...any) {
	t.Helper()
	for i := range to {
		if err := json.Unmarshal(row[i], to[i]); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCLIP_Encode_agreesWithTransformers(t *testing.T) {
	for _, dir := range goldenDirs() {
		for _, c := range []struct{ folder, golden string }{{"plain", "plain"}, {"single", "plain"}, {"added", "added"}} {
			t.Run(filepath.Base(dir)+"/"+c.folder, func(t *testing.T) {
				tok := open(t, filepath.Join(dir, c.folder))
				g := readGolden(t, filepath.Join(dir, c.golden, "golden.json"))
				for _, row := range g.Encode {
					if got := tok.Encode(row.text); !slices.Equal(got, row.ids) {
						t.Errorf("%+q:\n got %v\nwant %v", row.text, got, row.ids)
					}
				}
				for _, row := range g.Padded {
					ids, mask, _ := tok.EncodePadded(row.text, 24)
					if !slices.Equal(ids, row.ids) || !slices.Equal(mask, row.mask) {
						t.Errorf("padded %+q:\n got %v %v\nwant %v %v", row.text, ids, mask, row.ids, row.mask)
					}
				}
			})
		}
	}
}

func TestCLIP_EncodePadded_returnsWhatDoesNotFit(t *testing.T) {
	tok := open(t, filepath.Join(golden, "plain"))
	if got := tok.MaxLength(); got != 24 {
		t.Fatalf("MaxLength = %d, want 24 from tokenizer_config.json", got)
	}
	fits := strings.Repeat("cat ", 22)
	ids, mask, dropped := tok.EncodePadded(fits, 0)
	if dropped != "" || len(ids) != 24 || mask[23] != 1 || ids[23] != int64(tok.EOS()) {
		t.Errorf("22 words into 24: dropped %q, ids %v", dropped, ids)
	}
	_, _, dropped = tok.EncodePadded(fits+"a RED   circle, it's 4k", 0)
	if want := "a red circle , it 's 4 k"; dropped != want {
		t.Errorf("dropped %q, want %q", dropped, want)
	}
	if n := tok.Tokens(fits); n != 24 {
		t.Errorf("Tokens = %d, want 24", n)
	}
}

func TestCLIP_specialIDs(t *testing.T) {
	plain, added := open(t, filepath.Join(golden, "plain")), open(t, filepath.Join(golden, "added"))
	if plain.Pad() != plain.EOS() || plain.BOS() != plain.EOS()-1 {
		t.Errorf("plain: bos %d eos %d pad %d", plain.BOS(), plain.EOS(), plain.Pad())
	}
	if added.Pad() != 0 || added.MaxLength() != DefaultMaxLength || added.VocabSize() != plain.VocabSize()+3 {
		t.Errorf("added: pad %d, length %d, %d tokens", added.Pad(), added.MaxLength(), added.VocabSize())
	}
}

// Decoding joins words by one space, so encoding the decoded text again must
// give the same ids for words of letters.
func TestCLIP_Decode_roundTrip(t *testing.T) {
	tok := open(t, filepath.Join(golden, "plain"))
	for _, text := range []string{"a red circle above a blue square", "naïve café", "красный круг 猫 猫", "zzxqj"} {
		ids := tok.Encode(text)
		if got := tok.Decode(ids); got != text {
			t.Errorf("Decode(Encode(%q)) = %q", text, got)
		}
	}
	if got := tok.Decode([]int{1 << 30, -1}); got != "" {
		t.Errorf("unknown ids decode to %q", got)
	}
}

// A long word must not cost its square: 1 MiB of letters takes well under a
// second, and a quadratic merge loop would take hours.
func TestCLIP_Encode_longWordIsFast(t *testing.T) {
	tok := open(t, filepath.Join(golden, "plain"))
	start := time.Now()
	if n := len(tok.Encode(strings.Repeat("abcde", 200_000))); n < 100_000 {
		t.Errorf("%d tokens", n)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

func files(vocab, merges string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range map[string]string{"vocab.json": vocab, "merges.txt": merges} {
		if text != "" {
			m[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return m
}

const tinyVocab = `{"a":0,"b":1,"a</w>":2,"b</w>":3,"ab</w>":4,"<|startoftext|>":5,"<|endoftext|>":6}`

func TestOpen_malformedFilesAreNamed(t *testing.T) {
	with := func(name, text string) fstest.MapFS {
		m := files(tinyVocab, "a b</w>\n")
		m[name] = &fstest.MapFile{Data: []byte(text)}
		return m
	}
	single := func(text string) fstest.MapFS {
		return fstest.MapFS{"tokenizer.json": {Data: []byte(text)}}
	}
	for name, c := range map[string]struct {
		fs   fs.FS
		want string
	}{
		"nothing there":         {fstest.MapFS{}, "T: holds neither vocab.json"},
		"no merges":             {files(tinyVocab, ""), "T/merges.txt: cannot be opened"},
		"cut vocabulary":        {files("{\n\"a\":0,\n", "a b"), "T/vocab.json:3: is not the JSON expected"},
		"vocabulary is a list":  {files("[1]", "a b"), "T/vocab.json:1: is not the JSON expected"},
		"vocabulary is empty":   {files("{}", "a b"), "T/vocab.json: holds no tokens"},
		"id is negative":        {files(`{"a":-1}`, "a b"), `T/vocab.json: token "a" has id -1`},
		"id is huge":            {files(`{"a":4294967296}`, "a b"), `outside 0 to`},
		"id twice":              {files(`{"a":1,"b":1}`, "a b"), `T/vocab.json: tokens "a" and "b" share id 1`},
		"no end token":          {files(`{"a":1,"<|startoftext|>":2}`, "#version"), `T/vocab.json: eos_token "<|endoftext|>" is not in the vocabulary`},
		"merge of one symbol":   {files(tinyVocab, "#version: 0.2\na b</w>\nab\n"), `T/merges.txt:3: want two symbols`},
		"merge of three":        {files(tinyVocab, "a b a\n"), `T/merges.txt:1: want two symbols`},
		"merge of unknown":      {files(tinyVocab, "a b</w>\nb b</w>\n"), `T/merges.txt:2: merge of "b" and "b</w>"`},
		"merge line of a mile":  {files(tinyVocab, "a b</w>\n"+strings.Repeat("x", 9000)), `T/merges.txt:2: line longer`},
		"config is cut":         {with("tokenizer_config.json", `{"bos`), "T/tokenizer_config.json:1: is not the JSON"},
		"config names unknown":  {with("tokenizer_config.json", `{"pad_token":{"content":"[PAD]"}}`), `pad_token "[PAD]" is not in`},
		"role is a number":      {with("special_tokens_map.json", `{"pad_token":3}`), "T/special_tokens_map.json"},
		"added key not an id":   {with("tokenizer_config.json", `{"added_tokens_decoder":{"x":{"content":"y"}}}`), `key "x" is not an id`},
		"added takes an id":     {with("added_tokens.json", `{"<new>":3}`), `takes id 3, which belongs to "b</w>"`},
		"added changes an id":   {with("added_tokens.json", `{"ab</w>":9}`), `has id 9, but the vocabulary gives it 4`},
		"added id negative":     {with("added_tokens.json", `{"x":-4}`), `added token "x" with id -4`},
		"single: other model":   {single(`{"model":{"type":"Unigram"}}`), "T/tokenizer.json: holds a Unigram model"},
		"single: no suffix":     {single(`{"model":{"type":"BPE","vocab":{"a":0}}}`), `a CLIP tokenizer is BPE with "</w>"`},
		"single: three symbols": {single(`{"model":{"type":"BPE","end_of_word_suffix":"</w>","merges":[["a","b","c"]]}}`), "a merge of 3 symbols"},
		"single: no vocabulary": {single(`{"model":{"type":"BPE","end_of_word_suffix":"</w>"}}`), "T/tokenizer.json: holds no tokens"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(c.fs, "T")
			var fe *FileError
			if !errors.As(err, &fe) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want a *FileError with %q", err, c.want)
			}
		})
	}
}

func TestLoadCLIP(t *testing.T) {
	tok, err := LoadCLIP(strings.NewReader(tinyVocab), strings.NewReader("a b</w>"), nil)
	if err != nil {
		t.Fatal(err)
	}
	// c is outside this vocabulary and becomes the unknown token, as each of its bytes.
	if got, want := tok.Encode("AB ba c"), []int{4, 1, 2, 6}; !slices.Equal(got, want) {
		t.Errorf("ids %v, want %v", got, want)
	}
	if ids, mask, dropped := tok.EncodePadded("a b", 1); len(ids) != 1 || mask[0] != 1 || dropped != "a b" {
		t.Errorf("length 1: ids %v, mask %v, dropped %q", ids, mask, dropped)
	}
}
