package datasets

import (
	"errors"
	"io"
	"os"
	"strings"
)

// partiPromptsFormat reads PartiPrompts.tsv of google-research/parti: tab-separated, header
//
//	Prompt	Category	Challenge	Note
//
// and no quoting: one prompt begins with a quotation mark and 22 contain some, so a line is cut at its tabs and nothing
// else. 1,632 rows in 12 categories.
func partiPromptsFormat() *format {
	f := &format{
		FormatInfo: FormatInfo{
			Name: "partiprompts", About: "PartiPrompts", Source: "google-research/parti PartiPrompts.tsv", Kind: KindPrompt,
			Known: []Known{{"PartiPrompts.tsv", Counts{Records: 1632}}},
		},
		ext: []string{".tsv"}, keys: []string{"Prompt", "Category", "Challenge"},
	}
	f.open = func(path string, in *input) (source, error) { return openTabbed(path, in, f.keys) }
	return f
}

// tabbed is a file of tab-separated values without quotes.
type tabbed struct {
	file   *os.File
	lines  *lines
	in     *input
	header []string
}

func openTabbed(path string, in *input, need []string) (source, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	t := &tabbed{file: file, lines: newLines(file, maxLine), in: in}
	head, err := t.lines.next()
	if err == nil {
		t.header = strings.Split(string(head), "\t")
		for _, name := range need {
			if column(t.header, []string{name}) < 0 {
				err = errors.Join(err, columnf(name, "the header has no such column"))
			}
		}
	}
	if err != nil {
		return nil, errors.Join(&FileError{File: path, Err: eof(err)}, file.Close())
	}
	return t, nil
}

func (t *tabbed) next() (Record, error) {
	text, err := t.lines.next()
	line := t.lines.line
	switch {
	case errors.Is(err, io.EOF):
		return Record{}, io.EOF
	case errors.Is(err, errRowTooLong):
		return Record{}, place(err, t.in.file, line)
	case err != nil:
		return Record{}, &FileError{File: t.in.file, Row: line, Err: err}
	}
	rec, err := t.row(strings.Split(string(text), "\t"))
	rec.Row = line
	return rec, place(err, t.in.file, line)
}

func (t *tabbed) row(cells []string) (Record, error) {
	r := newRecord(KindPrompt, "")
	if len(cells) > len(t.header) {
		return r, columnf("", "%d values for %d columns", len(cells), len(t.header))
	}
	for len(cells) < len(t.header) { // editors drop tabs at the end of lines
		cells = append(cells, "")
	}
	r.Attributes = map[string]string{}
	for i, name := range t.header {
		switch name {
		case "Prompt":
			r.Prompt = cells[i]
		case "Category":
			r.Category = cells[i]
		default:
			if cells[i] != "" {
				r.Attributes[name] = cells[i]
			}
		}
	}
	return r, checkPrompt("Prompt", r.Prompt)
}

func (t *tabbed) close() error { return t.file.Close() }
