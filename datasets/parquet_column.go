package datasets

import (
	"bufio"
	"encoding/binary"
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
	maxFooter     = 64 << 20
	maxPage       = 512 << 20
	maxPageHeader = 16 << 20 // statistics may hold a picture
	maxPageValues = 32 << 20
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
	_, err := scanThrift(io.NewSectionReader(r, size-8-n, n), n)
	return eof(err)
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
	if first < 0 || meta.TotalCompressedSize < 0 || first > size || meta.TotalCompressedSize > size-first {
		return fmt.Errorf("%d bytes from byte %d of a file of %d", meta.TotalCompressedSize, first, size)
	}
	end := first + meta.TotalCompressedSize
	for at := first; at < end; {
		n, err := checkPage(io.NewSectionReader(r, at, end-at), end-at, meta.Codec)
		if err != nil {
			return fmt.Errorf("page at byte %d: %w", at, eof(err))
		}
		at += n
	}
	return nil
}

// checkPage checks one page and returns its length, header included.
func checkPage(section *io.SectionReader, left int64, codec pqformat.CompressionCodec) (int64, error) {
	header, err := scanThrift(section, min(left, maxPageHeader))
	if err != nil {
		return 0, err
	}
	var h pqformat.PageHeader
	var protocol thrift.CompactProtocol
	if err := thrift.NewDecoder(protocol.NewReader(bufio.NewReader(io.NewSectionReader(section, 0, header)))).Decode(&h); err != nil {
		return 0, err
	}
	body := int64(h.CompressedPageSize)
	values := max(h.DataPageHeader.V.NumValues, h.DataPageHeaderV2.V.NumValues, h.DictionaryPageHeader.V.NumValues)
	if body < 0 || body > left-header || body > maxPage || h.UncompressedPageSize < 0 || h.UncompressedPageSize > maxPage || values > maxPageValues {
		return 0, fmt.Errorf("claims %d bytes, %d unpacked, %d values; %d bytes are left, and the limits are %d bytes and %d values",
			body, h.UncompressedPageSize, values, left-header, maxPage, maxPageValues)
	}
	unpacked := h.DataPageHeaderV2.Valid && h.DataPageHeaderV2.V.IsCompressed.Valid && !h.DataPageHeaderV2.V.IsCompressed.V
	if codec == pqformat.Snappy && !unpacked {
		var head [binary.MaxVarintLen64]byte
		levels := int64(h.DataPageHeaderV2.V.RepetitionLevelsByteLength) + int64(h.DataPageHeaderV2.V.DefinitionLevelsByteLength)
		n, _ := section.ReadAt(head[:min(int64(len(head)), max(body-levels, 0))], header+levels)
		if size, _ := binary.Uvarint(head[:n]); size > uint64(h.UncompressedPageSize) {
			return 0, fmt.Errorf("unpacks to %d bytes, not %d", size, h.UncompressedPageSize)
		}
	}
	return header + body, nil
}
