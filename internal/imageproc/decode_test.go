package imageproc

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const golden = "../../tests/golden/images/"

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(golden + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

type decodeGolden struct {
	Rows []struct {
		Name      string
		File, RGB []byte
		W, H      int
		Upright   *struct {
			W, H   int
			SHA256 string
		}
	}
}

// spread compares pixels with golden RGB bytes: the largest difference and the
// mean over all channels.
func spread(img *image.NRGBA, rgb []byte) (largest int, mean float64) {
	sum := 0
	for i := range len(rgb) / 3 {
		for c := range 3 {
			d := int(img.Pix[4*i+c]) - int(rgb[3*i+c])
			largest = max(largest, d, -d)
			sum += max(d, -d)
		}
	}
	return largest, float64(sum) / float64(len(rgb))
}

func TestDecode_equalsPillow(t *testing.T) {
	var g decodeGolden
	readJSON(t, "decode.json", &g)
	if len(g.Rows) < 40 {
		t.Fatalf("only %d golden files", len(g.Rows))
	}
	for _, r := range g.Rows {
		img, err := Decode(r.Name, r.File, Limits{})
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if img.Rect != image.Rect(0, 0, r.W, r.H) || len(r.RGB) != 3*r.W*r.H {
			t.Errorf("%s: bounds %v, want %d×%d", r.Name, img.Rect, r.W, r.H)
			continue
		}
		for i := 3; i < len(img.Pix); i += 4 {
			if img.Pix[i] != 255 {
				t.Fatalf("%s: alpha %d at byte %d", r.Name, img.Pix[i], i)
			}
		}
		if largest, mean := spread(img, r.RGB); largest != 0 {
			t.Errorf("%s: differs by up to %d, %.4f on average", r.Name, largest, mean)
		}
	}
}

// Pillow and every scorer built on it leave the orientation of a camera alone.
func TestDecodeUpright_turnsAsEXIFSays(t *testing.T) {
	var g decodeGolden
	readJSON(t, "decode.json", &g)
	turned := 0
	for _, r := range g.Rows {
		if r.Upright == nil {
			continue
		}
		turned++
		img, err := DecodeUpright(r.Name, r.File, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if img.Rect.Dx() != r.Upright.W || img.Rect.Dy() != r.Upright.H || digest(img) != r.Upright.SHA256 {
			t.Errorf("%s: %v differs", r.Name, img.Rect)
		}
	}
	if turned != 8 {
		t.Errorf("%d pictures with an orientation, want 8", turned)
	}
}

// A file of 16-bit grey is clipped as by Pillow (golden "png grey 16"); a picture
// that was made keeps its high byte.
func TestOpaque_sixteenBitsKeepTheHighByte(t *testing.T) {
	grey := image.NewGray16(image.Rect(0, 0, 6, 1))
	for i := range 6 {
		grey.SetGray16(i, 0, color.Gray16{Y: uint16(i*9000 + 200)})
	}
	for i := range 6 {
		v := byte((i*9000 + 200) >> 8)
		if got := Opaque(grey).NRGBAAt(i, 0); got != (color.NRGBA{v, v, v, 255}) {
			t.Errorf("pixel %d: %v, want %d", i, got, v)
		}
	}
}

// pngHeader is a PNG that claims a size and holds no pixels.
func pngHeader(w, h uint32) []byte {
	ihdr := binary.BigEndian.AppendUint32([]byte("IHDR"), w)
	ihdr = binary.BigEndian.AppendUint32(ihdr, h)
	ihdr = append(ihdr, 8, 2, 0, 0, 0)
	out := append([]byte("\x89PNG\r\n\x1a\n"), 0, 0, 0, 13)
	out = append(out, ihdr...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(ihdr))
}

func TestDecode_badFiles(t *testing.T) {
	var g decodeGolden
	readJSON(t, "decode.json", &g)
	whole := map[string][]byte{}
	for _, r := range g.Rows {
		whole[r.Name] = r.File
	}
	bmpBomb := append([]byte("BM\x36\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00"), 0xff, 0xff, 0x01, 0, 0xff, 0xff, 0x01, 0, 1, 0, 24, 0)
	for name, c := range map[string]struct {
		data []byte
		kind error
		want string
	}{
		"zero bytes":      {nil, ErrEmpty, "bad: file is empty"},
		"text":            {[]byte("hello, world"), ErrFormat, "text/plain"},
		"html":            {[]byte("<!DOCTYPE html><html>"), ErrFormat, "text/html"},
		"heif":            {[]byte("\x00\x00\x00\x18ftypheic\x00\x00"), ErrFormat, "convert it to PNG"},
		"no tiff":         {[]byte("II*\x00aaaaaaaaaaa"), ErrDamaged, "TIFF header"},
		"bomb":            {pngHeader(100_000, 100_000), ErrTooLarge, "100000×100000"},
		"wide bomb":       {pngHeader(65_000, 65_000), ErrTooLarge, "65000×65000"},
		"bmp bomb":        {append(bmpBomb, make([]byte, 64)...), ErrTooLarge, "its header says"},
		"empty size":      {pngHeader(0, 5), ErrDamaged, "PNG header"},
		"only a header":   {pngHeader(8, 8), ErrDamaged, "PNG data"},
		"cut png":         {whole["png rgb"][:len(whole["png rgb"])/2], ErrDamaged, "PNG data"},
		"cut jpeg":        {whole["jpeg 420 33x40"][:300], ErrDamaged, "JPEG"},
		"cut gif":         {whole["gif"][:100], ErrDamaged, "GIF"},
		"gif signature":   {[]byte("GIF89a"), ErrDamaged, "GIF header"},
		"cut webp":        {whole["webp lossy 33x40"][:60], ErrDamaged, "WebP"},
		"cut bmp":         {whole["bmp 24"][:90], ErrDamaged, "BMP data"},
		"webp of nothing": {[]byte("RIFF\x04\x00\x00\x00WEBPVP8 "), ErrDamaged, "WebP header"},
	} {
		t.Run(name, func(t *testing.T) {
			img, err := Decode("bad", c.data, Limits{})
			var de *DecodeError
			if img != nil || !errors.As(err, &de) || !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want kind %q with %q", err, c.kind, c.want)
			}
		})
	}
}

func TestDecode_limitsAreChecked(t *testing.T) {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 30, 20))); err != nil {
		t.Fatal(err)
	}
	for _, l := range []Limits{{Bytes: 20}, {Pixels: 599}, {Side: 29}} {
		if _, err := Decode("x", b.Bytes(), l); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%+v: %v", l, err)
		}
	}
	if _, err := Decode("x", b.Bytes(), Limits{Bytes: int64(b.Len()), Pixels: 600, Side: 30}); err != nil {
		t.Error(err)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "none.png"), Limits{}); !errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), "none.png") != 1 {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Open(dir, Limits{}); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "it is a folder") {
		t.Errorf("folder: %v", err)
	}
	path := filepath.Join(dir, "a.png")
	if err := os.WriteFile(path, pngHeader(3, 3), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Limits{Bytes: 10}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("long file: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	var g decodeGolden
	readJSON(f, "decode.json", &g)
	for _, r := range g.Rows {
		if len(r.File) < 1500 {
			f.Add(r.File)
		}
	}
	var j jpegGolden
	readJSON(f, "jpeg.json", &j)
	for _, r := range j.Rows {
		if len(r.File) < 1500 {
			f.Add(r.File)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := DecodeUpright("fuzz", data, Limits{Pixels: 1 << 16})
		var de *DecodeError
		if err != nil && !errors.As(err, &de) {
			t.Fatalf("error of type %T", err)
		}
		if err == nil && (img.Rect.Empty() || img.Rect.Min != image.Point{} || len(img.Pix) < 4*img.Rect.Dx()*img.Rect.Dy()) {
			t.Fatalf("image %v with %d bytes", img.Rect, len(img.Pix))
		}
		if plain, err := Decode("fuzz", data, Limits{Pixels: 1 << 16}); err == nil {
			sameInMode(t, "fuzz", data, plain)
		}
	})
}

// sameInMode says that a mode changes nothing but when the picture becomes RGB.
func sameInMode(t *testing.T, name string, data []byte, want *image.NRGBA) {
	t.Helper()
	img, err := DecodeModes(name, data, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got := PillowRGB(img); got.Rect != want.Rect || !bytes.Equal(got.Pix, want.Pix) {
		t.Errorf("%s: converted later, the picture (%T) differs", name, img)
	}
}

// Which type each mode of Pillow has; tests/cli holds the scores of files in all of them.
func TestDecodeModes(t *testing.T) {
	var g decodeGolden
	readJSON(t, "decode.json", &g)
	want := map[string]string{
		"png grey alpha": "*image.NRGBA", "png one bit": "*image.Paletted", "png palette transparent": "*image.Paletted", "png rgba 16": "*image.NRGBA",
		"png grey 16": "*image.Gray16", "jpeg cmyk": "*image.CMYK", "jpeg grey": "*image.NRGBA", "gif": "*image.Paletted", "bmp 8": "*image.Paletted",
		"bmp grey": "*image.NRGBA", "tiff one bit": "*image.Paletted", "tiff grey": "*image.NRGBA", "tiff grey 16": "*image.Gray16", "webp lossy alpha": "*image.NRGBA",
	}
	for _, r := range g.Rows {
		plain, err := Decode(r.Name, r.File, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		sameInMode(t, r.Name, r.File, plain)
		upright, err := DecodeUpright(r.Name, r.File, Limits{})
		if turned := Upright(plain, r.File); err != nil || (turned != nil) != (upright.Rect != plain.Rect || !bytes.Equal(upright.Pix, plain.Pix)) || turned != nil && !bytes.Equal(turned.(*image.NRGBA).Pix, upright.Pix) {
			t.Errorf("%s: not as DecodeUpright turns it (%v)", r.Name, err)
		}
		img, err := DecodeModes(r.Name, r.File, Limits{})
		if kind, ok := want[r.Name]; err != nil || ok && fmt.Sprintf("%T", img) != kind {
			t.Errorf("%s: %T, want %s (%v)", r.Name, img, kind, err)
		}
		delete(want, r.Name)
		if m, ok := img.(*image.NRGBA); ok && m.Opaque() == slices.Contains([]string{"png rgba", "png grey alpha", "png rgba 16", "png grey alpha 16", "tiff rgba", "webp lossless alpha", "webp lossy alpha"}, r.Name) {
			t.Errorf("%s: alpha is kept where it should not, or lost", r.Name)
		}
	}
	if len(want) > 0 {
		t.Errorf("no files %v", want)
	}
}
