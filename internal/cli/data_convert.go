package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"winnow/datasets"
)

// dataSummary is the result of the commands that write, as --json prints it.
type dataSummary struct {
	Type       string   `json:"type"`    // "summary"
	Command    string   `json:"command"` // "data convert", …
	Rows       int      `json:"rows"`
	Failed     int      `json:"failed"`
	Duplicates *int     `json:"duplicates,omitempty"`
	Files      []string `json:"files"`
	Records    []int    `json:"records"` // in each file
}

// outputFormat tells the format from the name, unless it is given.
func outputFormat(path, name string) (datasets.Format, error) {
	if name != "" {
		return datasets.Format(name), nil
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".jsonl", ".ndjson":
		return "jsonl", nil
	case ".parquet":
		return "pickapic", nil
	}
	return "", usagef("%s: name the file .jsonl, or .parquet for Pick-a-Pic columns", path)
}

func (a *app) dataConvertCommand() *cobra.Command {
	in := &dataInput{}
	output := ""
	c := &cobra.Command{
		Use:   "convert FILE --output FILE",
		Short: "Write a set as JSON lines or as Pick-a-Pic parquet",
		Long: `Convert writes any set that can be read as JSON lines, which keep everything, or as
parquet with the columns of Pick-a-Pic v2, which many trainers read: pairs, and
ranked groups as their comparisons, with the pictures inside. A record whose
pictures are not at hand fails there; JSON lines keep paths and addresses.`,
		Example: `  winnow data convert HPDv2/train.json --images HPDv2/train --output pairs.parquet
  winnow data convert test.json --output test.jsonl`,
		Args: in.oneFile,
		RunE: func(c *cobra.Command, _ []string) error { return a.dataConvert(c.Context(), in, output) },
	}
	in.flags(c.Flags())
	in.keepFlag(c.Flags())
	c.Flags().StringVarP(&output, "output", "o", "", "file to write: .jsonl or .parquet")
	return c
}

func (a *app) dataConvert(ctx context.Context, in *dataInput, output string) error {
	return a.rewrite(ctx, in, "data convert", []string{output}, func(*datasets.Record) (int, error) { return 0, nil }, nil)
}

// rewrite sends every record to one of the files, as choose says; -1 leaves it out.
func (a *app) rewrite(ctx context.Context, in *dataInput, command string, files []string, choose func(*datasets.Record) (int, error), duplicates *int) error {
	formats := make([]datasets.Format, len(files))
	for i, file := range files {
		if file == "" {
			return usagef("name the file to write")
		}
		format, err := outputFormat(file, "")
		if err != nil {
			return err
		}
		formats[i] = format
		if err := writable(file); err != nil {
			return err
		}
	}
	r, err := in.open(false)
	if err != nil {
		return err
	}
	defer r.Close()
	w := &rows{app: a}
	sum := dataSummary{Type: "summary", Command: command, Files: files, Records: make([]int, len(files)), Duplicates: duplicates}
	err = openAll(files, formats, nil, func(out []datasets.Writer) error {
		err := w.each(ctx, r, func(rec *datasets.Record) error {
			i, err := choose(rec)
			if err != nil || i < 0 {
				return atRow(err, in.file, rec.Row)
			}
			if err := out[i].Write(rec); err != nil {
				return atRow(err, in.file, rec.Row)
			}
			sum.Records[i]++
			return nil
		})
		if err == nil && w.broken > 0 && w.broken >= r.Rows() {
			err = errors.New("none of the rows could be used; nothing was written")
		}
		return err
	})
	if err != nil {
		return err
	}
	sum.Rows, sum.Failed = r.Rows(), w.broken
	if err := a.showSummary(&sum); err != nil {
		return err
	}
	return w.partial(r.Rows())
}

// atRow places an error of one record in the file that it came from.
func atRow(err error, file string, row int) error {
	var at *datasets.RowError
	if errors.As(err, &at) {
		return &datasets.RowError{File: file, Line: row, Column: at.Column, Err: at.Err}
	}
	return err
}

// openAll opens the files one inside the other, so that they appear together at the end.
func openAll(files []string, formats []datasets.Format, open []datasets.Writer, fill func([]datasets.Writer) error) error {
	if len(files) == 0 {
		return fill(open)
	}
	return datasets.Write(files[0], formats[0], func(w datasets.Writer) error {
		return openAll(files[1:], formats[1:], append(open, w), fill)
	})
}

func (a *app) showSummary(s *dataSummary) error {
	if a.json {
		return a.line(s)
	}
	for i, file := range s.Files {
		if _, err := fmt.Fprintf(a.stdout, "%s\t%d records\n", file, s.Records[i]); err != nil {
			return err
		}
	}
	if s.Duplicates != nil {
		_, err := fmt.Fprintf(a.stdout, "left out\t%d duplicates\n", *s.Duplicates)
		return err
	}
	return nil
}
