// Package pngmeta writes and reads the text chunks of PNG files (tEXt, zTXt and
// iTXt of the PNG specification, third edition, section 11.3.3), which is where
// tools keep the settings that made a picture. The standard library's encoder
// cannot write them and its decoder skips them.
//
// Reading never decodes the picture, checks each chunk's CRC, and holds no more
// than a few MiB, whatever the file claims.
package pngmeta

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"strings"
	"unicode/utf8"
)

const signature = "\x89PNG\r\n\x1a\n"

// Limits on what is read, and on what is written so that it can be read back.
const (
	maxText    = 4 << 20 // bytes of one text, inflated
	maxChunks  = 256     // text chunks of a file
	maxKeyword = 79      // bytes, set by the specification
)

// Chunk is one text entry. Text is UTF-8 and may hold line breaks but no NUL.
type Chunk struct{ Keyword, Text string }

// Error says where a PNG file stops making sense.
type Error struct {
	Offset int64  // of the chunk, in bytes from the start
	Chunk  string // its type; "" for the signature
	Why    string
	Err    error
}

// Error is "pngmeta: CHUNK at byte N: why".
func (e *Error) Error() string {
	s := "pngmeta: "
	if e.Chunk != "" {
		s += fmt.Sprintf("%s chunk at ", e.Chunk)
	}
	s += fmt.Sprintf("byte %d: %s", e.Offset, e.Why)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Encode writes img as PNG with the texts in front of its pixels. Latin-1 text
// becomes a tEXt chunk and any other an iTXt chunk, which is what Pillow writes
// and what every reader of such files expects.
func Encode(w io.Writer, img image.Image, texts ...Chunk) error {
	var extra []byte
	for _, t := range texts {
		kind, data, err := encodeText(t)
		if err != nil {
			return err
		}
		extra = appendChunk(extra, kind, data)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return fmt.Errorf("pngmeta: %w", err)
	}
	const header = len(signature) + 4 + 4 + 13 + 4 // IHDR comes first and is always 13 bytes long
	for _, part := range [][]byte{b.Bytes()[:header], extra, b.Bytes()[header:]} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

func encodeText(t Chunk) (kind string, data []byte, err error) {
	switch {
	case t.Keyword == "" || len(t.Keyword) > maxKeyword || strings.TrimFunc(t.Keyword, printable) != "":
		return "", nil, fmt.Errorf("pngmeta: keyword %q must be 1 to %d printable ASCII characters", t.Keyword, maxKeyword)
	case len(t.Text) > maxText:
		return "", nil, fmt.Errorf("pngmeta: text of %q has %d bytes; the limit is %d", t.Keyword, len(t.Text), maxText)
	case strings.Contains(t.Text, "\x00") || !utf8.ValidString(t.Text):
		return "", nil, fmt.Errorf("pngmeta: text of %q holds a NUL or is not UTF-8", t.Keyword)
	}
	data = append([]byte(t.Keyword), 0)
	if latin, ok := toLatin1(t.Text); ok {
		return "tEXt", append(data, latin...), nil
	}
	// Not compressed, method 0, no language tag, no translated keyword.
	return "iTXt", append(append(data, 0, 0, 0, 0), t.Text...), nil
}

func printable(r rune) bool { return r >= ' ' && r <= '~' }

func toLatin1(s string) ([]byte, bool) {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xFF {
			return nil, false
		}
		out = append(out, byte(r))
	}
	return out, true
}

func fromLatin1(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}

func appendChunk(out []byte, kind string, data []byte) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(len(data)))
	start := len(out)
	out = append(append(out, kind...), data...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[start:]))
}

