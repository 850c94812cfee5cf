package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"winnow/datasets"
	"winnow/internal/imageproc"
)

// dataReport is what inspect finds, as --json prints it.
type dataReport struct {
	Type       string          `json:"type"` // "data"
	File       string          `json:"file"`
	Format     datasets.Format `json:"format"`
	About      string          `json:"about"`
	Rows       int             `json:"rows"`
	Failed     int             `json:"failed"`
	Counts     datasets.Counts `json:"counts"`
	Missing    int             `json:"missing_files"` // pictures named by path that are not there
	Addresses  int             `json:"addresses"`     // pictures that only have an address
	Categories map[string]int  `json:"categories,omitempty"`
	Known      []knownReport   `json:"known,omitempty"`
}

// knownReport compares with one public file.
type knownReport struct {
	Set         string   `json:"set"`
	OK          bool     `json:"ok"`
	Differences []string `json:"differences,omitempty"`
}

// maxCategories bounds the table of categories; files with more have no categories worth a table.
const maxCategories = 100

func (a *app) dataInspectCommand() *cobra.Command {
	in := &dataInput{}
	check := false
	c := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Count groups, pairs, prompts and pictures, and compare with the public set",
		Long: `Inspect reads a whole set and counts: rows, groups, comparisons (decided, tied,
unlabeled), different prompts, pictures, and picture files that are missing. Where
the counts of the public file are known, they are compared: ok, or what differs.
Pictures are not opened unless --check-images is given.`,
		Example: `  winnow data inspect ImageReward/data/test.json
  winnow data inspect --check-images pickapic/train-00000.parquet`,
		Args: in.oneFile,
		RunE: func(c *cobra.Command, _ []string) error { return a.dataInspect(c.Context(), in, check) },
	}
	in.flags(c.Flags())
	c.Flags().BoolVar(&check, "check-images", false, "decode every picture")
	return c
}

func (a *app) dataInspect(ctx context.Context, in *dataInput, check bool) error {
	r, err := in.open(!check)
	if err != nil {
		return err
	}
	defer r.Close()
	d := dataReport{Type: "data", File: in.file, Format: r.Info().Name, About: r.Info().About, Categories: map[string]int{}}
	var counter datasets.Counter
	w := &rows{app: a}
	err = w.each(ctx, r, func(rec *datasets.Record) error {
		counter.Add(rec)
		if rec.Category != "" && len(d.Categories) <= maxCategories {
			d.Categories[rec.Category]++
		}
		d.pictures(rec)
		if check {
			return checkPictures(in.file, rec)
		}
		return nil
	})
	if err != nil {
		return err
	}
	d.Rows, d.Failed, d.Counts = r.Rows(), w.broken, counter.Counts
	if len(d.Categories) > maxCategories {
		d.Categories = nil
	}
	d.compare(r.Info().Known)
	if err := a.showData(&d); err != nil {
		return err
	}
	return w.partial(r.Rows())
}

// pictures counts what is not at hand.
func (d *dataReport) pictures(rec *datasets.Record) {
	for i := range rec.Images {
		switch im := &rec.Images[i]; {
		case im.Present():
		case im.Path != "":
			d.Missing++
		case im.URL != "":
			d.Addresses++
		}
	}
}

// checkPictures decodes the pictures of a record that are at hand.
func checkPictures(file string, rec *datasets.Record) error {
	for i := range rec.Images {
		im := &rec.Images[i]
		if !im.Present() {
			continue
		}
		data, err := im.Bytes()
		if err == nil {
			_, err = imageproc.Decode(im.Name(), data, imageproc.Limits{})
		}
		if err != nil {
			return &datasets.RowError{File: file, Line: rec.Row, Column: fmt.Sprintf("picture %d", i+1), Err: err}
		}
	}
	return nil
}

// compare keeps the public file that fits; when none does, all of them with what differs.
func (d *dataReport) compare(known []datasets.Known) {
	for _, k := range known {
		diff := k.Differences(d.Counts)
		if len(diff) == 0 {
			d.Known = []knownReport{{Set: k.Set, OK: true}}
			return
		}
		d.Known = append(d.Known, knownReport{Set: k.Set, Differences: diff})
	}
}

func (a *app) showData(d *dataReport) error {
	if a.json {
		return a.line(d)
	}
	var b bytes.Buffer
	if err := d.text(&b); err != nil {
		return err
	}
	_, err := a.stdout.Write(b.Bytes())
	return err
}

func (d *dataReport) text(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "file\t%s\nformat\t%s (%s)\nrows\t%d\n", d.File, d.Format, d.About, d.Rows)
	if d.Failed > 0 {
		fmt.Fprintf(t, "failed\t%d\n", d.Failed)
	}
	for _, c := range d.Counts.List() {
		if c.Value > 0 {
			fmt.Fprintf(t, "%s\t%d\n", c.Name, c.Value)
		}
	}
	if d.Counts.Images > 0 {
		fmt.Fprintf(t, "missing files\t%d\n", d.Missing)
	}
	if d.Addresses > 0 {
		fmt.Fprintf(t, "addresses only\t%d\n", d.Addresses)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Categories)) {
		fmt.Fprintf(t, "category\t%s: %d\n", name, d.Categories[name])
	}
	switch {
	case len(d.Known) > 1:
		fmt.Fprintf(t, "known counts\tmismatch with all of the %d public files\n", len(d.Known))
	case len(d.Known) == 1 && d.Known[0].OK:
		fmt.Fprintf(t, "known counts\tok: %s\n", d.Known[0].Set)
	case len(d.Known) == 1:
		fmt.Fprintf(t, "known counts\tmismatch with %s: %s\n", d.Known[0].Set, strings.Join(d.Known[0].Differences, ", "))
	}
	return t.Flush()
}
