package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"image"
	"io"
)

// Page is a self-contained HTML page about an evaluation, a training run or a search. Its text may come from
// anywhere: all of it is escaped.
type Page struct {
	Title, Subtitle string
	Facts           []Fact
	Flags           []Flag
	Sections        []Section
	Footer          string
}

// Fact is a line about where the results come from: command, data, seed, version.
type Fact struct{ Name, Value string }

// Flag is a remark that stands above the results.
type Flag struct {
	Level         string // "warn" or "info"
	Title, Detail string
}

// Section is a part of the page; what it lacks is left out. Charts come first, then the table, the matrix and the
// examples.
type Section struct {
	Title, Note string
	Table       *Table
	Charts      []Chart
	Matrix      *Matrix
	Examples    []Example
	Accounts    []Account
}

// Table is a table of text. Columns of numbers stand right.
type Table struct {
	Head []string
	Rows [][]string
}

// Matrix holds a value for every pair of names, row by row. Cells are tinted from Low to High; where Low and High
// lie on both sides of zero, with one colour for each sign.
type Matrix struct {
	Names     []string
	Values    [][]float64 // NaN and missing values are shown as –
	Format    string      // of a value, for fmt; "": "%.2f"
	Low, High float64     // both zero: range of the values
}

// Example is a row of pictures with a caption, such as a pair where a scorer and people disagree.
type Example struct {
	Caption  string
	Pictures []Picture
}

// Picture is one picture of an example.
type Picture struct {
	Label string
	Image image.Image // nil: a blank
	Lines []string    // scores and verdicts
	Good  bool        // the better one: gets a mark and a border
	Large bool        // shown larger than others, such as a grid of pictures
}

//go:embed page.html
var pageHTML string

var pageTemplate = withBase(template.Must(template.New("evaluation").Parse(pageHTML)))

// WriteHTML writes one file that loads nothing: charts are inside as SVG, pictures as data URIs. The same page
// gives the same bytes.
func (p *Page) WriteHTML(w io.Writer) error {
	v := pageData{Page: p}
	for i, s := range p.Sections {
		view, err := s.view()
		if err != nil {
			return fmt.Errorf("report: section %q: %w", s.Title, err)
		}
		view.ID = fmt.Sprintf("s%d", i+1)
		v.Parts = append(v.Parts, view)
	}
	for _, f := range p.Flags {
		v.Remarks = append(v.Remarks, remark{f, f.Level == "warn"})
	}
	return pageTemplate.ExecuteTemplate(w, "evaluation", v)
}
