package datasets

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// Options of Open. The zero value is right for files beside their pictures.
type Options struct {
	// Images is the folder that relative image paths start from. "" means the file's own folder, and the folder beside the
	// file that has its name ("test" for test.json).
	Images string
	// KeepOrder leaves the preferred picture first where a format always writes it first. Otherwise such pairs are swapped
	// by a hash of their content, half of them, so that a scorer that likes the first place gains nothing.
	KeepOrder bool
	// WithoutData leaves the picture bytes of parquet rows unread.
	WithoutData bool
}

// Reader streams the records of a file or folder. It is not safe for concurrent use.
type Reader struct {
	info   FormatInfo
	src    source
	err    error // that ended the stream
	rows   int
	failed int
}

// source is one format at work. next returns io.EOF at the end; a *RowError leaves it usable, any other error does not.
type source interface {
	next() (Record, error)
	close() error
}

// input is what row functions know about where they read.
type input struct {
	Options
	file  string
	roots []string
}

// image refers to a file named in a row.
func (in *input) image(path string) Image { return Image{Path: path, roots: in.roots} }

// Open starts to read path as format, or as what Detect says when format is "". Errors of the file are *FileError,
// *ArgumentError, or those of os.Open.
func Open(path string, name Format, o *Options) (*Reader, error) {
	if o == nil {
		o = &Options{}
	}
	if name == "" {
		detected, err := Detect(path)
		if err != nil {
			return nil, err
		}
		name = detected
	}
	f, err := lookup(name)
	if err != nil {
		return nil, err
	}
	in := &input{Options: *o, file: path, roots: []string{o.Images}}
	if o.Images == "" {
		in.roots = []string{filepath.Dir(path), strings.TrimSuffix(path, filepath.Ext(path))}
	}
	src, err := f.start(path, in)
	if err != nil {
		return nil, err
	}
	return &Reader{info: f.FormatInfo, src: src}, nil
}

// start opens the file with the reader of its structure.
func (f *format) start(path string, in *input) (source, error) {
	if f.open != nil {
		return f.open(path, in)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, &FileError{File: path, Err: fmt.Errorf("is a folder; format %s is a %s file", f.Name, strings.Join(f.ext, " or "))}
	}
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case f.table != nil:
		return openParquet(path, f, in)
	case ext == ".jsonl" || ext == ".ndjson":
		return openLines(path, f, in)
	}
	return openList(path, f, in)
}

// Info is the format that is being read.
func (r *Reader) Info() FormatInfo { return r.info }

// Rows is the number of records and broken rows so far. Formats that join rows into groups count groups.
func (r *Reader) Rows() int { return r.rows }

// Failed is the number of broken rows so far.
func (r *Reader) Failed() int { return r.failed }

// Next gives the next record. After a *RowError it may be called again and goes on behind the broken row. io.EOF is the
// end; any other error is final.
func (r *Reader) Next() (Record, error) {
	if r.err != nil {
		return Record{}, r.err
	}
	rec, err := r.src.next()
	var row *RowError
	switch {
	case err == nil:
		r.rows++
	case errors.As(err, &row):
		r.rows++
		r.failed++
	default:
		r.err = err
	}
	return rec, err
}

// All yields records and errors until the end; a final error is the last thing it yields. The loop decides by the error
// whether to go on.
func (r *Reader) All() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for {
			rec, err := r.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(rec, err) || r.err != nil {
				return
			}
		}
	}
}

// Close releases the file.
func (r *Reader) Close() error { return r.src.close() }

// orient swaps half of the pairs of a format that puts the preferred picture first. Which half depends on prompt and
// pictures only, so it is the same in every run and in every cut of the file.
func (in *input) orient(r *Record) {
	if in.KeepOrder {
		return
	}
	h := fnv.New64a()
	for _, s := range []string{r.Prompt, r.Images[0].Name(), r.Images[1].Name()} {
		_, _ = io.WriteString(h, s+"\x00")
	}
	for i := range r.Images {
		_, _ = h.Write(r.Images[i].Data)
	}
	if mix(h.Sum64())&1 == 1 {
		r.Swap()
	}
}

// mix spreads a hash over all of its bits: the low bits of FNV depend on the last bytes alone.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
