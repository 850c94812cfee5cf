package imageproc

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/png"
	"io"
	"io/fs"
	"net/http"
	"os"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// Kinds of failure, to be found with errors.Is.
var (
	ErrEmpty    = errors.New("file is empty")
	ErrFormat   = errors.New("not an image of a supported format")
	ErrTooLarge = errors.New("image is larger than allowed")
	ErrDamaged  = errors.New("image is damaged or cut off")
)

// Limits bound what is decoded; they are checked before memory is taken.
type Limits struct {
	Bytes  int64 // file size; 0: 256 MiB
	Pixels int   // width × height; 0: 64 Mi
	Side   int   // width or height; 0: 65,535
}

// DefaultLimits are the limits that a zero Limits means.
var DefaultLimits = Limits{Bytes: 256 << 20, Pixels: 64 << 20, Side: 1<<16 - 1}

func (l Limits) filled() Limits {
	if l.Bytes == 0 {
		l.Bytes = DefaultLimits.Bytes
	}
	if l.Pixels == 0 {
		l.Pixels = DefaultLimits.Pixels
	}
	if l.Side == 0 {
		l.Side = DefaultLimits.Side
	}
	return l
}

// DecodeError says which file could not be used, why, and what to do.
type DecodeError struct {
	File string
	Why  string // what was found and what helps
	Err  error  // one of the kinds above, or the error of the file system
}

// Error is "FILE: kind: why".
func (e *DecodeError) Error() string {
	if e.Why == "" {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s: %v: %s", e.File, e.Err, e.Why)
}

// Unwrap returns the kind.
func (e *DecodeError) Unwrap() error { return e.Err }

// format is one entry of the explicit list.
type format struct {
	name   string
	magic  []string
	config func(io.Reader) (image.Config, error)
	decode func([]byte) (image.Image, error)
}

var formats = []format{
	{"PNG", []string{"\x89PNG\r\n\x1a\n"}, png.DecodeConfig, decodePNG},
	{"JPEG", []string{"\xff\xd8\xff"}, configJPEG, decodeJPEG},
	{"GIF", []string{"GIF87a", "GIF89a"}, gif.DecodeConfig, decodeGIF},
	{"WebP", []string{"RIFF????WEBPVP8"}, webp.DecodeConfig, guarded(webp.Decode)},
	{"BMP", []string{"BM????\x00\x00\x00\x00"}, bmp.DecodeConfig, reading(bmp.Decode)},
	{"TIFF", []string{"II*\x00", "MM\x00*"}, tiff.DecodeConfig, guarded(tiff.Decode)},
}

func reading(f func(io.Reader) (image.Image, error)) func([]byte) (image.Image, error) {
	return func(data []byte) (image.Image, error) { return f(bytes.NewReader(data)) }
}

// Open decodes a file. Errors are *DecodeError.
func Open(path string, limits Limits) (*image.NRGBA, error) {
	f, err := os.Open(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err // the path stands in front already
		}
		return nil, &DecodeError{File: path, Err: err}
	}
	defer f.Close()
	limits = limits.filled()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, &DecodeError{File: path, Why: "it is a folder; name the images in it", Err: ErrFormat}
	}
	data, err := io.ReadAll(io.LimitReader(f, limits.Bytes+1))
	if err != nil {
		return nil, &DecodeError{File: path, Err: err}
	}
	return Decode(path, data, limits)
}

// DecodeUpright is Decode, and turns a JPEG as its EXIF orientation says, which is
// how people see it. Judges that are shown pictures get it so; reward models were
// trained and measured without.
func DecodeUpright(name string, data []byte, limits Limits) (*image.NRGBA, error) {
	img, err := Decode(name, data, limits)
	if err != nil || sniff(data).name != "JPEG" {
		return img, err
	}
	return orient(img, exifOrientation(data)), nil
}

// Upright is what DecodeUpright gives, for a file that DecodeModes has decoded into img; nil where nothing is turned.
func Upright(img image.Image, data []byte) image.Image {
	if f := sniff(data); f == nil || f.name != "JPEG" {
		return nil
	}
	if o := exifOrientation(data); o >= 2 && o <= 8 {
		return orient(Opaque(img), o)
	}
	return nil
}

// Decode decodes an image held in memory as Pillow's open and convert("RGB") do;
// name stands for it in errors. The result is opaque, starts at (0, 0), and is
// never empty. EXIF orientation is not applied. Errors are *DecodeError; damaged
// data never panics.
func Decode(name string, data []byte, limits Limits) (*image.NRGBA, error) {
	img, f, err := decode(name, data, limits)
	if err != nil {
		return nil, err
	}
	return opaque(img, f.name), nil
}

