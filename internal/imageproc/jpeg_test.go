package imageproc

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"strings"
	"testing"
)

type jpegGolden struct {
	Rows []struct {
		Name   string
		File   []byte
		W, H   int
		SHA256 string
	}
}

func TestDecodeJPEG_equalsPillowBitForBit(t *testing.T) {
	var g jpegGolden
	readJSON(t, "jpeg.json", &g)
	if len(g.Rows) < 55 {
		t.Fatalf("only %d goldens", len(g.Rows))
	}
	for _, r := range g.Rows {
		img, err := Decode(r.Name, r.File, Limits{})
		if err != nil {
			t.Error(err)
		} else if img.Rect != image.Rect(0, 0, r.W, r.H) || digest(img) != r.SHA256 {
			t.Errorf("%s: %v differs", r.Name, img.Rect)
		}
	}
}

// Every cut of a file, and every changed byte of its headers, is an error or a
// picture, never a panic; a cut inside the data is always an error.
func TestDecodeJPEG_damage(t *testing.T) {
	var g jpegGolden
	readJSON(t, "jpeg.json", &g)
	for _, r := range g.Rows {
		if len(r.File) > 900 {
			continue
		}
		end := bytes.LastIndex(r.File, []byte{0xFF, markEOI})
		for n := 1; n < end-2; n += 3 {
			if _, err := Decode("cut", r.File[:n], Limits{}); err == nil {
				t.Errorf("%s: cut after %d of %d bytes is accepted", r.Name, n, len(r.File))
			}
		}
		for i := range r.File {
			bad := bytes.Clone(r.File)
			bad[i] ^= 0x55
			var de *DecodeError
			if _, err := Decode("bad", bad, Limits{Pixels: 1 << 16}); err != nil && !errors.As(err, &de) {
				t.Errorf("%s: error of type %T", r.Name, err)
			}
		}
	}
}

func TestDecodeJPEG_refuses(t *testing.T) {
	sof := func(mark byte, body ...byte) []byte {
		return append([]byte{0xFF, markSOI, 0xFF, mark, 0, byte(2 + len(body))}, body...)
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"arithmetic":    {sof(0xC9, 8, 0, 8, 0, 8, 1, 1, 0x11, 0), "arithmetic"},
		"lossless":      {sof(0xC3, 8, 0, 8, 0, 8, 1, 1, 0x11, 0), "lossless"},
		"twelve bits":   {sof(0xC1, 12, 0, 8, 0, 8, 1, 1, 0x11, 0), "12 bits a sample"},
		"no height":     {sof(0xC0, 8, 0, 0, 0, 8, 1, 1, 0x11, 0), "8×0"},
		"two channels":  {sof(0xC0, 8, 0, 8, 0, 8, 2, 1, 0x11, 0, 2, 0x11, 0), "2 components"},
		"odd sampling":  {sof(0xC0, 8, 0, 8, 0, 8, 3, 1, 0x31, 0, 2, 0x21, 0, 3, 0x11, 0), "no whole part"},
		"five samples":  {sof(0xC0, 8, 0, 8, 0, 8, 1, 1, 0x51, 0), "sampling 5×1"},
		"bomb":          {sof(0xC2, 8, 0xFF, 0xFF, 0xFF, 0xFF, 1, 1, 0x11, 0), "its header says 65535×65535"},
		"only a header": {sof(0xC0, 8, 0, 8, 0, 8, 1, 1, 0x11, 0), "ends too early"},
		"nothing":       {[]byte{0xFF, markSOI, 0xFF, markEOI}, "no frame header"},
	} {
		if _, err := Decode("x", c.data, Limits{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// Pictures that callers decoded with the standard library differ by its inverse
// transform alone, up to three levels; nearest chroma would show as 20 and more.
func TestOpaque_interpolatesChromaOfTheStandardLibrary(t *testing.T) {
	var g decodeGolden
	readJSON(t, "decode.json", &g)
	for _, r := range g.Rows {
		if !strings.HasPrefix(r.Name, "jpeg 4") {
			continue
		}
		img, err := jpeg.Decode(bytes.NewReader(r.File))
		if err != nil {
			t.Fatal(err)
		}
		if largest, mean := spread(Opaque(img), r.RGB); largest > 3 || mean > 0.07 {
			t.Errorf("%s: differs by up to %d, %.4f on average", r.Name, largest, mean)
		}
	}
}
