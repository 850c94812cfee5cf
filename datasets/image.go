package datasets

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// MaxImageBytes bounds one encoded picture, in files and inside other files.
const MaxImageBytes = 256 << 20

// ErrNoData says that an image is known by name or address only.
var ErrNoData = errors.New("the picture is not at hand")

// Image refers to an encoded picture. Nothing is read before Open or Bytes, except for pictures inside parquet rows.
type Image struct {
	Path    string             // as the file writes it; relative to the image folder. "" for none
	URL     string             // "" for none; never fetched here
	Data    []byte             // encoded bytes that came with the row
	UID     string             // name of the picture in its set
	Model   string             // what made it
	Ratings map[string]float64 // by annotators, under the column's name

	roots []string // folders that Path is looked for in, in this order
	at    *section // part of an archive
	// unread says that the row holds the bytes, as far as its columns tell, and that Options.WithoutData left them there.
	unread bool
}

// section is a file inside a tar file that is not compressed.
type section struct {
	file         string
	offset, size int64
}

// File is the path of the picture's file, found or not: of the folders that it may be in, the first that has it, else the
// first. It is "" for pictures that are not files of their own.
func (im *Image) File() string {
	if im.Path == "" || im.at != nil {
		return ""
	}
	if filepath.IsAbs(im.Path) || len(im.roots) == 0 {
		return filepath.FromSlash(im.Path)
	}
	for _, root := range im.roots {
		path := filepath.Join(root, filepath.FromSlash(im.Path))
		if isFile(path) {
			return path
		}
	}
	return filepath.Join(im.roots[0], filepath.FromSlash(im.Path))
}

// Name is what to call the picture: its path, else its UID, else its address.
func (im *Image) Name() string {
	for _, name := range []string{im.Path, im.UID, im.URL} {
		if name != "" {
			return name
		}
	}
	return "(no name)"
}

// Present says whether the picture is at hand, without reading it. Of pictures that Options.WithoutData left unread it is
// taken for granted.
func (im *Image) Present() bool {
	switch {
	case len(im.Data) > 0 || im.at != nil || im.unread:
		return true
	case im.Path == "":
		return false
	}
	return isFile(im.File())
}

// Open gives the encoded picture. The error of a picture that only has a URL or a UID is ErrNoData.
func (im *Image) Open() (io.ReadCloser, error) {
	switch {
	case len(im.Data) > 0:
		return io.NopCloser(bytes.NewReader(im.Data)), nil
	case im.at != nil:
		f, err := os.Open(im.at.file)
		if err != nil {
			return nil, err
		}
		return sectionFile{io.NewSectionReader(f, im.at.offset, im.at.size), f}, nil
	case im.Path != "" && !im.unread:
		return os.Open(im.File())
	}
	return nil, fmt.Errorf("%s: %w", im.Name(), ErrNoData)
}

type sectionFile struct {
	io.Reader
	io.Closer
}

// Bytes reads the encoded picture, at most MaxImageBytes of it.
func (im *Image) Bytes() ([]byte, error) {
	if len(im.Data) > 0 {
		return im.Data, nil
	}
	r, err := im.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, MaxImageBytes+1))
	if err == nil && len(data) > MaxImageBytes {
		err = fmt.Errorf("%s: the picture has more than %d bytes", im.Name(), MaxImageBytes)
	}
	return data, err
}
