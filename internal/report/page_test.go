package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var nan = math.NaN()

// samplePage holds one of everything; text stands wherever a page takes text.
func samplePage(text string) *Page {
	values := []float64{71, 65, 50}
	low, high := []float64{70, 64, nan}, []float64{72, 66, nan}
	return &Page{
		Title: text, Subtitle: text, Footer: text,
		Facts: []Fact{{text, text}, {"command", strings.Repeat(text, 20)}},
		Flags: []Flag{{"warn", text, text}, {"info", text, text}, {text, text, text}},
		Sections: []Section{
			{Title: text, Note: text, Table: &Table{Head: []string{text, "n"}, Rows: [][]string{{text, "1"}, {text, "2.5"}}}},
			{
				Title: "charts", Charts: []Chart{
					IntervalChart{text, text, []IntervalItem{{text, 71.3, 69, 73}, {text, 60, nan, nan}}, []Mark{{text, 83.3}}, 50, text},
					BarChart{text, text, []string{text, "b", "c"}, []Series{{text, values, low, high}, {text, values, nil, nil}}},
					Histogram{text, text, []Series{{Name: text, Values: values}, {Name: text, Values: low}}, 5},
					LineChart{text, text, text, []Line{{text, values, values, low, high, true}, {text, values, low, nil, nil, false}}, true, false, text, []Mark{{text, 60}}},
					ScatterChart{text, text, text, []Point{{1, 2, text, text}, {2, 3, text, ""}}},
				},
			},
			{
				Title: "more", Matrix: &Matrix{Names: []string{text, "b"}, Values: [][]float64{{1, nan}, {0.25}}, Format: "%.3f"},
				Examples: []Example{{text, []Picture{
					{text, picture(64, 64), []string{text}, true, false}, {text, picture(400, 300), []string{text}, false, true}, {Label: text},
				}}},
			},
		},
	}
}

