package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"winnow/datasets"
)

func (a *app) dataCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "data",
		Short: "Look into preference sets and prompt lists; convert, split and clean them",
		Long: `Data reads preference sets and benchmarks as they are published, row by row. A row
that cannot be read is listed with file, row and column, the others are used, and
the exit code is 3. "winnow data formats" lists what can be read.`,
		Args: subcommandOnly,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.dataInspectCommand(), a.dataConvertCommand(), a.dataSplitCommand(), a.dataDedupeCommand(), a.dataConditionCommand(), a.dataFormatsCommand())
	return c
}

// dataInput is how all of them read.
type dataInput struct {
	format, images string
	keepOrder      bool
	file           string
}

func (in *dataInput) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&in.format, "format", "", "format of the file (default: told from its name and first row)")
	f.StringVar(&in.images, "images", "", "folder that image paths start from (default: the file's)")
}

func (in *dataInput) keepFlag(f *pflag.FlagSet) {
	f.BoolVar(&in.keepOrder, "keep-order", false, "leave the preferred picture first in formats that always write it first")
}

// oneFile takes the argument.
func (in *dataInput) oneFile(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return &usageError{command: c.CommandPath(), err: errors.New("name one file or folder")}
	}
	in.file = args[0]
	return nil
}

func (in *dataInput) open(withoutData bool) (*datasets.Reader, error) {
	r, err := datasets.Open(in.file, datasets.Format(in.format), &datasets.Options{Images: in.images, KeepOrder: in.keepOrder, WithoutData: withoutData})
	var broken *datasets.FileError
	if pe := (*fs.PathError)(nil); !errors.As(err, &broken) && errors.As(err, &pe) {
		err = pathError("open", pe.Path, err)
	}
	return r, err
}

// dataFailed is one broken row, as --json prints it.
type dataFailed struct {
	Type    string `json:"type"` // "failed"
	File    string `json:"file"`
	Row     int    `json:"row"`
	Column  string `json:"column,omitempty"`
	Message string `json:"message"`
}

// rows is the work of a command on every record. It lists broken rows and counts them.
type rows struct {
	app    *app
	broken int
}

// fail lists one broken row; any other error is returned.
func (w *rows) fail(err error) error {
	var row *datasets.RowError
	if !errors.As(err, &row) {
		return err
	}
	w.broken++
	if w.app.json {
		if err := w.app.line(dataFailed{"failed", row.File, row.Line, row.Column, row.Error()}); err != nil {
			return err
		}
	}
	w.app.warn("%v", row)
	return nil
}

// each reads to the end.
func (w *rows) each(ctx context.Context, r *datasets.Reader, use func(*datasets.Record) error) error {
	for rec, err := range r.All() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			err = use(&rec)
		}
		if err != nil {
			if err := w.fail(err); err != nil {
				return err
			}
		}
	}
	return nil
}

// partial is the error of a run with broken rows.
func (w *rows) partial(total int) error {
	switch {
	case w.broken == 0:
		return nil
	case w.broken >= total:
		return errors.New("none of the rows could be used")
	}
	return &partialRows{w.broken, total}
}

// partialRows says how many rows failed; they have been listed.
type partialRows struct{ failed, total int }

func (e *partialRows) Error() string {
	return fmt.Sprintf("%d of %d rows could not be used; the others were", e.failed, e.total)
}

// line prints one JSON object.
func (a *app) line(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func (a *app) dataFormatsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "formats",
		Short: "List the formats that are read and written",
		Args:  a.noArgs,
		RunE: func(*cobra.Command, []string) error {
			for _, f := range datasets.Formats() {
				if err := a.formatLine(f); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (a *app) formatLine(f datasets.FormatInfo) error {
	written := slices.Contains(datasets.Writers(), f.Name)
	if a.json {
		return a.line(struct {
			Type    string          `json:"type"`
			Name    datasets.Format `json:"name"`
			About   string          `json:"about"`
			Source  string          `json:"source"`
			Written bool            `json:"written"`
		}{"format", f.Name, f.About, f.Source, written})
	}
	_, err := fmt.Fprintf(a.stdout, "%-24s %s\n", f.Name, f.About)
	return err
}
