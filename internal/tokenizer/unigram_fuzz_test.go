package tokenizer

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// A table whose values point outside of it, and into the middle of a character.
func brokenTable() []byte {
	head := protowire.AppendFixed32(nil, 16)
	for _, unit := range []uint32{0, 1<<8 | 'a' | 2<<10, 0xFFFFFFFF, 0x80000001} {
		head = protowire.AppendFixed32(head, unit)
	}
	table := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), append(head, "é\x00"...))
	return protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), table)
}

func FuzzOpenUnigram(f *testing.F) {
	special, err := os.ReadFile(filepath.Join(golden, "unigram", "bytes.model"))
	if err != nil {
		f.Fatal(err)
	}
	tiny := slices.Concat(protoPiece("<unk>", 0, 2), protoPiece("</s>", 0, 3), protoPiece("a", -1, 1), protoPiece("ab", -3, 4))
	for _, data := range [][]byte{
		special, tiny, slices.Concat(tiny, brokenTable()),
		{},
		[]byte(`{"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["</s>",0],["a",-1]]},"pre_tokenizer":{"type":"Metaspace"}}`),
		[]byte(`{"normalizer":{"type":"Sequence","normalizers":[{"type":"Precompiled","precompiled_charsmap":"BAAAAAAAAAA="}]},"model":{"type":"Unigram"}}`),
	} {
		f.Add(data, []byte(`{"tokenizer_class":"SiglipTokenizer"}`), "a b ab ▁")
		f.Add(data, []byte(`{}`), "\xffa\u0301")
	}
	f.Fuzz(func(t *testing.T, data, config []byte, text string) {
		for _, name := range []string{"spiece.model", "tokenizer.json"} {
			tok, err := OpenUnigram(fstest.MapFS{name: {Data: data}, "tokenizer_config.json": {Data: config}}, "fuzz", nil)
			var fe *FileError
			if err != nil && !errors.As(err, &fe) {
				t.Fatalf("error of type %T: %v", err, err)
			}
			if err == nil {
				checkUnigram(t, tok, text)
			}
		}
	})
}

func FuzzUnigram(f *testing.F) {
	for _, s := range []string{"a photo of a cat", "e\u0301 İ Σ", "</s>", "\xff\xfe", "猫cat", "①\u0301\u200b \u3000"} {
		f.Add(s)
	}
	fsys := protoFolder(f, "")
	t5, siglip := openUnigram(f, fsys, nil), openUnigram(f, fsys, &UnigramOptions{SigLIP: true})
	f.Fuzz(func(t *testing.T, text string) {
		checkUnigram(t, t5, text)
		checkUnigram(t, siglip, text)
	})
}

// checkUnigram holds for every tokenizer and every text.
func checkUnigram(t *testing.T, tok *Unigram, text string) {
	t.Helper()
	all := tok.Encode(text)
	for _, id := range all {
		if id < 0 || id >= tok.VocabSize() {
			t.Fatalf("id %d of %d", id, tok.VocabSize())
		}
	}
	ids, mask, dropped := tok.EncodePadded(text, 8)
	if len(ids) != 8 || len(mask) != 8 || !utf8.ValidString(dropped) || (dropped == "") != (len(all) <= 7) {
		t.Fatalf("%d tokens: %d ids, %d mask values, dropped %q", len(all), len(ids), len(mask), dropped)
	}
}
