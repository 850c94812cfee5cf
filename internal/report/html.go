package report

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"image"
	"image/jpeg"
	"image/png"
	"io"

	"github.com/disintegration/imaging"

	"winnow/internal/imageproc"
)

//go:embed report.html
var pageSource string

// baseCSS is the style that all pages share.
//
//go:embed base.css
var baseCSS string

var page = withBase(template.Must(template.New("report").Funcs(template.FuncMap{"score": FormatScore}).Parse(pageSource)))

// withBase gives a page the shared style under the name "base".
func withBase(t *template.Template) *template.Template {
	template.Must(t.New("base").Parse(baseCSS))
	return withAccounts(t)
}

const (
	// thumbSide is the longest side of a thumbnail in pixels.
	thumbSide = 360
	// smallSide is up to where a picture travels as PNG and is enlarged with hard
	// pixels: below it, smoothing and JPEG would hide what the model drew.
	smallSide   = 160
	largeSide   = 768 // of thumbnails of large pictures
	jpegQuality = 88
)

// cell is one picture as the page shows it.
type cell struct {
	Image
	Thumb   template.URL
	Small   bool
	Percent int // length of the score bar: 100 for the best of the group, 0 for the worst
	Details string
	Own     []ownScore // of the terms of a sum
	Above   string     // percentile of the one reward
	Alarm   bool
}

// ownScore is what one reward of a sum gives.
type ownScore struct {
	Name, Score string
	Above       string // percentile; "": unknown
}

type groupView struct {
	Prompt string
	Ranked bool
	Cells  []cell
}

type pageView struct {
	*Result
	Title          string
	Groups         []groupView
	Images, Failed int
	Alarms         int
	Failures       []Failure
	Accounts       []accountView
}

// WriteHTML writes one self-contained file: thumbnails are inside as data URIs,
// and nothing is loaded from anywhere.
func (r *Result) WriteHTML(w io.Writer) error {
	v := pageView{Result: r, Title: "winnow " + r.Command, Failures: r.Failed}
	v.Images, v.Failed = r.Counts()
	v.Alarms = len(r.Alarmed())
	for i, a := range r.Accounts {
		view, err := a.view()
		if err != nil {
			return fmt.Errorf("report: account %d: %w", i+1, err)
		}
		v.Accounts = append(v.Accounts, view)
	}
	for _, g := range r.Groups {
		view := groupView{Prompt: g.title(), Ranked: len(g.Images) > 0 && g.Images[0].Rank > 0}
		for _, im := range g.Images {
			c, err := r.newCell(g, im)
			if err != nil {
				return err
			}
			view.Cells = append(view.Cells, c)
		}
		v.Groups = append(v.Groups, view)
	}
	return page.Execute(w, v)
}

// title heads a group.
func (g Group) title() string {
	if g.Prompt != "" || len(g.Images) == 0 || g.Images[0].Prompt == "" {
		return g.Prompt
	}
	prompts := map[string]bool{}
	for _, im := range g.Images {
		prompts[im.Prompt] = true
	}
	return fmt.Sprintf("Pictures of %d prompts, each scored with its own", len(prompts))
}

func (r *Result) newCell(g Group, im Image) (cell, error) {
	c := cell{Image: im, Small: max(im.Width, im.Height) <= smallSide, Percent: percent(g, im), Alarm: r.alarmed(im)}
	if len(r.Members) == 1 {
		c.Above = r.percentileText(im, 0)
	}
	for m := range im.Scores {
		if r.composite() {
			c.Own = append(c.Own, ownScore{r.Members[m].Name, FormatScore(im.Scores[m]), r.percentileText(im, m)})
		}
	}
	if im.Picture != nil {
		uri, err := dataURI(im.Picture, c.Small, thumbSide)
		if err != nil {
			return c, fmt.Errorf("report: thumbnail of %s: %w", im.File, err)
		}
		c.Thumb = uri
	}
	if im.Params != nil {
		text, err := json.MarshalIndent(im.Params, "", "  ")
		if err != nil {
			return c, fmt.Errorf("report: settings of %s: %w", im.File, err)
		}
		c.Details = string(text)
	}
	return c, nil
}

// percent places a score between the lowest and the highest of its group.
func percent(g Group, im Image) int {
	low, high := g.Images[0].Score, g.Images[0].Score
	for _, other := range g.Images {
		low, high = min(low, other.Score), max(high, other.Score)
	}
	if high == low {
		return 100
	}
	return int(100 * (im.Score - low) / (high - low))
}

// dataURI makes the picture part of the page: as it is when small, else as JPEG of at most side pixels.
func dataURI(img image.Image, small bool, side int) (template.URL, error) {
	var b bytes.Buffer
	kind := "image/png"
	var err error
	if small {
		err = png.Encode(&b, img)
	} else {
		kind = "image/jpeg"
		thumb := imaging.Fit(imageproc.Opaque(img), side, side, imaging.CatmullRom)
		err = jpeg.Encode(&b, thumb, &jpeg.Options{Quality: jpegQuality})
	}
	return template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(b.Bytes())), err
}
