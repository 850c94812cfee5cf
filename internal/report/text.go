package report

import (
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// WriteTable writes the result for people: per prompt a table of rank, score,
// seed and file, best first. Pictures that are not ranked are listed as plain
// paths, one a line, ready for another program. Failures are not part of it;
// they belong on the error stream.
func (r *Result) WriteTable(w io.Writer) error {
	var b strings.Builder
	for i, g := range r.Groups {
		if len(g.Images) == 0 {
			continue
		}
		if g.Images[0].Rank == 0 {
			for _, im := range g.Images {
				b.WriteString(im.File + "\n")
			}
			continue
		}
		if len(r.Groups) > 1 {
			if i > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(oneLine(g.Prompt) + "\n")
		}
		r.writeRows(&b, g)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeRows writes one aligned table; numbers stand right, texts left.
func (r *Result) writeRows(b *strings.Builder, g Group) {
	columns := r.columns(g)
	for row := -1; row < len(g.Images); row++ {
		for c, col := range columns {
			text, last := col.name, c == len(columns)-1
			if row >= 0 {
				text = col.values[row]
			}
			pad := strings.Repeat(" ", col.width-utf8.RuneCountInString(text))
			switch {
			case last:
				b.WriteString(text + "\n")
			case col.left:
				b.WriteString(text + pad + "  ")
			default:
				b.WriteString(pad + text + "  ")
			}
		}
	}
}

// column is one column of a table.
type column struct {
	name   string
	left   bool
	values []string
	width  int
}

// columns are those that have something to say about a group.
func (r *Result) columns(g Group) []column {
	var list []column
	add := func(name string, left bool, value func(Image) string) {
		col, filled := column{name: name, left: left, width: utf8.RuneCountInString(name)}, false
		for _, im := range g.Images {
			v := value(im)
			filled = filled || v != ""
			col.values, col.width = append(col.values, v), max(col.width, utf8.RuneCountInString(v))
		}
		if filled {
			list = append(list, col)
		}
	}
	add("rank", false, func(im Image) string { return strconv.Itoa(im.Rank) })
	add("score", false, func(im Image) string { return FormatScore(im.Score) })
	if len(r.Members) == 1 {
		add("percentile", false, func(im Image) string { return r.percentileText(im, 0) })
	}
	if r.composite() {
		for m, member := range r.Members {
			add(member.Name, false, func(im Image) string {
				if m >= len(im.Scores) {
					return ""
				}
				return FormatScore(im.Scores[m])
			})
		}
	}
	if r.Alarm > 0 {
		add("spread", false, func(im Image) string {
			mark := "  "
			if r.alarmed(im) {
				mark = " !"
			}
			return FormatScore(im.Spread) + mark
		})
	}
	add("seed", false, func(im Image) string {
		if im.Seed == nil {
			return ""
		}
		return strconv.FormatUint(*im.Seed, 10)
	})
	add("file", true, func(im Image) string { return im.File })
	add("prompt", true, func(im Image) string { return oneLine(im.Prompt) })
	return list
}

// percentileText shows whole percents; "" where there is no reference.
func (r *Result) percentileText(im Image, member int) string {
	p, known := r.percentile(im, member)
	if !known {
		return ""
	}
	return strconv.FormatFloat(p, 'f', 0, 64)
}

// FormatScore shows a score with four decimals, the same in every form for people.
func FormatScore(s float64) string { return strconv.FormatFloat(s, 'f', 4, 64) }

// oneLine keeps a prompt with line breaks from breaking a table.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
