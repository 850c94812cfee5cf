package tokenizer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"unicode/utf8"
)

// Malformed files are errors of our own type, and whatever loads must encode.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(tinyVocab), []byte("#version: 0.2\na b</w>\n"), []byte(`{"model_max_length":8}`), []byte(`{"<x>":7}`))
	f.Add([]byte(`{"a":0,`), []byte("a"), []byte(`{"pad_token":{"content":1}}`), []byte(`[]`))
	f.Add([]byte(tinyVocab), []byte(""), []byte(`{"added_tokens_decoder":{"9":{"content":"q","normalized":true}}}`), []byte(`null`))
	f.Fuzz(func(t *testing.T, vocab, merges, config, added []byte) {
		single := fstest.MapFS{"tokenizer.json": {Data: vocab}, "tokenizer_config.json": {Data: config}}
		whole := fstest.MapFS{
			"vocab.json": {Data: vocab}, "merges.txt": {Data: merges},
			"tokenizer_config.json": {Data: config}, "added_tokens.json": {Data: added},
		}
		for _, fsys := range []fstest.MapFS{single, whole} {
			tok, err := Open(fsys, "fuzz")
			var fe *FileError
			if err != nil && !errors.As(err, &fe) {
				t.Fatalf("error of type %T: %v", err, err)
			}
			if err == nil {
				checkEncoding(t, tok, string(vocab)+" a<|endoftext|>ab")
			}
		}
	})
}

func FuzzEncode(f *testing.F) {
	for _, s := range []string{"a photo of a cat", "e\u0301 İ x's '", "<|endoftext|>", "\xff\xfe", "o\u0301\u0323\u0301\u0323\u0301\u0323\u0301\u0323\u0301\u0323\u0301\u0323"} {
		f.Add(s)
	}
	dir := filepath.Join(golden, "plain")
	tok, err := Open(os.DirFS(dir), dir)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) { checkEncoding(t, tok, text) })
}

// checkEncoding holds for every tokenizer and every text.
func checkEncoding(t *testing.T, tok *CLIP, text string) {
	t.Helper()
	all := tok.Encode(text)
	for _, id := range all {
		if _, known := tok.names[id]; !known {
			t.Fatalf("id %d of %q is not in the vocabulary", id, text)
		}
	}
	ids, mask, dropped := tok.EncodePadded(text, 9)
	if len(ids) != 9 || len(mask) != 9 {
		t.Fatalf("%d ids and %d mask values, want 9", len(ids), len(mask))
	}
	if !utf8.ValidString(dropped) || (dropped != "" && len(all) <= 7) {
		t.Fatalf("%d tokens, dropped %q", len(all), dropped)
	}
}
