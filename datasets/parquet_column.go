package datasets

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	pqformat "github.com/parquet-go/parquet-go/format"
)

// Limits of a parquet file. Pages of 100 rows with two pictures have some 30 MB.
const (
	maxFooter = 256 << 20
	maxPage   = 1 << 30
)

// leaf is a column that holds values.
type leaf struct {
	name   string // path joined by dots, without the layers that lists add
	index  int
	lists  bool          // a row may have several values
	unit   time.Duration // of a timestamp; 0 for other columns
	binary bool          // bytes that are not text
}

// openFooter opens a parquet file after checking the length of its footer.
func openFooter(path string) (*os.File, *parquet.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	var pq *parquet.File
	err = guard(func() (err error) {
		info, err := file.Stat()
		if err != nil {
			return err
		}
		if err := checkFooter(file, info.Size()); err != nil {
			return err
		}
		pq, err = parquet.OpenFile(file, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true),
			parquet.ReadBufferSize(64<<10))
		return err
	})
	if err != nil {
		return nil, nil, errors.Join(&FileError{File: path, Err: err}, file.Close())
	}
	return file, pq, nil
}

func checkFooter(r io.ReaderAt, size int64) error {
	var tail [8]byte
	if size < 12 {
		return errors.New("too short for a parquet file")
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
		return err
	}
	n := int64(tail[0]) | int64(tail[1])<<8 | int64(tail[2])<<16 | int64(tail[3])<<24
	if string(tail[4:]) != "PAR1" {
		return errors.New("not a parquet file, or cut off: it does not end in PAR1")
	}
	if n > size-12 || n > maxFooter {
		return fmt.Errorf("the footer claims %d bytes; the file has %d and the limit is %d", n, size, maxFooter)
	}
	return nil
}

// leaves lists the columns with values.
func leaves(pq *parquet.File) []leaf {
	var all []leaf
	var walk func(c *parquet.Column)
	walk = func(c *parquet.Column) {
		if c.Leaf() {
			t := c.Type()
			unit := time.Duration(0)
			if logical := t.LogicalType(); logical != nil {
				if stamp, ok := logical.Value.(*pqformat.TimestampType); ok && stamp.Unit.Value != nil {
					unit = stamp.Unit.Value.Duration()
				}
			}
			all = append(all, leaf{
				name: strings.Join(plain(c.Path()), "."), index: c.Index(), lists: c.MaxRepetitionLevel() > 0, unit: unit,
				binary: t.Kind() == parquet.ByteArray && t.LogicalType() == nil && t.ConvertedType() == nil,
			})
		}
		for _, child := range c.Columns() {
			walk(child)
		}
	}
	walk(pq.Root())
	return all
}

// time reads a timestamp in the unit of its column, microseconds by default.
func (l leaf) time(v int64) time.Time {
	switch l.unit {
	case time.Nanosecond:
		return time.Unix(0, v).UTC()
	case time.Millisecond:
		return time.UnixMilli(v).UTC()
	}
	return time.UnixMicro(v).UTC()
}

// plain leaves out what lists add to a path: "list.element", "list.item", "bag.array_element".
func plain(path []string) []string {
	path = slices.Clone(path)
	for i := 1; i+1 < len(path); i++ {
		if (path[i] == "list" || path[i] == "bag") && slices.Contains([]string{"element", "item", "array_element", "array"}, path[i+1]) {
			path = slices.Delete(path, i, i+2)
			i--
		}
	}
	return path
}

// cursor walks one column of a file.
type cursor struct {
	leaf
	r      *os.File
	size   int64 // of the file
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buf    [64]parquet.Value
	ahead  []parquet.Value // read and not used
	row    []parquet.Value // of the current row; bytes belong to the page
}

func (c *cursor) release() {
	c.dropPage()
	if c.pages != nil {
		_ = c.pages.Close()
		c.pages = nil
	}
}

func (c *cursor) dropPage() {
	if c.page != nil {
		parquet.Release(c.page)
		c.page = nil
	}
	c.ahead, c.row = nil, c.row[:0]
}

// enter starts a column chunk; the sizes that its pages claim are checked before any is read.
func (c *cursor) enter(chunk parquet.ColumnChunk, meta *pqformat.ColumnMetaData) error {
	c.release()
	if err := checkPages(c.r, c.size, meta); err != nil {
		return err
	}
	c.pages = chunk.Pages()
	return nil
}

// advance reads the values of the next row. A row ends before the next value with repetition level 0. Rows do not span
// pages, except that writers of version 1 pages may break lists; then the list's bytes are copied.
func (c *cursor) advance() error {
	c.row = c.row[:0]
	for {
		for len(c.ahead) > 0 {
			v := c.ahead[0]
			if len(c.row) > 0 && v.RepetitionLevel() == 0 {
				return nil
			}
			if len(c.row) >= maxGroup {
				return fmt.Errorf("more than %d values in one row", maxGroup)
			}
			c.row = append(c.row, v)
			c.ahead = c.ahead[1:]
			if !c.lists {
				return nil
			}
		}
		if err := c.fill(); err != nil {
			if errors.Is(err, io.EOF) && len(c.row) > 0 {
				return nil
			}
			return err
		}
	}
}

// fill reads values ahead.
func (c *cursor) fill() error {
	for {
		if c.page == nil {
			page, err := c.pages.ReadPage()
			if err != nil {
				return err
			}
			c.page, c.values = page, page.Values()
		}
		n, err := c.values.ReadValues(c.buf[:])
		if n > 0 {
			c.ahead = c.buf[:n]
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		for i := range c.row { // a list that goes on in the next page
			c.row[i] = c.row[i].Clone()
		}
		row := c.row
		c.dropPage()
		c.row = row
	}
}

// checkPages walks the page headers of a chunk and refuses sizes over the limits, which the library would allocate.
func checkPages(r io.ReaderAt, size int64, meta *pqformat.ColumnMetaData) error {
	first := meta.DataPageOffset
	if meta.DictionaryPageOffset != 0 {
		first = meta.DictionaryPageOffset
	}
	end := first + meta.TotalCompressedSize
	if first < 0 || meta.TotalCompressedSize < 0 || first > size || meta.TotalCompressedSize > size-first {
		return fmt.Errorf("bytes %d to %d of a file of %d", first, end, size)
	}
	buf := bufio.NewReaderSize(nil, 4096)
	for at := first; at < end; {
		section := io.NewSectionReader(r, at, end-at)
		buf.Reset(section)
		var protocol thrift.CompactProtocol
		var h pqformat.PageHeader
		if err := thrift.NewDecoder(protocol.NewReader(buf)).Decode(&h); err != nil {
			return fmt.Errorf("page header at byte %d: %w", at, eof(err))
		}
		read, _ := section.Seek(0, io.SeekCurrent)
		header := read - int64(buf.Buffered())
		body := int64(h.CompressedPageSize)
		if header <= 0 || body < 0 || body > end-at-header || body > maxPage || h.UncompressedPageSize < 0 || h.UncompressedPageSize > maxPage {
			return fmt.Errorf("the page at byte %d claims %d bytes, %d unpacked; %d are left and the limit is %d",
				at, body, h.UncompressedPageSize, end-at-header, maxPage)
		}
		at += header + body
	}
	return nil
}
