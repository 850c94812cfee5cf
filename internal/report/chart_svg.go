package report

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A chart is drawn with placeholder colours. They are replaced by CSS variables afterwards, so that one drawing
// suits light pages, dark pages and paper. Red says what is drawn, green carries the number of the series, blue the
// alignment of text: the browser aligns it itself (text-anchor), because it may use a font of other widths.
type paint byte

const (
	ink       paint = iota // text that matters
	soft                   // other text, axes, chance level
	grid                   // lines in the background
	card                   // the page behind the chart
	series                 // colour of a series
	softened               // the same, for areas that overlap
	faded                  // the same, for crowds of points
	whiskered              // the same, mixed with ink: whiskers on bars
)

// seriesColours is the length of the palette in page.html (--s0 … --s7).
const seriesColours = 8

const (
	tokenStep   = 8 // distance of two codes, so that rounding inside the SVG writer does no harm
	tokenMiddle = 4
)

// colour makes the placeholder of a paint; n numbers the series.
func (p paint) colour(n int) color.Color {
	return color.NRGBA{R: code(int(p)), G: code(n % seriesColours), B: code(0), A: 255}
}

func code(n int) byte { return byte(n*tokenStep + tokenMiddle) }

var (
	styleAttr  = regexp.MustCompile(`style="[^"]*"`) // text cannot hold a quotation mark: it is escaped
	colourHex  = regexp.MustCompile(`(fill|stroke):#([0-9A-F]{2})([0-9A-F]{2})([0-9A-F]{2})`)
	fontFamily = regexp.MustCompile(`font-(family|variant|style):[^;"]*;?|font-weight:normal;?`)
	lineBreaks = regexp.MustCompile(`\n\t`)
)

// css replaces a placeholder by a variable of the page.
func css(match string) string {
	m := colourHex.FindStringSubmatch(match)
	var at [3]int
	for i := range at {
		v, _ := strconv.ParseUint(m[i+2], 16, 8)
		at[i] = int(v) / tokenStep
	}
	s := fmt.Sprintf("var(--s%d)", at[1])
	switch paint(at[0]) {
	case ink:
		s = "var(--ink)"
	case soft:
		s = "var(--soft)"
	case grid:
		s = "var(--line)"
	case card:
		s = "var(--card)"
	case softened:
		s += ";" + m[1] + "-opacity:.17"
	case faded:
		s += ";" + m[1] + "-opacity:.6"
	case whiskered:
		s = "color-mix(in srgb, " + s + " 45%, var(--ink))"
	}
	s = m[1] + ":" + s
	if at[2] > 0 {
		s += ";text-anchor:" + [...]string{"start", "middle", "end"}[at[2]%3]
	}
	return s
}

// drawing is one chart at one width, in CSS pixels at scale 1.
type drawing struct {
	Class         string // "wide", "middle" or "narrow"
	Width, Height int
	Body          template.HTML // what stands inside the svg element
}

// render draws with fn on a canvas of w by h and returns the content of the svg element.
func render(w, h int, fn func(c draw.Canvas)) (drawing, error) {
	canvas := vgsvg.New(vg.Length(w), vg.Length(h))
	fn(draw.New(canvas))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return drawing{}, fmt.Errorf("report: write a chart: %w", err)
	}
	s := b.String()
	first := strings.Index(s, "<g ")
	last := strings.LastIndex(s, "</svg>")
	if first < 0 || last < first {
		return drawing{}, fmt.Errorf("report: the chart writer gave no SVG: %.60q", s)
	}
	s = styleAttr.ReplaceAllStringFunc(lineBreaks.ReplaceAllString(s[first:last], " "), func(style string) string {
		style = colourHex.ReplaceAllStringFunc(fontFamily.ReplaceAllString(style, ""), css)
		return style
	})
	return drawing{Width: w, Height: h, Body: template.HTML(s)}, nil
}

// sans is the font that widths are measured in; the browser uses the font of the page.
func sans(size float64, bold bool) font.Font {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Length(size)}
	if bold {
		f.Weight = xfont.WeightBold
	}
	return f
}

const (
	textSize  = 12
	smallSize = 10.5 // numbers beside thin bars
	lineGap   = 1.2  // distance of two lines, in sizes of the font
)

// labelText draws text for the browser to align: gonum's own handler would shift it by the width in its own font.
type labelText struct{ text.Plain }

var textHandler = labelText{text.Plain{Fonts: font.DefaultCache}}

// widest is the width of the widest common font of user interfaces, in widths of the one measured with.
const widest = 1.17

// Box leaves room for wide fonts, and for scripts that the font measured with lacks.
func (h labelText) Box(s string, f font.Font) (width, height, depth vg.Length) {
	width, height, depth = h.Plain.Box(s, f)
	for _, r := range s {
		if r >= 0x1100 {
			width += f.Size * 0.35
		}
	}
	return width * widest, height, depth
}

