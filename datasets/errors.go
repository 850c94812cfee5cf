package datasets

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// RowError reports a row that cannot be read. The rows after it can: a Reader goes on behind it.
type RowError struct {
	File   string
	Line   int    // from 1; in lists and tables without lines, the row
	Column string // "" when the whole row is meant
	Err    error
}

func (e *RowError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("%s, %s %d: %v", e.File, unit(e.File), e.Line, e.Err)
	}
	return fmt.Sprintf("%s, %s %d, column %q: %v", e.File, unit(e.File), e.Line, e.Column, e.Err)
}

// unit is what rows of a file are.
func unit(file string) string {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".json", ".parquet", ".tar":
		return "row"
	}
	return "line"
}

func (e *RowError) Unwrap() error { return e.Err }

// FileError reports damage behind which nothing of the file can be read.
type FileError struct {
	File string
	Row  int // the row that was being read, from 1; 0 before the first
	Err  error
}

func (e *FileError) Error() string {
	if e.Row == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s, row %d: %v; nothing behind it can be read", e.File, e.Row, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

var (
	errEmptyPrompt = errors.New("the prompt is empty")
	errMissing     = errors.New("the value is missing")
)

// columnf is the error of one column; the reader adds file and row.
func columnf(column, format string, args ...any) error {
	return &RowError{Column: column, Err: fmt.Errorf(format, args...)}
}

// missing says that a column has no value.
func missing(column string) error { return &RowError{Column: column, Err: errMissing} }

// place fills in where a row's error happened.
func place(err error, file string, row int) error {
	if err == nil {
		return nil
	}
	var known *RowError
	if errors.As(err, &known) {
		e := *known
		e.File, e.Line = file, row
		return &e
	}
	return &RowError{File: file, Line: row, Err: err}
}

// decode reads one JSON row; a value of the wrong type is an error of its column.
func decode(raw []byte, v any) error {
	err := json.Unmarshal(raw, v)
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		column := strings.TrimPrefix(kind.Field, "jsonRow.") // the embedded struct
		if column == "" {
			return fmt.Errorf("the row is a JSON %s, not an object", kind.Value)
		}
		return columnf(column, "a JSON %s stands where a %s is wanted", kind.Value, kind.Type)
	}
	return err
}

// checkPrompt refuses prompts without a visible character.
func checkPrompt(column, prompt string) error {
	if strings.TrimSpace(prompt) == "" {
		return &RowError{Column: column, Err: errEmptyPrompt}
	}
	return nil
}
