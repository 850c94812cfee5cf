package datasets

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// promptKey identifies a prompt: equal up to leading and trailing space.
func promptKey(prompt string) [16]byte {
	sum := sha256.Sum256([]byte(strings.TrimSpace(prompt)))
	return [16]byte(sum[:16])
}

// Detect tells the format of a file from its extension and the names in its first row. It prefers the format that asks
// for most names.
func Detect(path string) (Format, error) {
	if _, err := os.Stat(path); err != nil {
		return "", err
	}
	ext := strings.ToLower(filepath.Ext(path))
	keys, err := firstKeys(path, ext)
	if err != nil {
		return "", err
	}
	best, most := Format(""), 0
	for _, f := range registry() {
		if n := f.matches(ext, keys); n > most {
			best, most = f.Name, n
		}
	}
	if best == "" {
		return "", &ArgumentError{fmt.Sprintf("%s: no known format has %q; name the format", path, keys)}
	}
	return best, nil
}

// firstKeys are the names of columns, or of the keys of the first row.
func firstKeys(path, ext string) ([]string, error) {
	var keys []string
	if ext == ".parquet" {
		file, pq, err := openFooter(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		for _, l := range leaves(pq) {
			keys = append(keys, l.name)
		}
		return keys, nil
	}
	probe := &format{row: func(raw []byte, _ *input) (Record, error) {
		var row map[string]json.RawMessage
		if json.Unmarshal(raw, &row) == nil {
			for k := range row {
				keys = append(keys, k)
			}
		}
		return Record{}, nil
	}}
	src, err := probe.start(path, &input{file: path})
	if err != nil {
		return nil, err
	}
	defer src.close()
	_, err = src.next()
	return keys, err
}
