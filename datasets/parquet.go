package datasets

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
	pqformat "github.com/parquet-go/parquet-go/format"
)

// parquetFile streams the rows of a parquet file. Of every column that is wanted it holds one page; row groups are not
// read as a whole.
type parquetFile struct {
	file   *os.File
	pq     *parquet.File
	groups []parquet.RowGroup
	group  int // number of groups entered
	table  table
	f      *format
	in     *input
	row    int   // rows done
	left   int64 // rows of the current group that are left
}

// table is the current row, by column name.
type table struct {
	columns map[string]*cursor // that are read
	all     []leaf
}

// openParquet checks the file's outline and the columns that the format needs.
func openParquet(path string, f *format, in *input) (source, error) {
	file, pq, err := openFooter(path)
	if err != nil {
		return nil, err
	}
	p := &parquetFile{
		file: file, pq: pq, groups: pq.RowGroups(), f: f, in: in,
		table: table{columns: map[string]*cursor{}, all: leaves(pq)},
	}
	for _, leaf := range p.table.all {
		if f.column == nil || wanted(f.column, leaf.name) {
			if !in.WithoutData || !leaf.binary {
				p.table.columns[leaf.name] = &cursor{leaf: leaf, size: pq.Size(), r: file}
			}
		}
	}
	if err := f.wants(&p.table); err != nil {
		return nil, errors.Join(&FileError{File: path, Err: err}, file.Close())
	}
	return p, nil
}

// wanted says whether a column or the structure around it is in the list.
func wanted(list []string, name string) bool {
	head, _, _ := strings.Cut(name, ".")
	return slices.Contains(list, head)
}

// guard turns a panic of the parquet library on a damaged file into an error.
func guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the parquet structure is damaged: %v", p)
		}
	}()
	return do()
}

func (p *parquetFile) next() (Record, error) {
	for p.left == 0 {
		if p.group >= len(p.groups) {
			return Record{}, io.EOF
		}
		group, meta := p.groups[p.group], &p.pq.Metadata().RowGroups[p.group]
		p.group++
		p.left = max(group.NumRows(), 0)
		if err := guard(func() error { return p.table.enter(group, meta) }); err != nil {
			return Record{}, p.broken(err)
		}
	}
	p.left--
	p.row++
	if err := guard(p.table.advance); err != nil {
		return Record{}, p.broken(err)
	}
	rec, err := p.f.table(&p.table, p.in)
	rec.Row = p.row
	return rec, place(err, p.in.file, p.row)
}

// broken is a final error: behind a damaged page the columns are out of step.
func (p *parquetFile) broken(err error) error {
	p.left, p.group = 0, len(p.groups)
	return &FileError{File: p.in.file, Row: p.row, Err: eof(err)}
}

func (p *parquetFile) close() error {
	for _, c := range p.table.columns {
		c.release()
	}
	return p.file.Close()
}

// enter starts a row group in every column.
func (t *table) enter(group parquet.RowGroup, meta *pqformat.RowGroup) error {
	chunks := group.ColumnChunks()
	for _, c := range t.columns {
		if c.index >= len(chunks) || c.index >= len(meta.Columns) {
			return fmt.Errorf("column %q is missing in a row group", c.name)
		}
		if err := c.enter(chunks[c.index], &meta.Columns[c.index].MetaData); err != nil {
			return fmt.Errorf("column %q: %w", c.name, err)
		}
	}
	return nil
}

func (t *table) advance() error {
	for _, c := range t.columns {
		if err := c.advance(); err != nil {
			return fmt.Errorf("column %q: %w", c.name, eof(err))
		}
	}
	return nil
}

// has says whether the file has a column, whether or not it is being read.
func (t *table) has(name string) bool {
	return slices.ContainsFunc(t.all, func(l leaf) bool { return l.name == name })
}

// need refuses files without some columns.
func (t *table) need(names ...string) error {
	for _, name := range names {
		if !t.has(name) {
			return fmt.Errorf("the file has no column %q", name)
		}
	}
	return nil
}

// value is the row's single value of a column; ok is false when it is null or the column is not there.
func (t *table) value(name string) (v parquet.Value, ok bool) {
	c := t.columns[name]
	if c == nil || len(c.row) == 0 || c.row[0].IsNull() {
		return v, false
	}
	return c.row[0], true
}

// text is a string column; "" when null.
func (t *table) text(name string) (string, error) {
	v, ok := t.value(name)
	switch {
	case !ok:
		return "", nil
	case v.Kind() != parquet.ByteArray && v.Kind() != parquet.FixedLenByteArray:
		return v.String(), nil
	case len(v.ByteArray()) > maxRow:
		return "", columnf(name, "a text of %d bytes; the limit is %d", len(v.ByteArray()), maxRow)
	}
	return string(v.ByteArray()), nil
}

// bytes is a copy of a binary column; nil when null.
func (t *table) bytes(name string) ([]byte, error) {
	v, ok := t.value(name)
	if !ok {
		return nil, nil
	}
	return pictureBytes(name, v)
}

func pictureBytes(name string, v parquet.Value) ([]byte, error) {
	switch {
	case v.IsNull():
		return nil, nil
	case v.Kind() != parquet.ByteArray:
		return nil, columnf(name, "holds %v, not bytes", v.Kind())
	case len(v.ByteArray()) > MaxImageBytes:
		return nil, columnf(name, "a picture of %d bytes; the limit is %d", len(v.ByteArray()), MaxImageBytes)
	}
	return slices.Clone(v.ByteArray()), nil
}

// number is a numeric column; NaN when null.
func (t *table) number(name string) (float64, error) {
	v, ok := t.value(name)
	if !ok {
		return math.NaN(), nil
	}
	return numeric(name, v)
}

func numeric(name string, v parquet.Value) (float64, error) {
	if v.IsNull() {
		return math.NaN(), nil
	}
	switch v.Kind() {
	case parquet.Boolean:
		if v.Boolean() {
			return 1, nil
		}
		return 0, nil
	case parquet.Int32:
		return float64(v.Int32()), nil
	case parquet.Int64:
		return float64(v.Int64()), nil
	case parquet.Float:
		return float64(v.Float()), nil
	case parquet.Double:
		return v.Double(), nil
	}
	return math.NaN(), columnf(name, "holds %v, not a number", v.Kind())
}
