package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
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
		writeRows(&b, g)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeRows writes one aligned table; numbers stand right, files left.
func writeRows(b *strings.Builder, g Group) {
	rows := [][]string{{"rank", "score", "seed", "file"}}
	seeds := false
	for _, im := range g.Images {
		seed := ""
		if im.Seed != nil {
			seed, seeds = strconv.FormatUint(*im.Seed, 10), true
		}
		rows = append(rows, []string{strconv.Itoa(im.Rank), FormatScore(im.Score), seed, im.File})
	}
	width := make([]int, 3)
	for _, row := range rows {
		for c := range width {
			width[c] = max(width[c], len(row[c]))
		}
	}
	for _, row := range rows {
		for c, w := range width {
			if c == 2 && !seeds {
				continue
			}
			fmt.Fprintf(b, "%*s  ", w, row[c])
		}
		b.WriteString(row[3] + "\n")
	}
}

// FormatScore shows a score with four decimals, the same in every form for people.
func FormatScore(s float64) string { return strconv.FormatFloat(s, 'f', 4, 64) }

// oneLine keeps a prompt with line breaks from breaking a table.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// The JSON lines. Every object carries "type"; fields are only ever added.
type (
	imageLine struct {
		Type   string   `json:"type"` // "image"
		Prompt string   `json:"prompt"`
		File   string   `json:"file"`
		Rank   int      `json:"rank,omitempty"`
		Score  *float64 `json:"score,omitempty"`
		Reward string   `json:"reward,omitempty"`
		Width  int      `json:"width"`
		Height int      `json:"height"`
		SHA256 string   `json:"sha256"`
		Seed   *uint64  `json:"seed,omitempty"`
		Params any      `json:"params,omitempty"`
	}
	summaryLine struct {
		Type    string  `json:"type"` // "summary"
		Command string  `json:"command"`
		Images  int     `json:"images"`
		Failed  int     `json:"failed"`
		Seconds float64 `json:"seconds"`
		Reward  any     `json:"reward,omitempty"`
		Version string  `json:"version"`
	}
	// ErrorLine is the form of every failure under --json.
	ErrorLine struct {
		Type    string `json:"type"` // "error"
		Code    int    `json:"code"` // exit code that this error alone would give
		File    string `json:"file,omitempty"`
		Message string `json:"message"`
	}
)

// WriteJSON writes one object per line: every picture, every failure, then a
// summary.
func (r *Result) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, g := range r.Groups {
		for _, im := range g.Images {
			if err := enc.Encode(r.line(g.Prompt, im)); err != nil {
				return err
			}
		}
	}
	for _, f := range r.Failed {
		if err := enc.Encode(ErrorLine{Type: "error", Code: 1, File: f.File, Message: f.Cause}); err != nil {
			return err
		}
	}
	images, failed := r.Counts()
	s := summaryLine{Type: "summary", Command: r.Command, Images: images, Failed: failed, Seconds: r.Seconds, Version: r.Version}
	if r.Reward != nil {
		s.Reward = r.Reward
	}
	return enc.Encode(s)
}

func (r *Result) line(prompt string, im Image) imageLine {
	l := imageLine{
		Type: "image", Prompt: prompt, File: im.File, Width: im.Width, Height: im.Height,
		SHA256: im.SHA256, Seed: im.Seed, Params: im.Params,
	}
	if im.Rank > 0 {
		l.Rank, l.Score = im.Rank, &im.Score
		if r.Reward != nil {
			l.Reward = r.Reward.Name
		}
	}
	return l
}