// Size reads the size of an image from its header, which is checked against limits; nothing is decoded. Errors are
// *DecodeError, those that Decode would give.
func Size(name string, data []byte, limits Limits) (width, height int, err error) {
	_, config, err := header(name, data, limits.filled())
	return config.Width, config.Height, err
}

// header finds the format and checks what the header says.
func header(name string, data []byte, limits Limits) (*format, image.Config, error) {
	if len(data) == 0 {
		return nil, image.Config{}, &DecodeError{File: name, Why: "write it again", Err: ErrEmpty}
	}
	if int64(len(data)) > limits.Bytes {
		return nil, image.Config{}, &DecodeError{File: name, Why: fmt.Sprintf("the file has more than %d MiB", limits.Bytes>>20), Err: ErrTooLarge}
	}
	f := sniff(data)
	if f == nil {
		why := fmt.Sprintf("its content looks like %s; convert it to PNG, JPEG, GIF, WebP, BMP or TIFF", http.DetectContentType(data))
		return nil, image.Config{}, &DecodeError{File: name, Why: why, Err: ErrFormat}
	}
	if f.name == "WebP" && isAnimatedWebP(data) {
		return nil, image.Config{}, &DecodeError{File: name, Why: "it is an animated WebP; save one frame of it", Err: ErrFormat}
	}
	config, err := f.config(bytes.NewReader(data))
	if err != nil {
		return nil, image.Config{}, &DecodeError{File: name, Why: fmt.Sprintf("%s header: %v", f.name, err), Err: kindOf(err)}
	}
	return f, config, limits.check(name, config.Width, config.Height)
}

// decode gives what the decoder of the format gives, and the format.
func decode(name string, data []byte, limits Limits) (image.Image, *format, error) {
	limits = limits.filled()
	f, config, err := header(name, data, limits)
	if err != nil {
		return nil, nil, err
	}
	img, err := f.decode(data)
	if err != nil {
		return nil, nil, &DecodeError{File: name, Why: fmt.Sprintf("%s data: %v", f.name, err), Err: kindOf(err)}
	}
	// A decoder may return another size than its header says (WebP canvases, for one).
	if b := img.Bounds(); b.Dx() != config.Width || b.Dy() != config.Height {
		if err := limits.check(name, b.Dx(), b.Dy()); err != nil {
			return nil, nil, err
		}
	}
	return img, f, nil
}

// kindOf tells a variety that a decoder does not know from damage.
func kindOf(err error) error {
	var unknown tiff.UnsupportedError
	if errors.As(err, &unknown) || errors.Is(err, bmp.ErrUnsupported) {
		return ErrFormat
	}
	return ErrDamaged
}

func (l Limits) check(name string, w, h int) error {
	switch {
	case w <= 0 || h <= 0:
		return &DecodeError{File: name, Why: fmt.Sprintf("its size is %d×%d", w, h), Err: ErrDamaged}
	case w > l.Side || h > l.Side || w > l.Pixels/h:
		why := fmt.Sprintf("its header says %d×%d; the limit is %d pixels a side and %d in all", w, h, l.Side, l.Pixels)
		return &DecodeError{File: name, Why: why, Err: ErrTooLarge}
	}
	return nil
}

// sniff finds the format by the first bytes; names of files say nothing.
func sniff(data []byte) *format {
	for i := range formats {
		for _, m := range formats[i].magic {
			if matches(data, m) {
				return &formats[i]
			}
		}
	}
	return nil
}

// matches compares a prefix in which ? stands for any byte.
func matches(data []byte, magic string) bool {
	if len(data) < len(magic) {
		return false
	}
	for i := range len(magic) {
		if magic[i] != '?' && magic[i] != data[i] {
			return false
		}
	}
	return true
}

// isAnimatedWebP looks at the animation flag of the extended header.
func isAnimatedWebP(data []byte) bool {
	const flags, animation = 20, 0x02
	return len(data) > flags && string(data[12:16]) == "VP8X" && data[flags]&animation != 0
}

// guarded keeps panics of a decoder away from the caller: these decoders have had
// them on hostile data.
func guarded(decode func(io.Reader) (image.Image, error)) func([]byte) (image.Image, error) {
	return func(data []byte) (img image.Image, err error) {
		defer func() {
			if r := recover(); r != nil {
				img, err = nil, fmt.Errorf("decoder failed: %v", r)
			}
		}()
		return decode(bytes.NewReader(data))
	}
}