// Draw implements text.Handler for axes; rotated text is not used here.
func (h labelText) Draw(c vg.Canvas, s string, sty text.Style, pt vg.Point) {
	lines := h.Lines(s)
	e := h.Extents(sty.Font)
	y := pt.Y + sty.Height(s)*vg.Length(sty.YAlign) - e.Ascent
	for i, line := range lines {
		up := vg.Length(len(lines)-i-1)*lineGap + 1
		put(c, vg.Point{X: pt.X, Y: y + up*sty.Font.Size}, sty.XAlign, sty.Font, sty.Color, line)
	}
}

// put writes one line with its baseline at pt.
func put(c vg.Canvas, pt vg.Point, align text.XAlignment, f font.Font, col color.Color, s string) {
	if s == "" {
		return
	}
	t, ok := col.(color.NRGBA)
	if !ok {
		t = soft.colour(0).(color.NRGBA)
	}
	t.B = code(int(math.Round(float64(-align) * 2)))
	c.SetColor(t)
	c.FillString(font.DefaultCache.Lookup(f, f.Size), pt, s)
}

func textWidth(s string, f font.Font) vg.Length {
	w, _, _ := textHandler.Box(s, f)
	return w
}

// newPlot returns an empty plot in the style of the page.
func newPlot(x, y span) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	p.TextHandler = textHandler
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Width = 0
		a.Tick.Length = 0
		a.Tick.Label.Font = sans(textSize, false)
		a.Tick.Label.Color = soft.colour(0)
		a.Tick.Label.Handler = textHandler
		a.Label.TextStyle.Handler = textHandler
	}
	p.X.Padding, p.Y.Padding = 5, 3 // between tick labels and data
	p.X.Min, p.X.Max = x.low, x.high
	p.Y.Min, p.Y.Max = y.low, y.high
	return p
}

// plotter makes a function a plot.Plotter.
type plotter func(c draw.Canvas, p *plot.Plot)

func (f plotter) Plot(c draw.Canvas, p *plot.Plot) { f(c, p) }

// gridLines draws a line at every tick of an axis, and a stronger one at zero.
func gridLines(vertical, horizontal bool) plot.Plotter {
	return plotter(func(c draw.Canvas, p *plot.Plot) {
		x, y := p.Transforms(&c)
		style := func(v float64) draw.LineStyle {
			if v == 0 {
				return line(soft.colour(0), 0.8)
			}
			return line(grid.colour(0), 0.8)
		}
		if vertical {
			for _, t := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
				c.StrokeLine2(style(t.Value), x(t.Value), c.Min.Y, x(t.Value), c.Max.Y)
			}
		}
		if horizontal {
			for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
				c.StrokeLine2(style(t.Value), c.Min.X, y(t.Value), c.Max.X, y(t.Value))
			}
		}
	})
}

func line(col color.Color, width float64, dashes ...vg.Length) draw.LineStyle {
	return draw.LineStyle{Color: col, Width: vg.Length(width), Dashes: dashes}
}

// clean makes text from outside fit for one line of a chart: no control characters, no marks that turn the
// direction of writing.
func clean(s string) string {
	return oneLine(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r):
			return ' '
		case unicode.Is(unicode.Cf, r), r >= 0xFFFE && r <= 0xFFFF:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))
}

// wrap breaks cleaned text into at most n lines of width w; what does not fit ends in an ellipsis.
func wrap(s string, f font.Font, w vg.Length, n int) []string {
	var lines []string
	rest := []rune(clean(s))
	for len(rest) > 0 {
		if len(lines) == n-1 {
			return append(lines, shorten(string(rest), f, w))
		}
		cut := fitting(rest, f, w)
		if cut < len(rest) {
			for i := cut; i > cut/2; i-- { // rather between words, or after a mark inside a name
				if strings.ContainsRune(" ", rest[i]) || strings.ContainsRune("-_/:,", rest[i-1]) {
					cut = i
					break
				}
			}
		}
		lines = append(lines, strings.TrimSpace(string(rest[:cut])))
		rest = []rune(strings.TrimSpace(string(rest[cut:])))
	}
	return lines
}

func shorten(s string, f font.Font, w vg.Length) string {
	if textWidth(s, f) <= w {
		return s
	}
	r := []rune(s)
	return strings.TrimSpace(string(r[:fitting(r, f, w-textWidth("…", f))])) + "…"
}

// fitting counts the runes that fit into w, at least one.
func fitting(r []rune, f font.Font, w vg.Length) int {
	low, high := 1, min(len(r), 400)
	for low < high {
		mid := (low + high + 1) / 2
		if textWidth(string(r[:mid]), f) <= w {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}
