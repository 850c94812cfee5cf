package pngmeta

import (
	"bytes"
	"compress/zlib"
	"errors"
	"image"
	"image/color"
	"image/png"
	"slices"
	"strings"
	"testing"
)

func picture() *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, 5, 4))
	for i := range 20 {
		img.SetNRGBA(i%5, i/5, color.NRGBA{byte(i * 12), byte(255 - i), byte(i * i), 255})
	}
	return img
}

func encode(t testing.TB, texts ...Chunk) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Encode(&b, picture(), texts...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEncode_readsBackAndKeepsPixels(t *testing.T) {
	texts := []Chunk{
		{KeyParameters, "a red circle\nNegative prompt: blurry\nSteps: 25, Seed: 7"},
		{KeyWinnow, `{"prompt":"naïve 猫"}`},
		{"Latin", "naïve façade £"},
		{"Empty", ""},
	}
	file := encode(t, texts...)
	got, err := Read(bytes.NewReader(file))
	if err != nil || !slices.Equal(got, texts) {
		t.Fatalf("read %q, %v", got, err)
	}
	for kind, n := range map[string]int{"tEXt": 3, "iTXt": 1} {
		if c := bytes.Count(file, []byte(kind)); c != n {
			t.Errorf("%d %s chunks, want %d", c, kind, n)
		}
	}
	img, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if a, b := color.NRGBAModel.Convert(img.At(i%5, i/5)), picture().At(i%5, i/5); a != b {
			t.Errorf("pixel %d: %v, want %v", i, a, b)
		}
	}
}

func TestEncode_refusesWhatCannotBeRead(t *testing.T) {
	for _, c := range []Chunk{{"", "x"}, {strings.Repeat("k", 80), "x"}, {"a\nb", "x"}, {"é", "x"}, {"k", "a\x00b"}, {"k", "\xff"}, {"k", strings.Repeat("x", maxText+1)}} {
		var b bytes.Buffer
		if err := Encode(&b, picture(), c); err == nil || b.Len() != 0 {
			t.Errorf("keyword %q accepted, or %d bytes written", c.Keyword, b.Len())
		}
	}
}

// assemble builds a PNG of arbitrary chunks between IHDR and IEND.
func assemble(chunks ...[]byte) []byte {
	out := appendChunk([]byte(signature), "IHDR", make([]byte, 13))
	for _, c := range chunks {
		out = append(out, c...)
	}
	return appendChunk(out, "IEND", nil)
}

func deflated(s string) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.Bytes()
}

