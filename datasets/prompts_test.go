package datasets

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func collect(t *testing.T, name, content string) ([]Prompt, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var all []Prompt
	for p, err := range Prompts(path) {
		if err != nil {
			return all, err
		}
		all = append(all, p)
	}
	return all, nil
}

func TestPrompts_formats(t *testing.T) {
	for name, tc := range map[string]struct {
		content string
		want    []Prompt
	}{
		"a.txt":   {"a fox\n\n  two \"owls\"\r\n", []Prompt{{Text: "a fox", Line: 1}, {Text: `two "owls"`, Line: 3}}},
		"b.jsonl": {`{"tag":"color","prompt":"a fox"}` + "\n" + `"an owl"` + "\n", []Prompt{{Text: "a fox", Category: "color", Line: 1}, {Text: "an owl", Line: 2}}},
		"c.json":  {`[{"id":"7-1","prompt":"a fox"}, "an owl"]`, []Prompt{{Text: "a fox", ID: "7-1", Line: 1}, {Text: "an owl", Line: 2}}},
		"d.tsv":   {"Prompt\tCategory\tNote\nthe word \"fox\"\tArts\t\nbond\tAbstract\tx\n", []Prompt{{Text: `the word "fox"`, Category: "Arts", Line: 2}, {Text: "bond", Category: "Abstract", Line: 3}}},
		"q.tsv":   {"Prompt\tCategory\n\"fox\tArts\nan \"owl\" says\tArts\n", []Prompt{{Text: `"fox`, Category: "Arts", Line: 2}, {Text: `an "owl" says`, Category: "Arts", Line: 3}}},
		"e.csv":   {"\ufeffid,caption\n1,\"a fox,\nsleeping\"\n2,an owl\n", []Prompt{{Text: "a fox,\nsleeping", ID: "1", Line: 2}, {Text: "an owl", ID: "2", Line: 4}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := collect(t, name, tc.content)
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("got %+v, %v; want %+v", got, err, tc.want)
			}
		})
	}
}

func TestPrompts_errors(t *testing.T) {
	for name, tc := range map[string]struct {
		content string
		line    int
		rows    int // good rows before the error
		text    string
	}{
		"a.jsonl": {`"fox"` + "\n{\"prompt\": 3", 2, 1, "unexpected end"},
		"b.jsonl": {`{"prompt":"  "}`, 1, 0, "empty"},
		"c.json":  {`["fox", {"other": 1}]`, 2, 1, "empty"},
		"d.tsv":   {"name\tnote\nfox\t\n", 1, 0, "no column"},
		"e.csv":   {"prompt,id\nfox,1\nowl\n", 3, 1, "wrong number of fields"},
		"g.csv":   {"prompt\nfox\n\"ow\"l\n", 3, 1, "quote"},
		"f.csv":   {"prompt\nfox\n\" \"\n", 3, 1, "empty"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := collect(t, name, tc.content)
			var row *RowError
			if !errors.As(err, &row) || row.Line != tc.line || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error %v, want a RowError in line %d with %q", err, tc.line, tc.text)
			}
			if len(got) != tc.rows {
				t.Errorf("%d rows before the error, want %d", len(got), tc.rows)
			}
		})
	}
	if _, err := collect(t, "list.docx", "x"); err == nil || !strings.Contains(err.Error(), ".jsonl") {
		t.Errorf("unknown extension: %v", err)
	}
	if _, err := collect(t, "open.json", `["fox", `); err == nil {
		t.Error("an unfinished list was accepted")
	}
}
