package datasets

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// promptsFormat reads plain prompt lists: .txt one prompt a line, and .json, .jsonl and .ndjson lists of strings or of objects
// with a prompt and no pictures. Among them are the benchmark prompts of HPSv2 (benchmark/{anime,concept-art,paintings,
// photo}.json, lists of 800 strings; drawbench.json, 200 strings) and of ImageReward (data/benchmark-prompts.json,
// 100 × {"id", "prompt"}).
func promptsFormat() *format {
	f := &format{
		FormatInfo: FormatInfo{
			Name: "prompts", About: "prompt lists, among them those of HPSv2 and ImageReward",
			Source: "HPDv2 benchmark/*.json; THUDM/ImageReward data/benchmark-prompts.json", Kind: KindPrompt,
			Known: []Known{
				{"a style of HPSv2", Counts{Records: 800}},
				{"drawbench.json of HPSv2", Counts{Records: 200}},
				{"ImageReward benchmark prompts", Counts{Records: 100}},
			},
		},
		ext: []string{".txt", ".json"}, keys: []string{"prompt"}, row: promptRow,
	}
	f.open = func(path string, in *input) (source, error) {
		switch strings.ToLower(filepath.Ext(path)) {
		case ".txt":
			return openText(path, in)
		case ".jsonl", ".ndjson":
			return openLines(path, f, in)
		}
		return openList(path, f, in)
	}
	return f
}

func promptRow(raw []byte, _ *input) (Record, error) {
	p, err := fromJSON("", 0, raw)
	r := newRecord(KindPrompt, p.Text)
	r.ID, r.Category = p.ID, p.Category
	return r, err
}

// textLines is a file with one prompt a line.
type textLines struct {
	file  *os.File
	lines *lines
	in    *input
}

func openText(path string, in *input) (source, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &textLines{file, newLines(file, maxLine), in}, nil
}

func (t *textLines) next() (Record, error) {
	text, err := t.lines.next()
	r := newRecord(KindPrompt, string(text))
	r.Row = t.lines.line
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return r, err
	case errors.Is(err, errRowTooLong):
		return r, place(err, t.in.file, r.Row)
	}
	return r, &FileError{File: t.in.file, Row: r.Row, Err: err}
}

func (t *textLines) close() error { return t.file.Close() }

// isString tells lists of strings from lists of objects.
func isString(raw []byte) bool {
	var s string
	return json.Unmarshal(raw, &s) == nil
}
