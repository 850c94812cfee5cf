package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxHeader is the reference implementation's limit of the header's length.
const maxHeader = 100_000_000

// metadataKey is the header entry that is no tensor.
const metadataKey = "__metadata__"

type header struct {
	metadata map[string]string
	entries  []*entry
}

// entry is one tensor as the header declares it.
type entry struct {
	name       string
	dtype      string
	shape      []int
	begin, end uint64 // in the data section
}

// readHeader splits data into header and data section.
func readHeader(file string, data []byte) (h *header, body []byte, err error) {
	fail := func(format string, args ...any) (*header, []byte, error) {
		return nil, nil, &Error{File: file, What: fmt.Sprintf(format, args...), Cure: cureDamaged}
	}
	if len(data) < 8 {
		return fail("%d bytes are too few for a safetensors file", len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	if n > maxHeader {
		return fail("a header of %d bytes exceeds the limit of %d (is this a safetensors file?)", n, maxHeader)
	}
	if n > uint64(len(data)-8) {
		return fail("the header has %d bytes, but only %d follow", n, len(data)-8)
	}
	text, body := data[8:8+n], data[8+n:]
	if len(text) == 0 || text[0] != '{' || !utf8.Valid(text) {
		return fail("the header is no JSON object (is this a safetensors file?)")
	}
	d := &decoder{dec: json.NewDecoder(bytes.NewReader(text))}
	h, err = d.header()
	if err != nil {
		return nil, nil, &Error{File: file, Tensor: d.at, What: "header", Err: err, Cure: cureDamaged}
	}
	return h, body, nil
}

// decoder walks the header token by token: package json alone would let names that occur twice pass.
type decoder struct {
	dec *json.Decoder
	at  string // tensor being read, for messages
}

// object calls visit for each key of the JSON object that comes next.
func (d *decoder) object(visit func(key string) error) error {
	if t, err := d.dec.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(err, errors.New("an object is missing"))
	}
	seen := map[string]bool{}
	for d.dec.More() {
		t, err := d.dec.Token()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok {
			return fmt.Errorf("%v where a name should be", t)
		}
		if seen[key] {
			return fmt.Errorf("%q occurs twice", key)
		}
		seen[key] = true
		if err := visit(key); err != nil {
			return err
		}
	}
	_, err := d.dec.Token()
	return err
}

func (d *decoder) header() (*header, error) {
	h := &header{}
	err := d.object(func(key string) (err error) {
		if key == metadataKey {
			h.metadata, err = d.metadata()
			return err
		}
		d.at = key
		e, err := d.entry(key)
		h.entries = append(h.entries, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	d.at = ""
	if _, err := d.dec.Token(); err != io.EOF {
		return nil, errors.New("something follows the JSON object")
	}
	return h, nil
}

func (d *decoder) metadata() (map[string]string, error) {
	m := map[string]string{}
	err := d.object(func(key string) error {
		t, err := d.dec.Token()
		if err != nil {
			return err
		}
		text, ok := t.(string)
		if !ok {
			return fmt.Errorf("metadata %q is no text", key)
		}
		m[key] = text
		return nil
	})
	return m, err
}

func (d *decoder) entry(name string) (*entry, error) {
	e := &entry{name: name, shape: []int{}}
	found := 0
	err := d.object(func(key string) error {
		switch key {
		case "dtype":
			found |= 1
			return d.dec.Decode(&e.dtype)
		case "shape":
			found |= 2
			return d.shape(e)
		case "data_offsets":
			found |= 4
			return d.offsets(e)
		}
		var ignored json.RawMessage
		return d.dec.Decode(&ignored)
	})
	if err == nil && found != 7 {
		err = errors.New("dtype, shape or data_offsets is missing")
	}
	return e, err
}

func (d *decoder) shape(e *entry) error {
	var dims []uint64
	if err := d.dec.Decode(&dims); err != nil {
		return err
	}
	if dims == nil {
		return errors.New("shape is null")
	}
	for _, v := range dims {
		if int(v) < 0 || uint64(int(v)) != v {
			return fmt.Errorf("a dimension of %d", v)
		}
		e.shape = append(e.shape, int(v))
	}
	return nil
}

func (d *decoder) offsets(e *entry) error {
	var v []uint64
	if err := d.dec.Decode(&v); err != nil {
		return err
	}
	if len(v) != 2 {
		return fmt.Errorf("data_offsets has %d numbers, not 2", len(v))
	}
	e.begin, e.end = v[0], v[1]
	return nil
}
