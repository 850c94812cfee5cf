package datasets

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	if isDir(path) {
		ext = "/"
		if isDir(filepath.Join(path, "prompts")) {
			ext = "/prompts"
		}
	}
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

// firstKeys are the names of columns, or of the keys of the first row. A row that is a string has the key "prompt".
func firstKeys(path, ext string) ([]string, error) {
	switch ext {
	case ".parquet":
		return parquetNames(path)
	case ".csv", ".tsv":
		return headerNames(path, ext)
	case ".json":
		return jsonNames(path)
	case ".jsonl", ".ndjson":
		return firstRow(path, "")
	case ".txt":
		return []string{"prompt"}, nil
	}
	return nil, nil
}

func parquetNames(path string) (keys []string, err error) {
	file, pq, err := openFooter(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for _, l := range leaves(pq) {
		head, _, nested := strings.Cut(l.name, ".")
		keys = append(keys, l.name)
		if nested && !slices.Contains(keys, head) {
			keys = append(keys, head)
		}
	}
	return keys, nil
}

// headerNames cuts the first line; names of known sets need no quotes.
func headerNames(path, ext string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := newLines(file, maxLine).next()
	if err != nil {
		return nil, &FileError{File: path, Err: eof(err)}
	}
	comma := map[string]string{".csv": ",", ".tsv": "\t"}[ext]
	var keys []string
	for _, name := range strings.Split(string(text), comma) {
		keys = append(keys, strings.Trim(strings.TrimSpace(name), `"`))
	}
	return keys, nil
}

// jsonNames looks into the list, the list under "pairs", or the values of the object.
func jsonNames(path string) ([]string, error) {
	var first error
	for _, key := range []string{"", "pairs", "*"} {
		keys, err := firstRow(path, key)
		if err == nil {
			return keys, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func firstRow(path, key string) ([]string, error) {
	var keys []string
	probe := &format{list: key, row: func(raw []byte, _ *input) (Record, error) {
		var row map[string]json.RawMessage
		if json.Unmarshal(raw, &row) == nil {
			keys = slices.Collect(maps.Keys(row))
		} else if isString(raw) {
			keys = []string{"prompt"}
		}
		return Record{}, nil
	}}
	src, err := probe.start(path, &input{file: path})
	if err != nil {
		return nil, err
	}
	defer src.close()
	if _, err = src.next(); errors.Is(err, io.EOF) {
		err = &FileError{File: path, Err: errors.New("the file has no rows")}
	}
	return keys, err
}