func TestRead_compressedForms(t *testing.T) {
	file := assemble(
		appendChunk(nil, "zTXt", append([]byte("Comment\x00\x00"), deflated("caf\xe9")...)),
		appendChunk(nil, "iTXt", append([]byte("Title\x00\x01\x00de\x00Titel\x00"), deflated("猫")...)),
		appendChunk(nil, "prVt", []byte("skipped")),
	)
	got, err := Read(bytes.NewReader(file))
	if want := []Chunk{{"Comment", "café"}, {"Title", "猫"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestRead_damage(t *testing.T) {
	good := encode(t, Chunk{"parameters", "a cat"})
	flipped := bytes.Clone(good)
	flipped[bytes.Index(flipped, []byte("a cat"))] ^= 1
	bomb := appendChunk(nil, "zTXt", append([]byte("k\x00\x00"), deflated(strings.Repeat("\x00", maxText+10))...))
	claim := append([]byte(signature), 0xff, 0xff, 0xff, 0xff, 't', 'E', 'X', 't')
	many := bytes.Repeat(appendChunk(nil, "tEXt", []byte("k\x00v")), maxChunks+1)
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":           {nil, "this is not a PNG file"},
		"other file":      {[]byte("GIF89a............"), "this is not a PNG file"},
		"cut":             {good[:50], "the file ends here"},
		"no end":          {good[:len(good)-12], "the file ends here"},
		"flipped bit":     {flipped, "tEXt chunk at byte 33: its checksum is wrong"},
		"bomb":            {assemble(bomb), "inflates to more than"},
		"claims too much": {claim, "claims 4294967295 bytes"},
		"many":            {assemble(many), "more than 256 texts"},
		"type":            {append([]byte(signature), 0, 0, 0, 0, 1, 2, 3, 4), "not four letters"},
		"no keyword":      {assemble(appendChunk(nil, "tEXt", []byte("\x00v"))), "keyword of a wrong length"},
		"short iTXt":      {assemble(appendChunk(nil, "iTXt", []byte("k\x00\x00\x00de"))), "a separator is missing"},
		"shorter iTXt":    {assemble(appendChunk(nil, "iTXt", []byte("k\x00"))), "a separator is missing"},
		"method":          {assemble(appendChunk(nil, "zTXt", []byte("k\x00\x09"))), "unknown compression method"},
		"not zlib":        {assemble(appendChunk(nil, "zTXt", []byte("k\x00\x00abc"))), "is malformed"},
		"not utf-8":       {assemble(appendChunk(nil, "iTXt", []byte("k\x00\x00\x00\x00\x00\xff"))), "not UTF-8"},
	} {
		_, err := Read(bytes.NewReader(c.file))
		var pe *Error
		if !errors.As(err, &pe) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestParameters_roundTrip(t *testing.T) {
	for want, p := range map[string]Parameters{
		"a cat\nSteps: 25, Sampler: DDIM, CFG scale: 3, Seed: 7, Size: 64x64, Model: mini": {
			Prompt: "a cat",
			Fields: []Field{{"Steps", "25"}, {"Sampler", "DDIM"}, {"CFG scale", "3"}, {"Seed", "7"}, {"Size", "64x64"}, {"Model", "mini"}},
		},
		"a\nb\nNegative prompt: c\nd\nSteps: 1, Model: \"x, \\\"y\\\": <z>\\n\", Empty: , Last: e": {
			Prompt: "a\nb", NegativePrompt: "c\nd",
			Fields: []Field{{"Steps", "1"}, {"Model", "x, \"y\": <z>\n"}, {"Empty", ""}, {"Last", "e"}},
		},
		"only a prompt: nothing else": {Prompt: "only a prompt: nothing else"},
		"p\nNegative prompt: n":       {Prompt: "p", NegativePrompt: "n"},
		"\nSteps: 1":                  {Fields: []Field{{"Steps", "1"}}},
		"a\nSteps: \"cut":             {Prompt: "a\nSteps: \"cut"},
		"a\nSteps: 1, cut":            {Prompt: "a\nSteps: 1, cut"},
	} {
		if got := p.String(); got != want {
			t.Errorf("String = %q, want %q", got, want)
		}
		got := ParseParameters(want)
		if got.Prompt != p.Prompt || got.NegativePrompt != p.NegativePrompt || !slices.Equal(got.Fields, p.Fields) {
			t.Errorf("ParseParameters(%q) = %+v", want, got)
		}
	}
	if p := ParseParameters("x\nSteps: 3, Seed: 9"); p.Get("Seed") != "9" || p.Get("None") != "" {
		t.Errorf("Get: %+v", p)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(encode(f, Chunk{"parameters", "a cat"}, Chunk{"winnow", "猫"}))
	f.Add(assemble(appendChunk(nil, "zTXt", append([]byte("k\x00\x00"), deflated("text")...))))
	f.Fuzz(func(t *testing.T, data []byte) {
		texts, err := Read(bytes.NewReader(data))
		var pe *Error
		if err != nil && !errors.As(err, &pe) {
			t.Fatalf("error of type %T", err)
		}
		for _, c := range texts {
			if len(c.Text) > 2*maxText || c.Keyword == "" {
				t.Fatalf("chunk %q of %d bytes", c.Keyword, len(c.Text))
			}
			p := ParseParameters(c.Text)
			if again := ParseParameters(p.String()); again.Prompt != p.Prompt && !strings.Contains(p.Prompt+p.NegativePrompt, "Steps: ") {
				t.Fatalf("%q parses to %q, then to %q", c.Text, p.Prompt, again.Prompt)
			}
		}
	})
}
