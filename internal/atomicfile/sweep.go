package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// unfinished are the names that Write gives to files that it has not finished, or with which it tries whether a rename works: a dot, the
// file's own name with its extension, and a random number.
var unfinished = regexp.MustCompile(`^\..+\.[a-z]+[0-9]{6,10}$`)

// Sweep removes what a killed process was writing in a folder, not below it. It is for folders that no other process writes to now.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if !e.Type().IsRegular() || !unfinished.MatchString(e.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
