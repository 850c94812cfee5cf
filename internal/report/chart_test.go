package report

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Numbers that break axes must not break charts.
func TestCharts_strangeNumbers(t *testing.T) {
	inf := math.Inf(1)
	for name, v := range map[string][]float64{
		"nan": {nan, nan, nan}, "infinite": {inf, -inf, inf}, "mixed": {1, nan, inf, 2}, "zero": {0, 0, 0}, "one": {3},
		"huge": {-1e308, 1e308, 1}, "large": {-1e99, 1e99, 3e98}, "tiny": {1e-300, 2e-300, 5e-324}, "close": {1e17, 1e17 + 16, 1e17 + 32},
		"negative": {-5, -4, -1}, "negative zero": {math.Copysign(0, -1), 0, 1},
	} {
		back := slices.Clone(v)
		slices.Reverse(back)
		var items []IntervalItem
		var marks []Mark
		var points []Point
		for i := range v {
			items = append(items, IntervalItem{"a", v[i], back[i], v[0]})
			marks = append(marks, Mark{"m", back[i]})
			points = append(points, Point{v[i], back[i], "p", ""})
		}
		lines := []Line{{"l", v, back, v, back, true}, {"m", back, v, v, v[:1], false}}
		page := write(t, &Page{Sections: []Section{{Charts: []Chart{
			IntervalChart{"", "", items, marks, v[0], ""},
			BarChart{"", "", []string{"a", "b", "c", "d", "e"}, []Series{{"s", v, back, v[:1]}, {"r", back, nil, v}}},
			Histogram{"", "", []Series{{Values: v}, {Values: back}}, -3},
			Histogram{"", "", []Series{{Values: v}}, 1 << 40},
			LineChart{Lines: lines, Diagonal: false, LogX: false},
			LineChart{Lines: lines, Diagonal: true, LogX: false},
			LineChart{Lines: lines, Diagonal: false, LogX: true},
			LineChart{Lines: lines, Diagonal: true, LogX: true},
			ScatterChart{"", "", "", points},
		}}}})
		checkSVG(t, page)
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

func TestLinearTicks(t *testing.T) {
	for _, c := range []struct {
		s    span
		n    int
		want string
	}{
		{span{0, 100}, 5, "0 20 40 60 80 100"},
		{span{48.7, 83.9}, 5, "50 60 70 80"},
		{span{0.19, 0.34}, 6, "0.200 0.225 0.250 0.275 0.300 0.325"},
		{span{-0.2, 0.5}, 7, "-0.2 -0.1 0 0.1 0.2 0.3 0.4 0.5"},
		{span{-2e9, 2e9}, 4, "-2e+09 -1e+09 0 1e+09 2e+09"},
		{span{1e-9, 4e-9}, 3, "1e-09 2e-09 3e-09 4e-09"},
		{span{3, 3}, 5, ""},
		{span{math.Inf(-1), 1}, 5, ""},
	} {
		if got := labels(linearTicks(c.s, c.n)); got != c.want {
			t.Errorf("%v, %d: %q, want %q", c.s, c.n, got, c.want)
		}
	}
}

func labels(ticks plot.ConstantTicks) string {
	var s []string
	for _, t := range ticks {
		s = append(s, t.Label)
	}
	return strings.Join(s, " ")
}

func TestLogTicks(t *testing.T) {
	for _, c := range []struct {
		s      span
		values []float64
		want   string
	}{
		{span{0.9, 70}, []float64{64, 1, 2, 4, 8, 16, 32, 1}, "1 2 4 8 16 32 64"},
		{span{40, 1200}, slices.Repeat([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 2), "50 100 200 500 1000"},
		{span{1e-6, 1e6}, make([]float64, 0), "1e-06 0.0001 0.01 1 100 1e+04 1e+06"},
		{span{90, 1100}, []float64{100, 104, 400, 1000}, "100 400 1000"},          // labels would touch
		{span{90, 1100}, []float64{100, 101, 102, 103, 1000}, "100 200 500 1000"}, // too few are left
	} {
		if got := labels(logTicks(c.s, c.values, 6)); got != c.want {
			t.Errorf("%v: %q, want %q", c.s, got, c.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		v    float64
		d    int
		want string
	}{{1.25, 1, "1.2"}, {-0.001, 2, "0.00"}, {0.2871, 4, "0.2871"}, {nan, 2, "–"}, {math.Inf(-1), 2, "–"}, {123456789, 1, "1.235e+08"}, {-3, 0, "-3"}} {
		if got := number(c.v, c.d); got != c.want {
			t.Errorf("%v with %d decimals: %s, want %s", c.v, c.d, got, c.want)
		}
	}
	for _, c := range []struct {
		s    span
		want int
	}{{span{50, 83}, 1}, {span{0.2, 0.3}, 3}, {span{0, 0}, 2}, {span{0, 5000}, 0}, {noSpan, 2}, {span{0.5, 0.5}, 3}} {
		if got := c.s.decimals(); got != c.want {
			t.Errorf("%v: %d decimals, want %d", c.s, got, c.want)
		}
	}
}

// Every paint and series survives the way through the colours of the SVG writer.
func TestRender_colours(t *testing.T) {
	want := map[paint]string{
		ink: "fill:var(--ink)", soft: "fill:var(--soft)", grid: "fill:var(--line)", card: "fill:var(--card)", series: "fill:var(--s%d)",
		softened: "fill:var(--s%d);fill-opacity:.17", faded: "fill:var(--s%d);fill-opacity:.6",
		whiskered: "fill:color-mix(in srgb, var(--s%d) 45%%, var(--ink))",
	}
	for p, css := range want {
		for n := range 2 * seriesColours {
			d, err := render(10, 10, func(c draw.Canvas) { c.FillPolygon(p.colour(n), []vg.Point{{}, {X: 5}, {Y: 5}}) })
			if err != nil {
				t.Fatal(err)
			}
			s := css
			if strings.Contains(css, "%d") {
				s = fmt.Sprintf(css, n%seriesColours)
			}
			if !strings.Contains(string(d.Body), `style="`+s+`"`) {
				t.Errorf("paint %d of series %d: %s, want %s", p, n, d.Body, s)
			}
		}
	}
	d, err := render(50, 50, func(c draw.Canvas) {
		put(c, vg.Point{X: 7}, draw.XLeft, sans(9, false), ink.colour(0), "left")
		put(c, vg.Point{X: 7}, draw.XCenter, sans(9, false), series.colour(3), "centre")
		put(c, vg.Point{X: 7}, draw.XRight, sans(9, true), soft.colour(0), "right")
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		`style="font-size:9px;fill:var(--ink)">left`, `style="font-size:9px;fill:var(--s3);text-anchor:middle">centre`,
		`style="font-weight:bold;font-size:9px;fill:var(--soft);text-anchor:end">right`,
	} {
		if !strings.Contains(string(d.Body), `<text x="7" y="-0" transform="scale(1, -1)" `+s) {
			t.Errorf("no %s in %s", s, d.Body)
		}
	}
}

// Bars are as long as their values, from zero on.
func TestBarChart_lengths(t *testing.T) {
	html, err := BarChart{Groups: []string{"a", "b", "c"}, Series: []Series{{Values: []float64{10, 20, -5}}}}.svg()
	if err != nil {
		t.Fatal(err)
	}
	wide := svgElement.FindString(string(html))
	var length []float64
	for _, m := range regexp.MustCompile(`d="M([0-9.]+),[0-9.]+L([0-9.]+),[^"]*" style="fill:var\(--s0\)"`).FindAllStringSubmatch(wide, -1) {
		x0, _ := strconv.ParseFloat(m[1], 64)
		x1, _ := strconv.ParseFloat(m[2], 64)
		length = append(length, x1-x0)
	}
	if len(length) != 3 || math.Abs(length[1]/length[0]-2) > 1e-3 || math.Abs(length[2]/length[0]+0.5) > 1e-3 {
		t.Errorf("lengths %v, want 1 : 2 : -0.5", length)
	}
}

// Names that do not fit are shortened in the drawing and stand in full among the numbers.
func TestIntervalChart_longName(t *testing.T) {
	long := strings.Repeat("a very long name ", 20)
	html, err := IntervalChart{Items: []IntervalItem{{long, 1, 0, 2}, {"b", 3, 2, 4}}, Chance: nan}.svg()
	if err != nil {
		t.Fatal(err)
	}
	s := string(html)
	if n := strings.Count(s, "…</text>"); n != 3 { // one per width
		t.Errorf("%d shortened names, want 3", n)
	}
	if !strings.Contains(s, `<th scope="row">`+long+`</th>`) || strings.Contains(s, "chance") {
		t.Error("no full name, or a chance level that was not given")
	}
}

func TestHistogram_shares(t *testing.T) {
	h := Histogram{Series: []Series{{Values: []float64{0, 1, 1, 10, nan}}, {Values: []float64{5}}, {}}, Bins: 5}
	got := h.shares(span{0, 10})
	if want := "[[75 0 0 0 25] [0 0 100 0 0] [0 0 0 0 0]]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	html, err := h.svg()
	if err != nil || !strings.Contains(string(html), "Left out: 1 of 6 values (not finite).") {
		t.Errorf("%v: the value that is left out is not told", err)
	}
}

// A gap in the values is a gap in the line.
func TestLineChart_runs(t *testing.T) {
	ch := LineChart{LogX: true}
	l := Line{X: []float64{-1, 1, 2, 3, 4, 5}, Y: []float64{1, 1, nan, 2, 3}}
	if got := fmt.Sprint(ch.runs(l, func(int) bool { return true })); got != "[[1 2] [3 5]]" {
		t.Error(got)
	}
}

func TestThin(t *testing.T) {
	pts := make([]vg.Point, 50000)
	for i := range pts {
		pts[i] = vg.Point{X: vg.Length(i), Y: vg.Length(i % 7)}
	}
	pts[31234].Y, pts[777].Y = 1000, -1000
	got := thin(pts)
	if len(got) > 2*curvePoints || got[0] != pts[0] || got[len(got)-1] != pts[len(pts)-1] {
		t.Errorf("%d points from %v to %v", len(got), got[0], got[len(got)-1])
	}
	if !slices.Contains(got, pts[31234]) || !slices.Contains(got, pts[777]) {
		t.Error("a spike is lost")
	}
	if !slices.IsSortedFunc(got, func(a, b vg.Point) int { return int(a.X - b.X) }) {
		t.Error("not in order")
	}
	if short := pts[:curvePoints]; len(thin(short)) != len(short) {
		t.Error("a short curve is thinned")
	}
}

// Labels of points never lie on one another, on a point or outside.
func TestLabel_free(t *testing.T) {
	var taken []vg.Rectangle
	_, err := render(200, 200, func(c draw.Canvas) {
		for i := range 40 {
			pt := vg.Point{X: vg.Length(i * 37 % 200), Y: vg.Length(i * 71 % 200)}
			before := len(taken)
			taken = label(c, pt, "name", taken)
			for _, box := range taken[before:] {
				if touches(box, taken[:before]) || box.Min.X < 0 || box.Max.Y > 204 {
					t.Errorf("label %d at %v", i, box)
				}
			}
		}
	})
	if err != nil || len(taken) < 5 {
		t.Errorf("%d labels, %v", len(taken), err)
	}
}

func TestScatterChart_many(t *testing.T) {
	ch := ScatterChart{Points: make([]Point, 10001)}
	for i := range ch.Points {
		ch.Points[i] = Point{X: float64(i), Y: float64(i * i % 97)}
	}
	ch.Points[5].X = nan
	html, err := ch.svg()
	if err != nil || !strings.Contains(string(html), "2500 of 10000 points are drawn. Left out: 1 of 10001 points (not finite).") {
		t.Errorf("%v: the points that are left out are not told", err)
	}
}

func TestWrap(t *testing.T) {
	f := sans(12, false)
	for _, c := range []struct {
		in   string
		w    vg.Length
		n    int
		want string
	}{
		{"short", 200, 2, "short"},
		{"one two three four", 60, 4, "one two|three|four"},
		{"clip-vit-large-patch14", 80, 2, "clip-vit-|large-pat…"},
		{"a\nb\x00c\u202e", 200, 2, "a b c"},
		{"", 10, 2, ""},
		{"wwwwww", 1, 2, "w|w…"},
	} {
		if got := strings.Join(wrap(c.in, f, c.w, c.n), "|"); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}
