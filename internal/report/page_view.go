package report

import (
	"fmt"
	"html/template"
	"math"
	"regexp"
	"strings"
)

// The forms below are what page.html works with.
type (
	pageData struct {
		*Page
		Parts   []sectionView
		Remarks []remark
	}
	remark struct {
		Flag
		Warn bool
	}
	sectionView struct {
		ID, Title, Note string
		Figures         []template.HTML
		Table           *tableView
		Matrix          *matrixView
		Examples        []exampleView
		Accounts        []accountView
		Large           bool // one of the examples is
	}
	tableView struct {
		Head []tableCell
		Rows [][]tableCell
	}
	tableCell struct {
		Text   string
		Number bool
		Long   bool // a sentence, which a narrow screen must not break at every word
	}
	matrixView struct {
		Names     []string
		Tall      bool // names of columns stand upright
		Rows      [][]matrixCell
		Low, High string
		Diverging bool
	}
	matrixCell struct {
		Text    string
		Percent int  // strength of the tint
		Below   bool // colour of values below zero
	}
	exampleView struct {
		Caption  string
		Pictures []pictureView
	}
	pictureView struct {
		Picture
		Thumb template.URL
		Small bool
	}
)

func (s Section) view() (sectionView, error) {
	v := sectionView{Title: s.Title, Note: s.Note}
	for i, ch := range s.Charts {
		if ch == nil {
			continue
		}
		html, err := ch.svg()
		if err != nil {
			return v, fmt.Errorf("chart %d: %w", i+1, err)
		}
		v.Figures = append(v.Figures, html)
	}
	if s.Table != nil {
		v.Table = s.Table.view()
	}
	if s.Matrix != nil {
		v.Matrix = s.Matrix.view()
	}
	for i, a := range s.Accounts {
		av, err := a.view()
		if err != nil {
			return v, fmt.Errorf("account %d: %w", i+1, err)
		}
		v.Accounts = append(v.Accounts, av)
	}
	for _, e := range s.Examples {
		ev := exampleView{Caption: e.Caption}
		for _, p := range e.Pictures {
			pv, err := p.view()
			if err != nil {
				return v, fmt.Errorf("picture %q: %w", p.Label, err)
			}
			ev.Pictures = append(ev.Pictures, pv)
			v.Large = v.Large || p.Large
		}
		v.Examples = append(v.Examples, ev)
	}
	return v, nil
}

func (p Picture) view() (pictureView, error) {
	v := pictureView{Picture: p}
	if p.Image == nil || p.Image.Bounds().Empty() {
		return v, nil
	}
	side := thumbSide
	if p.Large {
		side = largeSide
	}
	v.Small = max(p.Image.Bounds().Dx(), p.Image.Bounds().Dy()) <= side*smallSide/thumbSide
	uri, err := dataURI(p.Image, v.Small, side)
	v.Thumb = uri
	return v, err
}

// numeric matches cells of a column of numbers: a number with a unit, an interval, an error, a count of all.
var numeric = regexp.MustCompile(`^[\[(<>≤≥~≈]?\s*[-−+±]?[$€]?[0-9][0-9.,eE+\-−±%×/ \[\](]*(\s?[a-zA-Zµ°%/]{1,4})?[\])]?$`)

// blank matches cells without a value; they do not decide about the column.
var blank = regexp.MustCompile(`^(|[-–—?]|n/a|NaN)$`)

// view fills rows up to equal length and finds the columns of numbers.
func (t *Table) view() *tableView {
	width := len(t.Head)
	for _, row := range t.Rows {
		width = max(width, len(row))
	}
	v := &tableView{}
	right := make([]bool, width)
	for c := range right {
		some, other := false, false
		for _, row := range t.Rows {
			if c >= len(row) || blank.MatchString(strings.TrimSpace(row[c])) {
				continue
			}
			if numeric.MatchString(strings.TrimSpace(row[c])) {
				some = true
			} else {
				other = true
			}
		}
		right[c] = some && !other
	}
	fill := func(cells []string) []tableCell {
		out := make([]tableCell, width)
		for c := range out {
			out[c].Number = right[c]
			if c < len(cells) {
				out[c].Text = cells[c]
				out[c].Long = !right[c] && c > 0 && len(cells[c]) > longText
			}
		}
		return out
	}
	if len(t.Head) > 0 {
		v.Head = fill(t.Head)
	}
	for _, row := range t.Rows {
		v.Rows = append(v.Rows, fill(row))
	}
	return v
}

// longText is the number of bytes from which a cell counts as a sentence.
const longText = 16

// tallNames is the length of a name from which the heads of a matrix stand upright.
const tallNames = 9

func (m *Matrix) view() *matrixView {
	v := &matrixView{Names: m.Names}
	low, high := m.Low, m.High
	if (low == 0 && high == 0) || !finite(low, high) {
		r := noSpan
		for _, row := range m.Values {
			r.add(row...)
		}
		low, high = r.low, r.high
	}
	v.Diverging = low < 0 && high > 0
	format := m.Format
	if format == "" {
		format = "%.2f"
	}
	if low <= high {
		v.Low, v.High = fmt.Sprintf(format, low), fmt.Sprintf(format, high)
	}
	for i, name := range m.Names {
		v.Tall = v.Tall || len([]rune(name)) > tallNames
		cells := make([]matrixCell, len(m.Names))
		for j := range cells {
			cells[j].Text = "–"
			if i >= len(m.Values) || math.IsNaN(at(m.Values[i], j)) || math.IsInf(m.Values[i][j], 0) {
				continue
			}
			x := m.Values[i][j]
			cells[j].Text = unsignedZero(fmt.Sprintf(format, x))
			cells[j].Percent, cells[j].Below = tint(x, low, high)
		}
		v.Rows = append(v.Rows, cells)
	}
	return v
}

// unsignedZero takes the sign from what was rounded to zero.
func unsignedZero(s string) string {
	if strings.HasPrefix(s, "-") && strings.Contains(s, "0") && strings.Trim(s, "-0.,% ") == "" {
		return s[1:]
	}
	return s
}

// tintPercent is the strongest tint; text stays readable on it.
const tintPercent = 52

func tint(x, low, high float64) (percent int, below bool) {
	part := 0.0
	switch {
	case low < 0 && high > 0:
		part, below = math.Abs(x)/max(-low, high), x < 0
	case high > low:
		part = (x - low) / (high - low)
	}
	if math.IsNaN(part) {
		part = 0
	}
	return int(math.Round(tintPercent * min(max(part, 0), 1))), below
}
