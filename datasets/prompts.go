package datasets

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// Prompt is one row of a prompt list.
type Prompt struct {
	Text     string
	ID       string // "id" or "ID" column; "" when the file has none
	Category string // "category", "Category" or "tag"; "" when the file has none
	Line     int    // where it stands, from 1; for JSON lists the position in the list
}

// maxLine bounds one row. The longest prompts of public sets have a few kilobytes.
const maxLine = 1 << 20

// promptKeys, idKeys and categoryKeys are the names that public sets use (HPSv2, ImageReward, PartiPrompts, GenEval,
// DrawBench, DPG-Bench).
var (
	promptKeys   = []string{"prompt", "Prompt", "Prompts", "text", "caption"}
	idKeys       = []string{"id", "ID", "item_id"}
	categoryKeys = []string{"category", "Category", "tag"}
)

// Prompts reads a prompt list. The extension decides the format: .txt one prompt a line (blank lines are skipped),
// .jsonl one object or string a line, .json a list of objects or strings, .csv and .tsv with a header line. An error
// ends the sequence.
func Prompts(path string) iter.Seq2[Prompt, error] {
	return func(yield func(Prompt, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(Prompt{}, err)
			return
		}
		defer f.Close()
		read, ok := map[string]func(string, io.Reader, func(Prompt, error) bool){
			".txt": readText, ".jsonl": readJSONLines, ".ndjson": readJSONLines, ".json": readJSON,
			".csv": readCommas, ".tsv": readTabs,
		}[strings.ToLower(filepath.Ext(path))]
		if !ok {
			yield(Prompt{}, fmt.Errorf("%s: a prompt list is a .txt, .jsonl, .json, .csv or .tsv file", path))
			return
		}
		read(path, f, yield)
	}
}

func readText(file string, r io.Reader, yield func(Prompt, error) bool) {
	eachLine(file, r, yield, func(line int, text []byte) (Prompt, error) {
		return Prompt{Text: string(text), Line: line}, nil
	})
}

func readJSONLines(file string, r io.Reader, yield func(Prompt, error) bool) {
	eachLine(file, r, yield, func(line int, text []byte) (Prompt, error) { return fromJSON(file, line, text) })
}

// eachLine calls parse for every line that is not blank.
func eachLine(file string, r io.Reader, yield func(Prompt, error) bool, parse func(int, []byte) (Prompt, error)) {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxLine)
	line := 0
	for sc.Scan() {
		line++
		text := bytes.TrimSpace(bytes.TrimPrefix(sc.Bytes(), []byte("\ufeff")))
		if len(text) == 0 {
			continue
		}
		if p, err := parse(line, text); !yield(p, err) || err != nil {
			return
		}
	}
	if err := sc.Err(); err != nil {
		yield(Prompt{}, &RowError{File: file, Line: line + 1, Err: err})
	}
}

func readJSON(file string, r io.Reader, yield func(Prompt, error) bool) {
	dec := json.NewDecoder(r)
	if tok, err := dec.Token(); err != nil || tok != json.Delim('[') {
		yield(Prompt{}, fmt.Errorf("%s: want a JSON list of prompts", file))
		return
	}
	for i := 1; dec.More(); i++ {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			yield(Prompt{}, &RowError{File: file, Line: i, Err: err})
			return
		}
		if p, err := fromJSON(file, i, raw); !yield(p, err) || err != nil {
			return
		}
	}
	if _, err := dec.Token(); err != nil {
		yield(Prompt{}, fmt.Errorf("%s: the JSON list does not end: %w", file, err))
	}
}

// fromJSON reads a string, or an object with one of the known keys.
func fromJSON(file string, line int, raw []byte) (Prompt, error) {
	p := Prompt{Line: line}
	if err := json.Unmarshal(raw, &p.Text); err != nil {
		var row map[string]any
		if err := json.Unmarshal(raw, &row); err != nil {
			return p, &RowError{File: file, Line: line, Err: err}
		}
		get := func(keys []string) string {
			for _, k := range keys {
				if v, ok := row[k]; ok && v != nil {
					return fmt.Sprint(v)
				}
			}
			return ""
		}
		p.Text, p.ID, p.Category = get(promptKeys), get(idKeys), get(categoryKeys)
	}
	if strings.TrimSpace(p.Text) == "" {
		return p, &RowError{File: file, Line: line, Column: promptKeys[0], Err: errEmptyPrompt}
	}
	return p, nil
}

// promptTable says where the columns of a table are.
type promptTable struct {
	file               string
	text, id, category int
}

// newPromptTable reads the header.
func newPromptTable(file string, header []string) (promptTable, error) {
	t := promptTable{file, column(header, promptKeys), column(header, idKeys), column(header, categoryKeys)}
	if t.text < 0 {
		return t, &RowError{File: file, Line: 1, Err: fmt.Errorf("no column is called %s", strings.Join(promptKeys, ", "))}
	}
	return t, nil
}

func (t promptTable) row(line int, cells []string) (Prompt, error) {
	p := Prompt{Line: line, Text: cell(cells, t.text), ID: cell(cells, t.id), Category: cell(cells, t.category)}
	if strings.TrimSpace(p.Text) == "" {
		return Prompt{Line: line}, &RowError{File: t.file, Line: line, Column: promptKeys[0], Err: errEmptyPrompt}
	}
	return p, nil
}

// readTabs reads tab-separated values. Such sets do not quote: a prompt may begin with a quotation mark.
func readTabs(file string, r io.Reader, yield func(Prompt, error) bool) {
	l := newLines(r, maxLine)
	var t promptTable
	for first := true; ; first = false {
		text, err := l.next()
		if errors.Is(err, io.EOF) && !first {
			return
		}
		var p Prompt
		cells := strings.Split(string(text), "\t")
		switch {
		case err != nil:
			err = &RowError{File: file, Line: l.line, Err: err}
		case first:
			if t, err = newPromptTable(file, cells); err == nil {
				continue
			}
		default:
			p, err = t.row(l.line, cells)
		}
		if !yield(p, err) || err != nil {
			return
		}
	}
}

// readCommas reads comma-separated values with quotes.
func readCommas(file string, r io.Reader, yield func(Prompt, error) bool) {
	rd := csv.NewReader(r)
	rd.ReuseRecord = true
	header, err := rd.Read()
	if err != nil {
		yield(Prompt{}, &RowError{File: file, Line: 1, Err: err})
		return
	}
	t, err := newPromptTable(file, header)
	if err != nil {
		yield(Prompt{}, err)
		return
	}
	for err == nil {
		var cells []string
		if cells, err = rd.Read(); errors.Is(err, io.EOF) {
			return
		}
		var p Prompt
		if err != nil {
			err = &RowError{File: file, Line: faultLine(err), Err: err}
		} else {
			line, _ := rd.FieldPos(0)
			p, err = t.row(line, cells)
		}
		if !yield(p, err) {
			return
		}
	}
}

// faultLine is the line of a CSV error, 0 when it has none.
func faultLine(err error) int {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return parse.Line
	}
	return 0
}

// column is the index of the first known name in a header, or -1.
func column(header, names []string) int {
	for _, name := range names {
		for i, h := range header {
			if strings.TrimPrefix(strings.TrimSpace(h), "\ufeff") == name {
				return i
			}
		}
	}
	return -1
}

func cell(row []string, i int) string {
	if i < 0 || i >= len(row) {
		return ""
	}
	return strings.Clone(row[i])
}