func write(t *testing.T, p *Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPage_WriteHTML(t *testing.T) {
	page := write(t, samplePage("a&b"))
	for _, want := range []string{
		"<title>a&amp;b · a&amp;b</title>", `<a href="#s1">a&amp;b</a>`, `<section id="s3">`, "⚠ Warning", "ℹ Note",
		"data:image/png;base64,", "data:image/jpeg;base64,", `class="small"`, `class="picture good"`, `<th scope="col" class="n">n</th>`,
		`<td class="n">2.5</td>`, "1.000", "0.250", "Hollow diamonds: published values", "prefers-color-scheme: dark", "@media print",
		`role="img" aria-label="a&amp;b"`, "<desc>Interval chart of a&amp;b. a&amp;b 71.30 69.00 73.00;",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if n := strings.Count(page, "⚠ Warning"); n != 1 {
		t.Errorf("%d warnings, want 1: a level that is not known is a note", n)
	}
	if n := strings.Count(page, `class="long"`); n != 1 {
		t.Errorf("%d long facts, want 1", n)
	}
	if m := regexp.MustCompile(`(?i)<script|https?:|ZgotmplZ|src="[^d]|url\(|@import|<link`).FindString(page); m != "" {
		t.Errorf("the page holds %q", m)
	}
	if again := write(t, samplePage("a&b")); again != page {
		t.Error("a second page differs")
	}
	checkSVG(t, page)
}

func TestPage_WriteHTML_empty(t *testing.T) {
	for name, p := range map[string]*Page{
		"nothing":        {},
		"empty sections": {Sections: []Section{{}, {Charts: []Chart{nil}, Table: &Table{}, Matrix: &Matrix{}, Examples: []Example{{}}}}},
		"empty charts": {Sections: []Section{{Charts: []Chart{
			IntervalChart{},
			BarChart{},
			Histogram{},
			LineChart{},
			ScatterChart{},
			LineChart{LogX: true, Diagonal: true},
			BarChart{Groups: []string{"a"}},
			BarChart{Series: []Series{{}}},
			LineChart{Lines: []Line{{Y: []float64{1}}, {X: []float64{1}}}},
		}}}},
		"ragged": {Sections: []Section{{
			Table:  &Table{Head: []string{"a"}, Rows: [][]string{{}, {"1", "2", "3"}}},
			Matrix: &Matrix{Names: []string{"a", "b", "c"}, Values: [][]float64{{1, 2, 3, 4, 5}, {}}, Low: nan, High: math.Inf(1)},
		}}},
		"blank pictures": {Sections: []Section{{Examples: []Example{{Pictures: []Picture{{Image: image.NewGray(image.Rect(3, 3, 3, 9))}}}}}}},
	} {
		page := write(t, p)
		if strings.Contains(page, "NaN") || !strings.HasSuffix(strings.TrimSpace(page), "</html>") {
			t.Errorf("%s: unfinished page or NaN", name)
		}
		if name == "empty charts" && strings.Count(page, "No values.") != 9 {
			t.Errorf("%d empty charts, want 9", strings.Count(page, "No values."))
		}
	}
}

var (
	svgElement = regexp.MustCompile(`(?s)<svg .*?</svg>`)
	badValue   = regexp.MustCompile(`NaN|Inf|#|url|%!`)
	tagForm    = regexp.MustCompile(`<[a-zA-Z!/][^>]*>`)
	quoted     = regexp.MustCompile(`"[^"]*"`)
)

// checkSVG demands well-formed drawings of known elements without values that are
// not finite, every colour of which is a variable of the page.
func checkSVG(t *testing.T, page string) {
	t.Helper()
	for _, s := range svgElement.FindAllString(page, -1) {
		dec := xml.NewDecoder(strings.NewReader(s))
		for {
			tok, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v in %.300s", err, s)
			}
			start, ok := tok.(xml.StartElement)
			if !ok {
				continue
			}
			if !slices.Contains([]string{"svg", "title", "desc", "g", "path", "text"}, start.Name.Local) {
				t.Errorf("element %s", start.Name.Local)
			}
			for _, a := range start.Attr {
				if a.Name.Local != "aria-label" && badValue.MatchString(a.Value) || strings.HasPrefix(a.Name.Local, "on") {
					t.Errorf("<%s %s=%q>", start.Name.Local, a.Name.Local, a.Value)
				}
			}
		}
	}
}

// tags lists the elements of a page with the names of their attributes.
func tags(page string) string {
	var b strings.Builder
	for _, tag := range tagForm.FindAllString(page, -1) {
		b.WriteString(quoted.ReplaceAllString(tag, `""`) + "\n")
	}
	return b.String()
}

// textPage is samplePage without the large picture, which takes most of the time.
func textPage(text string) *Page {
	p := samplePage(text)
	p.Sections[2].Examples[0].Pictures[1].Image = nil
	return p
}

// Text never becomes markup: the elements and attributes are those of a page
// whose text is harmless.
func FuzzPage_text(f *testing.F) {
	for _, s := range []string{
		"", "<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "</title></svg></style>]]>", "fill:#04040404 style=\"fill:#0C0C04\"",
		"{{.}}", "\x00\x01\x1b[31m", "\xff\xfe", "a\u202eb", "漢字仮名交じり文の長い名前", "🦊 fox", "a\nb\tc", "&lt;&amp;", "'--><!--", strings.Repeat("long-name_", 300),
	} {
		f.Add(s)
	}
	known := map[string]bool{}
	var plain bytes.Buffer
	if err := textPage("x").WriteHTML(&plain); err != nil {
		f.Fatal(err)
	}
	for _, tag := range strings.Split(tags(plain.String()), "\n") {
		known[tag] = true
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 4000 {
			return
		}
		page := write(t, textPage(s))
		checkSVG(t, page)
		if strings.TrimSpace(clean(s)) == "" {
			return // fewer elements
		}
		for _, tag := range strings.Split(tags(page), "\n") {
			if !known[tag] {
				t.Errorf("text %.60q makes %q", s, tag)
			}
		}
	})
}

