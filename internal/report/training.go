package report

import (
	"fmt"
	"image"
	"io"
	"strconv"
	"strings"

	"winnow/internal/imageproc"
	"winnow/internal/monitor"
)

// PreviewPrefix begins the names of metrics that are mean scores of preview pictures: "preview/hpsv2.1". Step 0 is before training.
const PreviewPrefix = "preview/"

// Training is what there is to say about a training run. What is empty is left out of the page.
type Training struct {
	Title, Subtitle string
	Command         string
	Version         string // of winnow
	Started         string // date and time
	Stopped         string // why the run ended before its last step; "": it is complete
	Steps           int    // that were asked for

	LearningRate Resolved
	Beta         Resolved // the effective one, which multiplies the margin inside of the loss
	Chance       float64  // loss of a policy that equals the reference, such as log 2; 0: unknown

	Settings []Fact            // in the order of the command's help
	Data     []Fact            // sets, pairs, prompts, what was left out
	Files    []Fact            // name, what it is for
	Metrics  []monitor.Metrics // by step
	Flags    []Flag            // warnings, shown on top
	Previews []Preview
	WinRates []WinRate
}

// Resolved is a value that a run has worked out, and from what.
type Resolved struct {
	Value float64 // 0: unknown
	From  string
}

// Preview is what the model makes of a prompt before and after training.
type Preview struct {
	Prompt        string
	Seeds         []uint64 // of the pictures, row by row
	Before, After []byte   // PNG: a picture, or a grid (imageproc.Grid); nil: not there
	Scores        []Change // by each reward; of a grid, the mean
}

// Change is a score before and after training; NaN where there is none.
type Change struct {
	Reward        string
	Before, After float64
}

// WinRate is how often the trained model wins against the one it came from, by one reward, with a 95 % interval.
type WinRate struct {
	Reward          string
	Rate, Low, High float64
	Prompts         int
}

// WriteHTML writes the page of the run: one file that loads nothing.
func (t *Training) WriteHTML(w io.Writer) error {
	p, err := t.Page()
	if err != nil {
		return err
	}
	return p.WriteHTML(w)
}

// Page is the page before it is written, for a command that has more to say on it.
func (t *Training) Page() (*Page, error) {
	p := &Page{
		Title: t.Title, Subtitle: t.Subtitle, Facts: t.facts(),
		Footer: "Implicit reward: β × (reference's denoising error − policy's), per picture. Curves are moving means; shaded: the middle 80 % of the steps around.",
	}
	if t.Stopped != "" {
		p.Flags = append(p.Flags, Flag{Level: "warn", Title: "The run did not reach its last step", Detail: t.Stopped})
	}
	p.Flags = append(p.Flags, t.Flags...)
	previews, err := t.previews()
	if err != nil {
		return nil, err
	}
	for _, s := range []Section{t.short(), previews, t.winRates(), t.curves(), t.numbers(), facts("Settings", t.Settings), facts("Data", t.Data), facts("Files", t.Files)} {
		if s.Table != nil || len(s.Charts) > 0 || len(s.Examples) > 0 {
			p.Sections = append(p.Sections, s)
		}
	}
	return p, nil
}

func (t *Training) facts() []Fact {
	var out []Fact
	add := func(name, value string) {
		if value != "" {
			out = append(out, Fact{name, value})
		}
	}
	if n := len(t.Metrics); n > 0 {
		add("steps", strings.TrimSuffix(fmt.Sprintf("%d of %d", t.Metrics[n-1].Step, t.Steps), " of 0"))
	}
	add("learning rate", t.LearningRate.text())
	add("effective β", t.Beta.text())
	if _, v := monitor.Series(t.Metrics, monitor.Epoch); len(v) > 0 {
		add("passes over the data", number(v[len(v)-1], 2))
	}
	if _, v := monitor.Series(t.Metrics, monitor.PairsPerSecond); len(v) > 0 {
		add("pairs per second", strconv.FormatFloat(mean(v), 'g', 3, 64))
	}
	add("winnow", t.Version)
	add("started", t.Started)
	add("command", t.Command)
	return out
}

