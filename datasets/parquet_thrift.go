package datasets

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The parquet library allocates what lengths in the metadata claim before it reads on. thriftScan walks a structure in
// Thrift's compact protocol first, allocates nothing, and refuses lengths that the bytes cannot hold.
type thriftScan struct {
	r       *bufio.Reader
	left    int64 // bytes that may follow
	structs int64 // elements of lists that may follow; each is far larger in memory than on disk
}

// Limits of one structure. The smallest list element of real files, a schema element, has some 8 bytes.
const (
	thriftDepth   = 32
	structPerByte = 8
)

var errThrift = errors.New("the metadata are damaged: a length is larger than what is left")

// scanThrift reads one structure and returns its length. It takes no more than limit bytes.
func scanThrift(r io.Reader, limit int64) (int64, error) {
	s := &thriftScan{r: bufio.NewReaderSize(r, 4096), left: limit, structs: 64 + limit/structPerByte}
	err := s.object(thriftDepth)
	return limit - s.left, err
}

func (s *thriftScan) byte() (byte, error) {
	if s.left < 1 {
		return 0, errThrift
	}
	s.left--
	return s.r.ReadByte()
}

func (s *thriftScan) skip(n uint64) error {
	if n > uint64(max(s.left, 0)) {
		return errThrift
	}
	s.left -= int64(n)
	_, err := s.r.Discard(int(n))
	return err
}

// ReadByte lets encoding/binary read varints.
func (s *thriftScan) ReadByte() (byte, error) { return s.byte() }

func (s *thriftScan) varint() (uint64, error) { return binary.ReadUvarint(s) }

// object walks the fields of a structure.
func (s *thriftScan) object(depth int) error {
	if depth == 0 {
		return errors.New("the metadata are nested too deep")
	}
	for {
		head, err := s.byte()
		if err != nil || head == 0 {
			return err
		}
		if head>>4 == 0 { // the field's number follows
			if _, err := s.varint(); err != nil {
				return err
			}
		}
		kind := head & 15
		if kind == 1 || kind == 2 { // a bool's value is its kind
			continue
		}
		if err := s.value(kind, depth); err != nil {
			return err
		}
	}
}

// value walks one value. As an element of a list, a bool takes a byte.
func (s *thriftScan) value(kind byte, depth int) error {
	switch kind {
	case 1, 2, 3:
		return s.skip(1)
	case 4, 5, 6:
		_, err := s.varint()
		return err
	case 7:
		return s.skip(8)
	case 8:
		n, err := s.varint()
		if err != nil {
			return err
		}
		return s.skip(n)
	case 9, 10:
		return s.list(depth)
	case 12:
		return s.object(depth - 1)
	}
	return fmt.Errorf("the metadata hold a value of unknown kind %d", kind)
}

func (s *thriftScan) list(depth int) error {
	if depth == 0 {
		return errors.New("the metadata are nested too deep")
	}
	head, err := s.byte()
	if err != nil {
		return err
	}
	n := uint64(head >> 4)
	if n == 15 {
		if n, err = s.varint(); err != nil {
			return err
		}
	}
	kind := head & 15
	if n > uint64(max(s.left, 0)) {
		return errThrift
	}
	if kind == 12 || kind == 8 || kind == 9 {
		if s.structs -= int64(n); s.structs < 0 {
			return errThrift
		}
	}
	for range n {
		if err := s.value(kind, depth-1); err != nil {
			return err
		}
	}
	return nil
}