// Read returns the text chunks of a PNG file in file order. What it found
// before an error is returned with the error, which is always an *Error.
func Read(r io.Reader) ([]Chunk, error) {
	in := bufio.NewReader(r)
	head := make([]byte, len(signature))
	if _, err := io.ReadFull(in, head); err != nil || string(head) != signature {
		return nil, &Error{Why: "this is not a PNG file"}
	}
	var texts []Chunk
	for offset := int64(len(signature)); ; {
		kind, data, size, err := readChunk(in, offset)
		if err != nil {
			return texts, err
		}
		if kind == "IEND" {
			return texts, nil
		}
		if data != nil {
			t, err := decodeText(kind, data)
			if err != nil {
				return texts, &Error{Offset: offset, Chunk: kind, Why: "is malformed", Err: err}
			}
			if texts = append(texts, t); len(texts) > maxChunks {
				return texts[:maxChunks], &Error{Offset: offset, Chunk: kind, Why: fmt.Sprintf("the file has more than %d texts", maxChunks)}
			}
		}
		offset += size
	}
}

// readChunk reads the chunk at offset; data is nil unless it holds text.
func readChunk(in *bufio.Reader, offset int64) (kind string, data []byte, size int64, err error) {
	fail := func(why string, cause error) (string, []byte, int64, error) {
		if errors.Is(cause, io.ErrUnexpectedEOF) || errors.Is(cause, io.EOF) {
			why, cause = "the file ends here", nil
		}
		return "", nil, 0, &Error{Offset: offset, Chunk: kind, Why: why, Err: cause}
	}
	var head [8]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return fail("cannot be read", err)
	}
	length := int64(binary.BigEndian.Uint32(head[:]))
	for _, c := range head[4:] {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			return fail("a chunk type that is not four letters", nil)
		}
	}
	kind = string(head[4:])
	size = length + 12
	if kind != "tEXt" && kind != "zTXt" && kind != "iTXt" {
		if _, err := io.CopyN(io.Discard, in, length+4); err != nil {
			return fail("cannot be read", err)
		}
		return kind, nil, size, nil
	}
	if length > maxText+maxKeyword+1024 {
		return fail(fmt.Sprintf("claims %d bytes of text; the limit is %d", length, maxText), nil)
	}
	data = make([]byte, length+4)
	if _, err := io.ReadFull(in, data); err != nil {
		return fail("cannot be read", err)
	}
	data, sum := data[:length], binary.BigEndian.Uint32(data[length:])
	if crc32.Update(crc32.ChecksumIEEE(head[4:]), crc32.IEEETable, data) != sum {
		return fail("its checksum is wrong", nil)
	}
	return kind, data, size, nil
}

var errCut = errors.New("a separator is missing")

func decodeText(kind string, data []byte) (Chunk, error) {
	key, rest, ok := bytes.Cut(data, []byte{0})
	if !ok || len(key) == 0 || len(key) > maxKeyword {
		return Chunk{}, errors.New("keyword of a wrong length")
	}
	t := Chunk{Keyword: fromLatin1(key)}
	if kind == "tEXt" {
		t.Text = fromLatin1(rest)
		return t, nil
	}
	compressed, utf := kind == "zTXt", kind == "iTXt"
	if utf {
		if len(rest) < 2 {
			return t, errCut
		}
		compressed, rest = rest[0] == 1, rest[1:]
	}
	if len(rest) < 1 || rest[0] != 0 {
		return t, errors.New("unknown compression method")
	}
	rest = rest[1:]
	for range 2 * b2i(utf) { // language tag and translated keyword
		if _, rest, ok = bytes.Cut(rest, []byte{0}); !ok {
			return t, errCut
		}
	}
	if compressed {
		var err error
		if rest, err = inflate(rest); err != nil {
			return t, err
		}
	}
	if !utf {
		t.Text = fromLatin1(rest)
		return t, nil
	}
	if !utf8.Valid(rest) {
		return t, errors.New("text is not UTF-8")
	}
	t.Text = string(rest)
	return t, nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// inflate stops at maxText, so that a few bytes cannot become gigabytes.
func inflate(data []byte) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(z, maxText+1))
	if err != nil {
		return nil, err
	}
	if len(out) > maxText {
		return nil, fmt.Errorf("text inflates to more than %d bytes", maxText)
	}
	return out, nil
}
