package datasets

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// csvFile streams a CSV file with a header and quotes. A row whose number of fields or quotes are wrong is a *RowError.
type csvFile struct {
	file   *os.File
	limit  *budget
	rd     *csv.Reader
	in     *input
	header []string
	parse  func(c *csvFile, cells []string) (Record, error)
	line   int
}

// openCSV needs one of the names of each group in the header.
func openCSV(path string, in *input, parse func(*csvFile, []string) (Record, error), need ...[]string) (*csvFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	c := &csvFile{file: file, in: in, parse: parse}
	c.limit = &budget{skipMark(file), maxRow}
	c.rd = csv.NewReader(bufio.NewReader(c.limit))
	c.rd.ReuseRecord = true
	header, err := c.rd.Read()
	if err == nil {
		for _, h := range header {
			c.header = append(c.header, strings.TrimSpace(h))
		}
		for _, names := range need {
			if column(c.header, names) < 0 {
				err = fmt.Errorf("no column is called %s", strings.Join(names, ", "))
				break
			}
		}
	}
	if err != nil {
		return nil, errors.Join(&FileError{File: path, Err: eof(err)}, file.Close())
	}
	return c, nil
}

// get is the cell under the first of some names that the header has.
func (c *csvFile) get(cells []string, names ...string) string {
	return cell(cells, column(c.header, names))
}

func (c *csvFile) next() (Record, error) {
	c.limit.left = maxRow
	cells, err := c.rd.Read()
	if errors.Is(err, io.EOF) {
		return Record{}, io.EOF
	}
	var wrong *csv.ParseError
	switch {
	case errors.As(err, &wrong):
		c.line = wrong.StartLine
		return Record{Row: c.line}, place(wrong.Err, c.in.file, c.line)
	case err != nil:
		return Record{}, &FileError{File: c.in.file, Row: c.line + 1, Err: err}
	}
	c.line, _ = c.rd.FieldPos(0)
	rec, err := c.parse(c, cells)
	rec.Row = c.line
	return rec, place(err, c.in.file, c.line)
}

func (c *csvFile) close() error { return c.file.Close() }
