package report

import (
	"html/template"
	"math"
	"strconv"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// IntervalChart shows one value with a 95 % interval per item as a dot with a whisker, and published values as
// hollow diamonds below.
type IntervalChart struct {
	Title, Unit string
	Items       []IntervalItem
	Marks       []Mark
	Chance      float64 // value of guessing, a dashed line; NaN: none
	Level       string  // what that line is called; "": chance
}

// IntervalItem is a value and the bounds of its 95 % interval; bounds that are NaN are not drawn.
type IntervalItem struct {
	Label            string
	Value, Low, High float64
}

// Mark is a published value.
type Mark struct {
	Label string
	Value float64
}

func (ch IntervalChart) svg() (template.HTML, error) {
	f := figure{Title: ch.Title, X: ch.Unit, Kind: "Interval chart", Full: true}
	r := rowChart{scale: noSpan, chance: ch.Chance, level: ch.Level}
	whiskers := false
	for _, it := range ch.Items {
		r.scale.add(it.Value, it.Low, it.High)
		r.groups = append(r.groups, rowGroup{it.Label, []row{{shape: dotRow, value: it.Value, low: it.Low, high: it.High}}})
		whiskers = whiskers || finite(it.Low, it.High)
	}
	for _, m := range ch.Marks {
		r.scale.add(m.Value)
		r.groups = append(r.groups, rowGroup{m.Label, []row{{shape: markRow, value: m.Value, low: math.NaN(), high: math.NaN()}}})
	}
	if f.Empty = r.scale.empty(); f.Empty {
		return f.html()
	}
	decimals := r.scale.decimals()
	r.scale.add(ch.Chance)
	r.scale = r.scale.padded(0.04)
	f.Note = intervalNote(whiskers, len(ch.Marks) > 0)
	t := &Table{Head: []string{"", "value", "low", "high"}}
	for _, g := range r.groups {
		v := g.rows[0]
		t.Rows = append(t.Rows, []string{g.label, number(v.value, decimals+1), number(v.low, decimals+1), number(v.high, decimals+1)})
	}
	f.Table = t.view()
	if err := f.drawn(r.draw, fullWide, fullMiddle, fullNarrow); err != nil {
		return "", err
	}
	return f.html()
}

func intervalNote(whiskers, marks bool) string {
	switch {
	case whiskers && marks:
		return "Dots: measured here, with 95 % intervals. Hollow diamonds: published values."
	case whiskers:
		return "Dots with 95 % intervals."
	case marks:
		return "Dots: measured here. Hollow diamonds: published values."
	}
	return ""
}

// BarChart compares series in groups: one bar per series and group, with a whisker where Low and High are given.
type BarChart struct {
	Title, Unit string
	Groups      []string
	Series      []Series
}

// Series is a named list of values. In a BarChart there is one value per group; Low and High hold 95 % bounds, or
// nothing. In a Histogram only Values counts.
type Series struct {
	Name              string
	Values, Low, High []float64
}

// at returns element i, or NaN past the end.
func at(v []float64, i int) float64 {
	if i < len(v) {
		return v[i]
	}
	return math.NaN()
}

func (ch BarChart) svg() (template.HTML, error) {
	f := figure{Title: ch.Title, X: ch.Unit, Kind: "Bar chart", Full: true}
	r := rowChart{scale: noSpan, chance: math.NaN(), thin: true}
	whiskers := false
	for i, name := range ch.Groups {
		g := rowGroup{label: name}
		for n, s := range ch.Series {
			v := row{shape: barRow, n: n, value: at(s.Values, i), low: at(s.Low, i), high: at(s.High, i)}
			if len(ch.Series) > 1 {
				v.key = strconv.Itoa(n + 1)
			}
			r.scale.add(v.value, v.low, v.high)
			whiskers = whiskers || finite(v.low, v.high)
			g.rows = append(g.rows, v)
		}
		r.groups = append(r.groups, g)
	}
	if f.Empty = r.scale.empty(); f.Empty {
		return f.html()
	}
	r.scale.add(0)
	r.scale = r.scale.padded(0)
	if whiskers {
		f.Note = "Whiskers: 95 % intervals."
	}
	f.Table = ch.table(r.scale.decimals() + 1)
	if err := f.drawn(r.draw, fullWide, fullMiddle, fullNarrow); err != nil {
		return "", err
	}
	if err := ch.legend(&f); err != nil {
		return "", err
	}
	return f.html()
}

func (ch BarChart) table(decimals int) *tableView {
	t := &Table{Head: []string{""}}
	for _, s := range ch.Series {
		t.Head = append(t.Head, s.Name)
	}
	for i, name := range ch.Groups {
		cells := []string{name}
		for _, s := range ch.Series {
			value, bounds := interval(at(s.Values, i), at(s.Low, i), at(s.High, i), decimals)
			if bounds != "" {
				value += " " + bounds
			}
			cells = append(cells, value)
		}
		t.Rows = append(t.Rows, cells)
	}
	return t.view()
}

// legend numbers the series: the same numbers stand before the bars.
func (ch BarChart) legend(f *figure) (err error) {
	if len(ch.Series) < 2 {
		return nil
	}
	var names []string
	for i, s := range ch.Series {
		names = append(names, strconv.Itoa(i+1)+" "+clean(s.Name))
	}
	f.Legend, err = legend(names, func(c draw.Canvas, n int) {
		c.FillPolygon(series.colour(n), []vg.Point{{X: 4, Y: 1}, {X: 24, Y: 1}, {X: 24, Y: 12}, {X: 4, Y: 12}})
	})
	return err
}