func (r Resolved) text() string {
	if r.Value == 0 {
		return ""
	}
	text := strconv.FormatFloat(r.Value, 'g', 6, 64)
	if r.From != "" {
		text += " (" + r.From + ")"
	}
	return text
}

func facts(title string, list []Fact) Section {
	if len(list) == 0 {
		return Section{}
	}
	s := Section{Title: title, Table: &Table{}}
	for _, f := range list {
		s.Table.Rows = append(s.Table.Rows, []string{f.Name, f.Value})
	}
	return s
}

// previews shows each prompt's pictures before and after side by side.
func (t *Training) previews() (Section, error) {
	s := Section{Title: "Before and after", Note: "The same prompts and seeds through the model as it was and as it is now. The check mark is set where every reward has risen."}
	for _, p := range t.Previews {
		before, err := p.picture("before", p.Before)
		if err != nil {
			return s, err
		}
		after, err := p.picture("after", p.After)
		if err != nil {
			return s, err
		}
		if len(p.Seeds) > 0 {
			before.Lines = append(before.Lines, p.seeds())
			after.Lines = append(after.Lines, p.seeds())
		}
		after.Good = len(p.Scores) > 0
		for _, c := range p.Scores {
			before.Lines = append(before.Lines, c.Reward+" "+score(c.Before))
			line := c.Reward + " " + score(c.After)
			if finite(c.Before, c.After) {
				line += fmt.Sprintf(" (%+.4f)", c.After-c.Before)
			}
			after.Lines = append(after.Lines, line)
			after.Good = after.Good && c.After > c.Before
		}
		s.Examples = append(s.Examples, Example{Caption: p.Prompt, Pictures: []Picture{before, after}})
	}
	return s, nil
}

func (p Preview) picture(label string, png []byte) (Picture, error) {
	var img image.Image
	if len(png) > 0 {
		var err error
		if img, err = imageproc.DecodeUpright("preview", png, imageproc.Limits{}); err != nil {
			return Picture{}, fmt.Errorf("report: picture %s training of %q: %w", label, p.Prompt, err)
		}
	}
	return Picture{Label: label, Image: img, Large: true}, nil
}

func (p Preview) seeds() string {
	var list []string
	for _, s := range p.Seeds {
		list = append(list, strconv.FormatUint(s, 10))
	}
	if len(list) == 1 {
		return "seed " + list[0]
	}
	return "seeds " + strings.Join(list, ", ")
}

func score(v float64) string {
	if !finite(v) {
		return "–"
	}
	return FormatScore(v)
}

// winRates compares the trained model with the one it came from.
func (t *Training) winRates() Section {
	if len(t.WinRates) == 0 {
		return Section{}
	}
	chart := IntervalChart{Title: "win rate against the model before training", Chance: 0.5}
	table := &Table{Head: []string{"reward", "win rate", "95 % interval", "prompts", ""}}
	for _, w := range t.WinRates {
		chart.Items = append(chart.Items, IntervalItem{Label: w.Reward, Value: w.Rate, Low: w.Low, High: w.High})
		value, bounds := interval(w.Rate, w.Low, w.High, 3)
		table.Rows = append(table.Rows, []string{w.Reward, value, bounds, strconv.Itoa(w.Prompts), w.verdict()})
	}
	return Section{
		Title: "Win rates", Charts: []Chart{chart}, Table: table,
		Note: "How often the picture of the trained model scores higher than that of the model before, same prompt and same seed; ties count half. The dashed line is 0.5, no difference.",
	}
}

func (w WinRate) verdict() string {
	switch {
	case w.Low > 0.5:
		return "better"
	case w.High < 0.5:
		return "worse"
	}
	return "cannot be told apart"
}