func TestTable_view(t *testing.T) {
	for _, c := range []struct {
		cells []string
		right bool
	}{
		{[]string{"1", "-2.5", ""}, true},
		{[]string{"71.3 %", "60 %"}, true},
		{[]string{"[69.4, 73.1]", "–"}, true},
		{[]string{"0.71 ± 0.02", "0.6 [0.5, 0.7]", "1,234", "1e-5", "12 ms", "3/40"}, true},
		{[]string{"1", "two"}, false},
		{[]string{"hpsv2.1", "clip"}, false},
		{[]string{"–", ""}, false},
		{[]string{"v1.2"}, false},
		{[]string{"3 of the pairs"}, false},
	} {
		table := Table{}
		for _, s := range c.cells {
			table.Rows = append(table.Rows, []string{"name", s})
		}
		if got := table.view().Rows[0][1].Number; got != c.right {
			t.Errorf("%q: right %v", c.cells, got)
		}
	}
}

func TestTint(t *testing.T) {
	for _, c := range []struct {
		x, low, high float64
		percent      int
		below        bool
	}{
		{0.5, 0, 1, tintPercent / 2, false},
		{1, 0.5, 1, tintPercent, false},
		{7, 0, 1, tintPercent, false},
		{-7, 0, 1, 0, false},
		{-0.5, -1, 1, tintPercent / 2, true},
		{0, -1, 1, 0, false},
		{3, 3, 3, 0, false},
	} {
		if p, below := tint(c.x, c.low, c.high); p != c.percent || below != c.below {
			t.Errorf("%v in [%v, %v]: %d %v", c.x, c.low, c.high, p, below)
		}
	}
}

func TestMatrix_view(t *testing.T) {
	v := (&Matrix{Names: []string{"a", "b"}, Values: [][]float64{{2, nan}, {math.Inf(1), 4}}}).view()
	got := fmt.Sprintf("%v %s %s %v %v", v.Rows, v.Low, v.High, v.Diverging, v.Tall)
	if want := fmt.Sprintf("[[{2.00 0 false} {– 0 false}] [{– 0 false} {4.00 %d false}]] 2.00 4.00 false false", tintPercent); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestUnsignedZero(t *testing.T) {
	for in, want := range map[string]string{"-0.00": "0.00", "-0.01": "-0.01", "-0 %": "0 %", "0.00": "0.00", "-": "-", "": ""} {
		if got := unsignedZero(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// No two of the first 32 series look the same, whatever the eye makes of colours.
func TestSeries_distinct(t *testing.T) {
	seen := map[string]int{}
	for n := range 4 * seriesColours {
		key := fmt.Sprint(series.colour(n), dashes(n))
		if other, ok := seen[key]; ok {
			t.Errorf("lines %d and %d look the same", other, n)
		}
		seen[key] = n
	}
}

// What a judge wrote is text wherever it stands, in both kinds of page.
func TestAccount_escaped(t *testing.T) {
	evil := `</pre></style><script>alert(1)</script><img src=x onerror=alert(1)>"'{{.}}`
	a := Account{
		Caption: evil, Summary: evil, Pictures: []Picture{{Label: evil, Lines: []string{evil}}, {Label: "B", Image: image.NewGray(image.Rect(0, 0, 4, 4))}},
		Asked: []Asked{
			{Title: evil, Value: evil, Chains: []Chain{{Verdict: evil, Place: 1, Thoughts: evil, Reply: evil + "."}, {Verdict: "same", Thoughts: "x y", Reply: " x y\n"}}},
			{Title: "silent", Silence: evil},
		},
	}
	var one, two bytes.Buffer
	if err := (&Page{Title: "t", Sections: []Section{{Accounts: []Account{a}}}}).WriteHTML(&one); err != nil {
		t.Fatal(err)
	}
	if err := (&Result{Command: "rank", Accounts: []Account{a}, AccountsNote: evil}).WriteHTML(&two); err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{one.String(), two.String()} {
		if strings.Contains(page, "<script") || strings.Contains(page, "<img src=x") || strings.Count(page, "</style>") != 1 {
			t.Error("a judge's text is markup")
		}
		if n := strings.Count(page, "&lt;script&gt;alert(1)"); n < 10 {
			t.Errorf("the text stands in %d places", n)
		}
		if n := strings.Count(page, "as it was written"); n != 1 {
			t.Errorf("%d replies beside the thoughts that they are not", n)
		}
	}
}
