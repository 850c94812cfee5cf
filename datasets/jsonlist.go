package datasets

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// maxRow bounds one row of a JSON file. A row with two pictures in base64 has a few megabytes.
const maxRow = 64 << 20

var errRowTooLong = fmt.Errorf("the row is longer than %d MiB", maxRow>>20)

// budget is a reader that fails when more than left bytes are asked of it.
type budget struct {
	r    io.Reader
	left int64
}

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errRowTooLong
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// list streams the elements of a JSON list.
type list struct {
	file  *os.File
	limit *budget
	dec   *json.Decoder
	parse func([]byte, *input) (Record, error)
	in    *input
	row   int
	named bool // values of an object, not elements of a list
}

// openList finds the list: the whole file, the value of f.list in an object, or with "*" the object's values.
func openList(path string, f *format, in *input) (source, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	l := &list{file: file, parse: f.row, in: in}
	l.limit = &budget{skipMark(file), maxRow}
	l.dec = json.NewDecoder(l.limit)
	if err := l.enter(f.list); err != nil {
		_ = file.Close()
		return nil, &FileError{File: path, Err: err}
	}
	return l, nil
}

// skipMark drops a byte order mark.
func skipMark(r io.Reader) io.Reader {
	b := bufio.NewReaderSize(r, 1<<16)
	if head, _ := b.Peek(3); string(head) == "\ufeff" {
		_, _ = b.Discard(3)
	}
	return b
}

func (l *list) enter(key string) error {
	tok, err := l.dec.Token()
	switch {
	case err != nil:
		return notJSON(err)
	case tok == json.Delim('[') && key == "":
		return nil
	case tok != json.Delim('{') || key == "":
		return errors.New("want a JSON list")
	case key == "*":
		l.named = true
		return nil
	}
	for l.dec.More() {
		name, err := l.dec.Token()
		if err != nil {
			return notJSON(err)
		}
		if name == key {
			if tok, err := l.dec.Token(); err != nil || tok != json.Delim('[') {
				return fmt.Errorf("%q is not a list", key)
			}
			return nil
		}
		var skipped json.RawMessage
		if err := l.dec.Decode(&skipped); err != nil {
			return notJSON(err)
		}
		l.limit.left = maxRow
	}
	return fmt.Errorf("the object has no key %q", key)
}

func notJSON(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the file is empty")
	}
	return fmt.Errorf("not JSON: %w", err)
}

func (l *list) next() (Record, error) {
	if !l.dec.More() {
		if _, err := l.dec.Token(); err != nil {
			return Record{}, &FileError{File: l.in.file, Row: l.row + 1, Err: fmt.Errorf("the list does not end: %w", eof(err))}
		}
		return Record{}, io.EOF
	}
	l.row++
	l.limit.left = maxRow
	var raw json.RawMessage
	var err error
	if l.named {
		_, err = l.dec.Token()
	}
	if err == nil {
		err = l.dec.Decode(&raw)
	}
	if err != nil {
		return Record{}, &FileError{File: l.in.file, Row: l.row, Err: fmt.Errorf("byte %d: %w", l.dec.InputOffset(), eof(err))}
	}
	rec, err := l.parse(raw, l.in)
	rec.Row = l.row
	return rec, place(err, l.in.file, l.row)
}

func (l *list) close() error { return l.file.Close() }

// eof keeps the end of a cut file from looking like the end of a stream.
func eof(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// number is a JSON number that may be null.
type number float64

// UnmarshalJSON reads null as NaN.
func (n *number) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*n = number(math.NaN())
		return nil
	}
	return json.Unmarshal(data, (*float64)(n))
}

func floats(ns []number) []float64 {
	out := make([]float64, len(ns))
	for i, n := range ns {
		out[i] = float64(n)
	}
	return out
}
