package datasets

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
)

// lines yields the lines of a file that are not blank. A line over the limit is skipped to its end and reported.
type lines struct {
	r     *bufio.Reader
	limit int
	line  int
	buf   []byte
}

func newLines(r io.Reader, limit int) *lines {
	return &lines{r: bufio.NewReaderSize(r, 1<<16), limit: limit}
}

// next returns the line without its end; it stays valid until the next call. The error is io.EOF, errRowTooLong, or the
// file's.
func (l *lines) next() ([]byte, error) {
	for {
		text, err := l.read()
		if err != nil {
			return nil, err
		}
		if l.line == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		if len(bytes.TrimSpace(text)) > 0 {
			return text, nil
		}
	}
}

func (l *lines) read() ([]byte, error) {
	l.buf = l.buf[:0]
	long := false
	l.line++
	for {
		part, err := l.r.ReadSlice('\n')
		if !long && len(l.buf)+len(part) > l.limit {
			long = true
		}
		if !long {
			l.buf = append(l.buf, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		case err != nil && len(part) == 0 && len(l.buf) == 0 && !long:
			return nil, io.EOF
		case long:
			return nil, errRowTooLong
		}
		return bytes.TrimRight(l.buf, "\r\n"), nil
	}
}

// jsonLines is a file with one JSON value a line.
type jsonLines struct {
	file  *os.File
	lines *lines
	parse func([]byte, *input) (Record, error)
	in    *input
}

func openLines(path string, f *format, in *input) (source, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &jsonLines{file: file, lines: newLines(file, maxRow), parse: f.row, in: in}, nil
}

func (j *jsonLines) next() (Record, error) {
	text, err := j.lines.next()
	switch {
	case errors.Is(err, io.EOF):
		return Record{}, io.EOF
	case errors.Is(err, errRowTooLong):
		return Record{}, place(err, j.in.file, j.lines.line)
	case err != nil:
		return Record{}, &FileError{File: j.in.file, Row: j.lines.line, Err: err}
	}
	rec, err := j.parse(text, j.in)
	rec.Row = j.lines.line
	return rec, place(err, j.in.file, j.lines.line)
}

func (j *jsonLines) close() error { return j.file.Close() }
