package report

import (
	"encoding/csv"
	"io"
	"strconv"
)

// WriteCSV writes a table by RFC 4180 (lines end in CR LF): a header, then a row per picture. Every reward of a sum has a
// column of its own scores. Failures are not part of it.
func (r *Result) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if err := out.Write(r.csvHeader()); err != nil {
		return err
	}
	for _, g := range r.Groups {
		for _, im := range g.Images {
			if err := out.Write(r.csvRow(g, im)); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

func (r *Result) csvHeader() []string {
	header := []string{"prompt", "file", "rank", "score"}
	if r.composite() {
		for _, m := range r.Members {
			header = append(header, m.Name)
		}
	}
	for _, m := range r.Members {
		switch {
		case m.Reference == nil:
		case len(r.Members) == 1:
			header = append(header, "percentile")
		default:
			header = append(header, "percentile "+m.Name)
		}
	}
	if r.Alarm > 0 {
		header = append(header, "spread", "alarm")
	}
	return append(header, "seed", "width", "height", "sha256")
}

func (r *Result) csvRow(g Group, im Image) []string {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	row := []string{g.promptOf(im), im.File, "", ""}
	if im.Rank > 0 {
		row[2], row[3] = strconv.Itoa(im.Rank), number(im.Score)
	}
	own := func(m int, value func() string) {
		if m < len(im.Scores) {
			row = append(row, value())
		} else {
			row = append(row, "")
		}
	}
	if r.composite() {
		for m := range r.Members {
			own(m, func() string { return number(im.Scores[m]) })
		}
	}
	for m := range r.Members {
		if r.Members[m].Reference != nil {
			own(m, func() string { p, _ := r.percentile(im, m); return strconv.FormatFloat(p, 'f', 2, 64) })
		}
	}
	if r.Alarm > 0 {
		row = append(row, number(im.Spread), strconv.FormatBool(r.alarmed(im)))
	}
	seed := ""
	if im.Seed != nil {
		seed = strconv.FormatUint(*im.Seed, 10)
	}
	return append(row, seed, strconv.Itoa(im.Width), strconv.Itoa(im.Height), im.SHA256)
}
