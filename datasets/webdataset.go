package datasets

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// webDatasetFormat reads WebDataset shards: tar files, not compressed, in which the files of one sample follow each other and
// share their name up to the first dot of the last part:
//
//	000000.jpg 000000.txt 000000.json      one picture, its prompt, other columns
//	000001.0.jpg 000001.1.jpg 000001.json  a pair; label or label_0 of {"prompt", "label_0", …} decides
//
// The prompt is the .txt or .caption file, or the key prompt, caption or text of .json. Pictures are ordered by name and stay in
// the archive until they are opened.
func webDatasetFormat() *format {
	return &format{
		FormatInfo: FormatInfo{Name: "webdataset", About: "WebDataset tar shards", Source: "any"},
		ext:        []string{".tar"}, open: openWebDataset,
	}
}

// Limits of a shard.
const (
	maxSampleFiles = 256
	maxSampleText  = 16 << 20
)

type webDataset struct {
	file  *os.File
	tar   *tar.Reader
	in    *input
	ahead *tar.Header
	row   int
	end   error
}

func openWebDataset(path string, in *input) (source, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &webDataset{file: file, tar: tar.NewReader(file), in: in}, nil
}

// sampleName cuts a name into the sample's key and the rest.
func sampleName(name string) (key, ext string) {
	dir, base := path.Split(name)
	base, ext, _ = strings.Cut(base, ".")
	return dir + base, strings.ToLower(ext)
}

// header gives the next file's header; folders and metadata are passed over.
func (w *webDataset) header() (*tar.Header, error) {
	if h := w.ahead; h != nil {
		w.ahead = nil
		return h, nil
	}
	for {
		h, err := w.tar.Next()
		if err != nil || h.Typeflag == tar.TypeReg {
			return h, err
		}
	}
}

// sample collects what a sample's files hold.
type sample struct {
	key    string
	images []Image
	prompt string
	object map[string]json.RawMessage
	files  int
	err    error // the first broken file
}

func (w *webDataset) next() (Record, error) {
	if w.end != nil {
		return Record{}, w.end
	}
	var s *sample
	for {
		h, err := w.header()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = w.checkEnd()
			}
			w.end = io.EOF
			if err != nil {
				w.end = &FileError{File: w.in.file, Row: w.row + 1, Err: err}
			} else if s != nil {
				return w.finish(s)
			}
			return Record{}, w.end
		}
		key, ext := sampleName(h.Name)
		if s == nil {
			s = &sample{key: key}
		} else if s.key != key {
			w.ahead = h
			return w.finish(s)
		}
		if err := w.add(s, h, ext); err != nil {
			w.end = &FileError{File: w.in.file, Row: w.row + 1, Err: err}
			return Record{}, w.end
		}
	}
}

// checkEnd looks for the mark that ends every archive, two blocks of zeros: package tar takes a cut file for a whole one.
func (w *webDataset) checkEnd() error {
	var tail [1024]byte
	size, err := w.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if size >= int64(len(tail)) {
		if _, err := w.file.ReadAt(tail[:], size-int64(len(tail))); err != nil {
			return err
		}
	}
	if size < int64(len(tail)) || tail != [1024]byte{} {
		return errors.New("the archive is cut off: its end mark is missing")
	}
	return nil
}

// add takes in one file; the error is of the archive, not of the file.
func (w *webDataset) add(s *sample, h *tar.Header, ext string) error {
	s.files++
	if s.files > maxSampleFiles {
		s.fail(columnf("", "more than %d files in sample %s", maxSampleFiles, s.key))
		return nil
	}
	switch {
	case isImageName("." + ext), slices.Contains([]string{"jpg_0", "jpg_1"}, ext), isImageName(h.Name):
		if h.Size > MaxImageBytes {
			s.fail(columnf(ext, "%s has %d bytes; the limit is %d", h.Name, h.Size, MaxImageBytes))
			return nil
		}
		at, err := w.file.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		s.images = append(s.images, Image{Path: h.Name, at: &section{w.in.file, at, h.Size}})
	case ext == "txt" || ext == "caption" || ext == "json":
		if h.Size > maxSampleText {
			s.fail(columnf(ext, "%s has %d bytes; the limit is %d", h.Name, h.Size, maxSampleText))
			return nil
		}
		data, err := io.ReadAll(w.tar)
		if err != nil {
			return err
		}
		if ext != "json" {
			s.prompt = strings.TrimSpace(string(data))
		} else if err := json.Unmarshal(data, &s.object); err != nil {
			s.fail(&RowError{Column: ext, Err: err})
		}
	}
	return nil
}

func (s *sample) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (w *webDataset) finish(s *sample) (Record, error) {
	w.row++
	r, err := s.record()
	r.Row = w.row
	return r, place(err, w.in.file, w.row)
}

func (s *sample) record() (Record, error) {
	prompt := s.prompt
	for _, key := range promptKeys {
		if prompt == "" {
			prompt = scalar(s.object[key])
		}
	}
	slices.SortStableFunc(s.images, func(a, b Image) int { return strings.Compare(a.Path, b.Path) })
	r := newRecord(KindGroup, prompt)
	r.ID, r.Images = s.key, s.images
	if s.err != nil {
		return r, s.err
	}
	if len(r.Images) == 0 {
		r.Kind = KindPrompt
		return r, checkPrompt("txt", prompt)
	}
	for _, key := range []string{"label_0", "label"} {
		raw, ok := s.object[key]
		if !ok || len(r.Images) != 2 {
			continue
		}
		r.Kind = KindPair
		var label number
		if err := json.Unmarshal(raw, &label); err != nil || label < 0 || label > 1 {
			return r, columnf(key, "%s is no label: want 0 to 1", raw)
		}
		r.Soft, r.Label = float64(label), hardLabel(float64(label))
		return r, nil
	}
	return r, nil
}

func (w *webDataset) close() error { return w.file.Close() }
