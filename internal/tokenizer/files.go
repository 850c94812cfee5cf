package tokenizer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"strings"
)

// Limits on files, checked before anything is built from them. CLIP's own
// vocabulary is under 1 MiB and its merges are half of that.
const (
	maxFileBytes   = 64 << 20
	maxTokens      = 4 << 20
	maxPadded      = 1 << 16
	maxMergeLength = 1 << 12
)

// FileError says what is wrong with a tokenizer file and where.
type FileError struct {
	File string
	Line int // from 1; 0 where the whole file is meant
	Msg  string
	Err  error // cause, or nil
}

// Error is "tokenizer: FILE:LINE: message: cause".
func (e *FileError) Error() string {
	var b strings.Builder
	b.WriteString("tokenizer: " + e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": " + e.Msg)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }

// Open reads a tokenizer folder: vocab.json and merges.txt with the settings of
// tokenizer_config.json, special_tokens_map.json and added_tokens.json where
// present; or tokenizer.json where vocab.json is absent, which is all that
// transformers 5 writes. source names the folder in errors.
func Open(fsys fs.FS, source string) (*CLIP, error) {
	opt, err := readSettings(fsys, source)
	if err != nil {
		return nil, err
	}
	vocabName := path.Join(source, "vocab.json")
	vocabFile, err := fsys.Open("vocab.json")
	if errors.Is(err, fs.ErrNotExist) {
		return openTokenizerJSON(fsys, source, opt)
	}
	if err != nil {
		return nil, &FileError{File: vocabName, Msg: "cannot be opened", Err: err}
	}
	defer vocabFile.Close()
	vocab, err := readVocab(vocabName, vocabFile)
	if err != nil {
		return nil, err
	}
	mergesName := path.Join(source, "merges.txt")
	mergesFile, err := fsys.Open("merges.txt")
	if err != nil {
		return nil, &FileError{File: mergesName, Msg: "cannot be opened; vocab.json needs the merges that go with it", Err: err}
	}
	defer mergesFile.Close()
	pairs, err := readMerges(mergesName, mergesFile)
	if err != nil {
		return nil, err
	}
	return build(vocabName, vocab, pairs, opt)
}

// readLimited reads a whole file of bounded size.
func readLimited(name string, r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFileBytes+1))
	if err != nil {
		return nil, &FileError{File: name, Msg: "cannot be read", Err: err}
	}
	if len(data) > maxFileBytes {
		return nil, &FileError{File: name, Msg: fmt.Sprintf("larger than %d MiB, which no tokenizer file is", maxFileBytes>>20)}
	}
	return data, nil
}

// decodeJSON fills v and turns a syntax error into a line.
func decodeJSON(name string, data []byte, v any) error {
	err := json.Unmarshal(data, v)
	if err == nil {
		return nil
	}
	fe := &FileError{File: name, Msg: "is not the JSON expected", Err: err}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		fe.Line = lineAt(data, syntax.Offset)
	case errors.As(err, &kind):
		fe.Line = lineAt(data, kind.Offset)
	}
	return fe
}

func lineAt(data []byte, offset int64) int {
	offset = min(max(offset, 0), int64(len(data)))
	return 1 + bytes.Count(data[:offset], []byte("\n"))
}

func readVocab(name string, r io.Reader) (map[string]int, error) {
	data, err := readLimited(name, r)
	if err != nil {
		return nil, err
	}
	var vocab map[string]int
	if err := decodeJSON(name, data, &vocab); err != nil {
		return nil, err
	}
	return vocab, checkVocab(name, vocab)
}

func checkVocab(name string, vocab map[string]int) error {
	if len(vocab) == 0 {
		return &FileError{File: name, Msg: "holds no tokens"}
	}
	if len(vocab) > maxTokens {
		return &FileError{File: name, Msg: fmt.Sprintf("holds %d tokens; the limit is %d", len(vocab), maxTokens)}
	}
	for token, id := range vocab {
		if id < 0 || id > math.MaxInt32 {
			return &FileError{File: name, Msg: fmt.Sprintf("token %q has id %d, outside 0 to %d", token, id, math.MaxInt32)}
		}
	}
	return nil
}

// mergeLine is one merge as text, with the place it came from.
type mergeLine struct {
	left, right string
	file        string
	line        int
}

func readMerges(name string, r io.Reader) ([]mergeLine, error) {
	data, err := readLimited(name, r)
	if err != nil {
		return nil, err
	}
	var pairs []mergeLine
	sc := bufio.NewScanner(bytes.NewReader(data))
	sc.Buffer(nil, maxMergeLength)
	line := 0
	for sc.Scan() {
		line++
		text := strings.TrimSuffix(sc.Text(), "\r")
		if text == "" || line == 1 && strings.HasPrefix(text, "#version") {
			continue
		}
		m, err := splitMerge(name, line, text)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, m)
	}
	if err := sc.Err(); err != nil {
		return nil, &FileError{File: name, Line: line + 1, Msg: fmt.Sprintf("line longer than %d bytes", maxMergeLength), Err: err}
	}
	return pairs, nil
}

func splitMerge(file string, line int, text string) (mergeLine, error) {
	left, right, ok := strings.Cut(text, " ")
	if !ok || left == "" || right == "" || strings.Contains(right, " ") {
		return mergeLine{}, &FileError{File: file, Line: line, Msg: fmt.Sprintf("want two symbols with one space between, got %q", clip(text))}
	}
	return mergeLine{left, right, file, line}, nil
}

// clip keeps quoted input in messages short.
func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
