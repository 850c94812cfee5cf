package tokenizer

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"

	"google.golang.org/protobuf/encoding/protowire"
)

// unigramGolden is what tests/oracle/unigram_tokenizer.py writes.
type unigramGolden struct {
	Extra        string
	Library      [][]json.RawMessage // text, ids
	Siglip       [][]int             // ids of the same texts
	Bytes        [][]int
	T5Differs    []int               `json:"t5_differs"`
	SiglipPadded [][]json.RawMessage `json:"siglip_padded"`
	T5Padded     [][]json.RawMessage `json:"t5_padded"`
}

func unzip(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join(golden, "unigram", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readUnigram(t testing.TB) (g unigramGolden, texts []string, library [][]int) {
	t.Helper()
	if err := json.Unmarshal(unzip(t, "golden.json.gz"), &g); err != nil {
		t.Fatal(err)
	}
	texts, library = make([]string, len(g.Library)), make([][]int, len(g.Library))
	for i, row := range g.Library {
		if err := errors.Join(json.Unmarshal(row[0], &texts[i]), json.Unmarshal(row[1], &library[i])); err != nil {
			t.Fatal(err)
		}
	}
	if len(texts) < 5000 || len(g.Siglip) != len(texts) || len(g.Bytes) < 1500 || len(g.T5Padded) < 30 || len(g.SiglipPadded) < 30 {
		t.Fatalf("only %d, %d, %d, %d and %d rows", len(texts), len(g.Siglip), len(g.Bytes), len(g.T5Padded), len(g.SiglipPadded))
	}
	return g, texts, library
}

// extraScore is the score of a character that the oracle adds to the vocabulary.
func extraScore(r rune) float32 { return -6 - float32(int(r)*7919%1024)/128 }

// protoFolder is the vocabulary as spiece.model; a message grows by being written on.
func protoFolder(t testing.TB, extra string) fstest.MapFS {
	t.Helper()
	data := unzip(t, "spiece.model.gz")
	for _, r := range extra {
		data = append(data, protoPiece(string(r), extraScore(r), 1)...)
	}
	return fstest.MapFS{"spiece.model": {Data: data}}
}

func protoPiece(text string, score float32, kind uint64) []byte {
	p := protowire.AppendTag(nil, 1, protowire.BytesType)
	p = protowire.AppendString(p, text)
	p = protowire.AppendTag(p, 2, protowire.Fixed32Type)
	p = protowire.AppendFixed32(p, math.Float32bits(score))
	p = protowire.AppendTag(p, 3, protowire.VarintType)
	p = protowire.AppendVarint(p, kind)
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), p)
}

// jsonFolder is the vocabulary as tokenizer.json, as T5Tokenizer saved it; the <extra_id_…> at the end make room.
func jsonFolder(t testing.TB, extra string) fstest.MapFS {
	t.Helper()
	var file map[string]any
	if err := json.Unmarshal(unzip(t, "tokenizer.json.gz"), &file); err != nil {
		t.Fatal(err)
	}
	m := file["model"].(map[string]any)
	vocab := slices.DeleteFunc(m["vocab"].([]any), func(p any) bool { return strings.HasPrefix(p.([]any)[0].(string), "<extra_id_") })
	for _, r := range extra {
		vocab = append(vocab, []any{string(r), extraScore(r)})
	}
	m["vocab"] = vocab
	data, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{"tokenizer.json": {Data: data}}
}

