package datasets

import (
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// imageNames are the endings of pictures.
var imageNames = []string{".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp"}

func isImageName(name string) bool {
	return slices.Contains(imageNames, strings.ToLower(filepath.Ext(name)))
}

// folderFormat reads pictures in a folder and the folders below it, one record each, in order of name. The prompt is the text
// of the file beside the picture with the ending .txt; without one it is empty.
func folderFormat() *format {
	return &format{
		FormatInfo: FormatInfo{Name: "folder", About: "pictures in folders, prompts in .txt files beside them", Source: "any", Kind: KindGroup},
		ext:        []string{"/"},
		open:       openFolder,
	}
}

type folder struct {
	root string
	pull func() (string, error, bool)
	stop func()
	row  int
}

func openFolder(path string, _ *input) (source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &FileError{File: path, Err: errors.New("is no folder")}
	}
	f := &folder{root: path}
	f.pull, f.stop = iter.Pull2(pictureFiles(path))
	return f, nil
}

var errStop = errors.New("stop")

// pictureFiles walks a folder; paths are relative to it.
func pictureFiles(root string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && (d.IsDir() || !isImageName(d.Name())) {
				return nil
			}
			if rel, relErr := filepath.Rel(root, path); relErr == nil {
				path = filepath.ToSlash(rel)
			}
			if !yield(path, err) {
				return errStop
			}
			return nil
		})
	}
}

func (f *folder) next() (Record, error) {
	path, err, ok := f.pull()
	if !ok {
		return Record{}, io.EOF
	}
	f.row++
	r := newRecord(KindGroup, "")
	r.ID, r.Row = path, f.row
	file := filepath.Join(f.root, filepath.FromSlash(path))
	if err != nil {
		return r, place(err, file, f.row)
	}
	r.Images = []Image{{Path: path, roots: []string{f.root}}}
	text, err := readSmall(strings.TrimSuffix(file, filepath.Ext(file))+".txt", maxLine)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	r.Prompt = strings.TrimSpace(string(text))
	return r, place(err, file, f.row)
}

func (f *folder) close() error {
	f.stop()
	return nil
}
