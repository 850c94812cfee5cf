package tokenizer

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// bertGolden is what tests/oracle/bert_tokenizer.py writes: rows of [text, ids] and [text, ids, mask].
type bertGolden struct {
	Extra         string
	Uncased       [][]json.RawMessage
	UncasedPadded [][]json.RawMessage `json:"uncased_padded"`
	Cased         [][]json.RawMessage
	CasedPadded   [][]json.RawMessage `json:"cased_padded"`
}

// readBERT returns the goldens and the vocabulary that they were made with.
func readBERT(t *testing.T) (bertGolden, string) {
	t.Helper()
	f, err := os.Open(filepath.Join(golden, "bert", "golden.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var g bertGolden
	if err := json.NewDecoder(z).Decode(&g); err != nil {
		t.Fatal(err)
	}
	if len(g.Uncased) < 5000 || len(g.Cased) < 5000 || len(g.UncasedPadded) < 30 {
		t.Fatalf("only %d, %d and %d rows", len(g.Uncased), len(g.Cased), len(g.UncasedPadded))
	}
	vocab, err := os.ReadFile(filepath.Join(golden, "bert", "vocab.txt"))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	var b strings.Builder
	for line := range strings.Lines(string(vocab)) {
		have[strings.TrimSuffix(line, "\n")] = true
		b.WriteString(line)
	}
	for _, r := range g.Extra {
		for _, token := range []string{string(r), "##" + string(r)} {
			if !have[token] {
				b.WriteString(token + "\n")
			}
		}
	}
	return g, b.String()
}

func TestBERT_Encode_agreesWithTransformers(t *testing.T) {
	g, vocab := readBERT(t)
	for _, c := range []struct {
		name           string
		uncased        bool
		encode, padded [][]json.RawMessage
	}{{"uncased", true, g.Uncased, g.UncasedPadded}, {"cased", false, g.Cased, g.CasedPadded}} {
		t.Run(c.name, func(t *testing.T) {
			tok, err := LoadBERT(strings.NewReader(vocab), &BERTOptions{Uncased: c.uncased, AllowSpecial: true})
			if err != nil {
				t.Fatal(err)
			}
			unknown := 0
			for _, row := range c.encode {
				var text string
				var want []int
				decode(t, row, &text, &want)
				if got := tok.Encode(text); !slices.Equal(got, want) {
					t.Errorf("%+q:\n got %v\nwant %v", text, got, want)
				}
				if slices.Contains(want, tok.unk) {
					unknown++
				}
			}
			if unknown > len(c.encode)*2/3 {
				t.Errorf("%d of %d rows hold [UNK], which hides differences", unknown, len(c.encode))
			}
			for _, row := range c.padded {
				var text string
				var ids, mask []int64
				decode(t, row, &text, &ids, &mask)
				if gotIDs, gotMask, _ := tok.EncodePadded(text, 35); !slices.Equal(gotIDs, ids) || !slices.Equal(gotMask, mask) {
					t.Errorf("padded %+q:\n got %v %v\nwant %v %v", text, gotIDs, gotMask, ids, mask)
				}
			}
		})
	}
}

func openBERT(t testing.TB) *BERT {
	t.Helper()
	tok, err := OpenBERT(os.DirFS(filepath.Join(golden, "bert")), "bert")
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestBERT_specialTokensAreTextUnlessAllowed(t *testing.T) {
	tok := openBERT(t)
	if ids := tok.Encode("x [SEP] y"); slices.Contains(ids, tok.SEP()) {
		t.Errorf("%v: a prompt ends itself", ids)
	}
	if tok.MaxLength() != 512 {
		t.Errorf("length %d without a configuration", tok.MaxLength())
	}
}

func TestBERT_EncodePadded_returnsWhatDoesNotFit(t *testing.T) {
	tok := openBERT(t)
	ids, mask, dropped := tok.EncodePadded("a cat and a dog", 5)
	if dropped != "a dog" || ids[0] != int64(tok.CLS()) || ids[4] != int64(tok.SEP()) || mask[4] != 1 {
		t.Errorf("ids %v, mask %v, dropped %q", ids, mask, dropped)
	}
}

func TestOpenBERT_namesTheFault(t *testing.T) {
	for want, files := range map[string]fstest.MapFS{
		"bert/vocab.txt: cannot be opened":             {},
		"bert/vocab.txt:2: token \"a\" is there twice": {"vocab.txt": {Data: []byte("a\na\n")}},
		"the special token [CLS] is missing":           {"vocab.txt": {Data: []byte("a\nb\n")}},
		"tokenizer_config.json":                        {"tokenizer_config.json": {Data: []byte("{")}},
	} {
		_, err := OpenBERT(files, "bert")
		var fe *FileError
		if !errors.As(err, &fe) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func FuzzBERT(f *testing.F) {
	for _, s := range []string{"a photo of a cat", "e\u0301 İ x's", "[SEP]", "\xff\xfe", "猫cat", strings.Repeat("a", 200)} {
		f.Add(s)
	}
	tok := openBERT(f)
	f.Fuzz(func(t *testing.T, s string) {
		for _, id := range tok.Encode(s) {
			if id < 0 || id >= tok.VocabSize() {
				t.Fatalf("id %d of %d", id, tok.VocabSize())
			}
		}
		if ids, mask, _ := tok.EncodePadded(s, 8); len(ids) != 8 || len(mask) != 8 {
			t.Fatalf("%d ids, %d mask", len(ids), len(mask))
		}
	})
}