func openUnigram(t testing.TB, fsys fstest.MapFS, opt *UnigramOptions) *Unigram {
	t.Helper()
	tok, err := OpenUnigram(fsys, "unigram", opt)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func compareIDs(t *testing.T, tok *Unigram, texts []string, want [][]int) {
	t.Helper()
	bad := 0
	for i, ids := range want {
		if got := tok.Encode(texts[i]); !slices.Equal(got, ids) {
			if bad++; bad <= 10 {
				t.Errorf("%+q:\n got %v\nwant %v", texts[i], got, ids)
			}
		}
	}
	if bad > 0 {
		t.Errorf("%d of %d texts differ", bad, len(want))
	}
}

func TestUnigram_Encode_agreesWithSentencePiece(t *testing.T) {
	g, texts, library := readUnigram(t)
	unknown := 0
	for _, ids := range library {
		if slices.Contains(ids, 2) {
			unknown++
		}
	}
	if unknown > len(library)*2/3 {
		t.Errorf("%d of %d rows hold <unk>, which hides differences", unknown, len(library))
	}
	for name, fsys := range map[string]fstest.MapFS{"spiece.model": protoFolder(t, g.Extra), "tokenizer.json": jsonFolder(t, g.Extra)} {
		t.Run(name, func(t *testing.T) {
			compareIDs(t, openUnigram(t, fsys, nil), texts, library)
			compareIDs(t, openUnigram(t, fsys, &UnigramOptions{SigLIP: true}), texts, g.Siglip)
		})
	}
}

// Byte fallback, user-defined pieces, white space behind words and kept, no table of replacements.
func TestUnigram_Encode_followsTheModelsSwitches(t *testing.T) {
	g, texts, _ := readUnigram(t)
	data, err := os.ReadFile(filepath.Join(golden, "unigram", "bytes.model"))
	if err != nil {
		t.Fatal(err)
	}
	tok := openUnigram(t, fstest.MapFS{"spiece.model": {Data: data}}, nil)
	if m := tok.model; !m.byteFallback || !m.suffix || m.collapse || m.table != nil || len(tok.whole.keys) != 3 {
		t.Errorf("switches %+v, %d user-defined pieces", m, len(tok.whole.keys))
	}
	compareIDs(t, tok, texts, g.Bytes)
	if got := tok.Decode(tok.Encode("<sks> ☃ Ü")); got != "<sks> ☃ Ü" {
		t.Errorf("decoded %q", got)
	}
}

func TestUnigram_EncodePadded_agreesWithTransformers(t *testing.T) {
	g, _, _ := readUnigram(t)
	fsys := protoFolder(t, g.Extra)
	t5, siglip := openUnigram(t, fsys, nil), openUnigram(t, fsys, &UnigramOptions{SigLIP: true})
	for _, row := range g.T5Padded {
		var text string
		var ids, mask []int64
		decode(t, row, &text, &ids, &mask)
		if gotIDs, gotMask, _ := t5.EncodePadded(text, 16); !slices.Equal(gotIDs, ids) || !slices.Equal(gotMask, mask) {
			t.Errorf("T5 %+q:\n got %v %v\nwant %v %v", text, gotIDs, gotMask, ids, mask)
		}
	}
	for _, row := range g.SiglipPadded {
		var text string
		var ids []int64
		decode(t, row, &text, &ids)
		if got, _, _ := siglip.EncodePadded(text, 16); !slices.Equal(got, ids) {
			t.Errorf("SigLIP %+q:\n got %v\nwant %v", text, got, ids)
		}
	}
}

// T5Tokenizer of transformers 5 differs only where the package says so.
func TestUnigram_whereT5TokenizerDiffers(t *testing.T) {
	g, texts, _ := readUnigram(t)
	if n := len(g.T5Differs); n == 0 || n > len(texts)/20 {
		t.Errorf("%d of %d texts differ", n, len(texts))
	}
	for _, k := range g.T5Differs {
		if !strings.ContainsFunc(texts[k], func(r rune) bool { return r == 0x85 || unicode.Is(unicode.M, r) || r >= 0x1100 && r <= 0x11FF }) {
			t.Errorf("%+q differs", texts[k])
		}
	}
}

func TestOpenUnigram_settings(t *testing.T) {
	fsys := protoFolder(t, "")
	for _, c := range []struct {
		config      string
		opt         *UnigramOptions
		pad, length int
		text, same  string // texts with the same ids
	}{
		{"", nil, 0, 512, "a  cat ", "a cat"},
		{"", &UnigramOptions{SigLIP: true}, 1, 64, "A Cat!", "a cat"},
		{`{"tokenizer_class":"SiglipTokenizer","model_max_length":64,"pad_token":"</s>"}`, nil, 1, 64, "A (CAT)", "a cat"},
		{`{"tokenizer_class":"SiglipTokenizer","do_lower_case":false,"model_max_length":99}`, nil, 1, 99, "A, Cat", "A Cat"},
		{`{"tokenizer_class":"T5Tokenizer","model_max_length":77,"pad_token":"<pad>"}`, &UnigramOptions{Pad: "<unk>"}, 2, 77, "x", "x "},
	} {
		if c.config != "" {
			fsys["tokenizer_config.json"] = &fstest.MapFile{Data: []byte(c.config)}
		}
		tok := openUnigram(t, fsys, c.opt)
		if tok.Pad() != c.pad || tok.EOS() != 1 || tok.MaxLength() != c.length || !slices.Equal(tok.Encode(c.text), tok.Encode(c.same)) {
			t.Errorf("%s %+v: pad %d, end %d, length %d, %v and %v", c.config, c.opt, tok.Pad(), tok.EOS(), tok.MaxLength(), tok.Encode(c.text), tok.Encode(c.same))
		}
	}
}

func TestUnigram_EncodePadded_returnsWhatDoesNotFit(t *testing.T) {
	tok := openUnigram(t, protoFolder(t, ""), nil)
	text := "a photo of a cat and a dog"
	n := tok.Tokens(text)
	ids, mask, dropped := tok.EncodePadded(text, n-1)
	if len(ids) != n-1 || ids[n-2] != 1 || mask[n-2] != 1 || dropped == "" || !strings.HasSuffix(text, dropped) {
		t.Errorf("%d tokens, ids %v, mask %v, dropped %q", n, ids, mask, dropped)
	}
	if _, _, dropped := tok.EncodePadded(text, n); dropped != "" {
		t.Errorf("dropped %q of a text that fits", dropped)
	}
}

// A model of one message field each: what is wrong is said, with the file's name.
func TestOpenUnigram_namesTheFault(t *testing.T) {
	unk := protoPiece("<unk>", 0, 2)
	end := protoPiece("</s>", 0, 3)
	message := func(num protowire.Number, body []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), body)
	}
	number := func(num protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
	}
	table := func(data ...byte) []byte { return message(3, message(2, data)) }
	long := append([]byte{4, 0, 0, 0, 0, 0, 0, 0}, bytes.Repeat([]byte("a"), maxReplacement+1)...)
	for _, c := range []struct {
		want string
		data []byte
	}{
		{"holds no pieces", nil},
		{"cut off or no SentencePiece model", []byte("\x0a\xff")},
		{"cut off or no SentencePiece model", []byte("{}")},
		{"pointer of Git LFS", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")},
		{"lacks the unknown piece", end},
		{"pieces 0 and 2 are both the unknown piece", slices.Concat(unk, end, protoPiece("u", 0, 2))},
		{`piece 2 ("</s>") is there twice`, slices.Concat(unk, end, end)},
		{`piece 2 ("") has 0 bytes`, slices.Concat(unk, end, protoPiece("", 0, 1))},
		{`piece 2 ("x") has the score NaN`, slices.Concat(unk, end, protoPiece("x", float32(math.NaN()), 1))},
		{`piece 2 ("x") cannot be of type 9`, slices.Concat(unk, end, protoPiece("x", 0, 9))},
		{`piece 2 ("x") cannot be of type 6`, slices.Concat(unk, end, protoPiece("x", 0, 6))},
		{"piece 2 is no UTF-8 text", slices.Concat(unk, end, protoPiece("\xff", 0, 1))},
		{"holds a model of type BPE", slices.Concat(unk, end, message(2, number(3, 2)))},
		{"lacks the byte piece <0x00>", slices.Concat(unk, end, message(2, number(35, 1)))},
		{`eos_token "</s>" is not in the vocabulary`, unk},
		{"precompiled_charsmap has 2 bytes, too few", slices.Concat(unk, end, table(1, 2))},
		{"precompiled_charsmap says that its trie has 8 bytes; 1 follow", slices.Concat(unk, end, table(8, 0, 0, 0, 1))},
		{"precompiled_charsmap replaces characters by 1025 bytes", slices.Concat(unk, end, table(long...))},
	} {
		_, err := OpenUnigram(fstest.MapFS{"spiece.model": {Data: c.data}}, "M", nil)
		var fe *FileError
		if !errors.As(err, &fe) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "M/spiece.model") {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

func TestOpenUnigram_namesTheFaultInJSON(t *testing.T) {
	model := `"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["</s>",0],["a",-1]]}`
	metaspace := `,"pre_tokenizer":{"type":"Metaspace"}`
	for text, want := range map[string]string{
		`{`:  "is not the JSON expected",
		`{}`: "holds neither spiece.model nor a tokenizer.json",
		`{"model":{"type":"Unigram","vocab":{}}}`:                 "model.vocab is not a list",
		`{"model":{"type":"BPE","vocab":{}}}`:                     "holds a BPE model",
		`{` + model + `}`:                                         "pre_tokenizer: want Metaspace",
		`{"model":{"type":"Unigram"}}`:                            "holds no pieces",
		`{` + model + metaspace + `,"normalizer":{"type":"NFD"}}`: `normalizer "NFD" is not known`,
		`{` + model + metaspace + `,"normalizer":{"type":"Replace","pattern":{"String":"a"}}}`:                    "only white space",
		`{` + model + metaspace + `,"normalizer":{"type":"Precompiled","precompiled_charsmap":"?"}}`:              "is not base64",
		`{` + model + metaspace + `,"normalizer":{"type":"Precompiled","precompiled_charsmap":"AAAA"}}`:           "too few for its head",
		`{` + model + `,"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Metaspace"},{"type":"x"}]}}`: "pre_tokenizer: want Metaspace",
		`{"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>"]]}}`:                                             "1 values instead of text and score",
		`{"model":{"type":"Unigram","unk_id":7,"vocab":[["a",0]]}}`:                                               "lacks the unknown piece",
		`{"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["</s>",1e35]]}` + metaspace + `}`:            "has the score",
		`{"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0]]},"pre_tokenizer":{"type":"Metaspace"}}`:      "eos_token",
		`{"model":{"type":"Unigram","unk_id":0,"byte_fallback":true,"vocab":[["<unk>",0]]}` + metaspace + `}`:     "lacks the byte piece",
	} {
		_, err := OpenUnigram(fstest.MapFS{"tokenizer.json": {Data: []byte(text)}}, "M", nil)
		var fe *FileError
		if !errors.As(err, &fe) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
	siglip := `{"normalizer":{"type":"Sequence","normalizers":[{"type":"Lowercase"},{"type":"Replace","pattern":{"Regex":"[!?]"}},{"type":"Strip"}]},` + model + metaspace + `}`
	if tok := openUnigram(t, fstest.MapFS{"tokenizer.json": {Data: []byte(siglip)}}, nil); !tok.siglip || tok.MaxLength() != 64 {
		t.Errorf("lower case in the file is not taken for SigLIP's: %+v", tok)
	}
}
