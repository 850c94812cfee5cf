package cli

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"winnow/diffusion"
	"winnow/internal/online"
	"winnow/internal/report"
)

// onlineLine is a round in --json.
type onlineLine struct {
	Type    string                   `json:"type"` // "round"
	Round   int                      `json:"round"`
	Trained string                   `json:"trained"` // name of the score by what labels
	HeldOut string                   `json:"heldout"` // name of the deciding held-out reward
	Means   map[string]float64       `json:"means"`
	Over    map[string]online.Change `json:"over_base,omitempty"`
	Hacked  bool                     `json:"hacked"`
	Best    int                      `json:"best_round"`
}

// announce says how a round did.
func (r *onlineRun) announce(round int, v online.Verdict) error {
	h := &r.rounds[round]
	line := onlineLine{Type: "round", Round: round, Trained: h.Trained, HeldOut: h.Names[0], Means: map[string]float64{}, Over: map[string]online.Change{}, Hacked: v.Hacked, Best: v.Best}
	text := fmt.Sprintf("round %d:", round)
	for i, name := range h.scorers() {
		mean, change := r.figure(h, name)
		line.Means[name] = mean
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf(" %s %.4g", name, mean)
		if round > 0 {
			line.Over[name] = change
			text += fmt.Sprintf(" (%v over the base)", change)
		}
	}
	if !r.a.quiet {
		fmt.Fprintln(r.a.stderr, text)
	}
	if v.Worse {
		r.a.warn("round %d: %s fell by %v against round %d, and %s did not rise; the training settings do harm", round, h.Names[0], v.HeldOut, v.Against, h.Trained)
	}
	if r.a.json {
		return r.a.line(line)
	}
	return nil
}

// finish writes the adapter and the report.
func (r *onlineRun) finish() error {
	var files []string
	var err error
	if r.best > 0 {
		if files, err = r.result(); err != nil {
			return err
		}
	}
	if r.stopped != "" {
		r.a.warn("%s", r.stopped)
	}
	page := filepath.Join(r.o.output, reportFile)
	if err := r.report(page); err != nil {
		return err
	}
	files = append(files, page)
	if r.a.json {
		err = r.a.line(struct {
			Type    string   `json:"type"`
			Method  string   `json:"method"`
			Rounds  int      `json:"rounds"`
			Best    int      `json:"best_round"`
			Stopped string   `json:"stopped,omitempty"`
			Files   []string `json:"files"`
			Seconds float64  `json:"seconds"`
		}{"trained_online", r.o.train.method, len(r.rounds) - 1, r.best, r.stopped, files, time.Since(r.began).Seconds()})
	} else {
		for _, f := range files {
			if _, e := fmt.Fprintln(r.a.stdout, f); e != nil {
				err = errors.Join(err, e)
			}
		}
	}
	if err == nil && r.best == 0 {
		return &belowError{errNoBetterRound.Error()}
	}
	return err
}

// report writes the page of the rounds.
func (r *onlineRun) report(path string) error {
	p := &report.Page{
		Title: "Rounds of online training", Subtitle: fmt.Sprintf("%s, %d rounds; the adapter is that of round %d", r.o.train.method, len(r.rounds)-1, r.best),
		Footer: "winnow " + diffusion.Version(),
	}
	for _, s := range r.o.settings() {
		p.Facts = append(p.Facts, report.Fact{Name: fmt.Sprint(s.Key), Value: strings.Trim(fmt.Sprint(s.Value), "[]")})
	}
	switch {
	case r.stopped != "":
		p.Flags = append(p.Flags, report.Flag{Level: "warn", Title: "Stopped", Detail: r.stopped})
	case r.best == 0:
		p.Flags = append(p.Flags, report.Flag{Level: "warn", Title: "No gain", Detail: errNoBetterRound.Error()})
	}
	if r.best == 0 {
		p.Subtitle = fmt.Sprintf("%s, %d rounds; none is better than the model without adapter", r.o.train.method, len(r.rounds)-1)
	}
	examples, err := r.examples()
	if err != nil {
		return err
	}
	p.Sections = append(p.Sections, r.figures(), report.Section{Title: "Pictures", Note: "From the same noise in every round.", Examples: examples})
	var b bytes.Buffer
	if err := p.WriteHTML(&b); err != nil {
		return err
	}
	return writeFile(path, b.Bytes())
}

// figures are the scores of the rounds.
func (r *onlineRun) figures() report.Section {
	figures := report.Section{Title: "Held-out prompts", Note: "Mean change against the model without adapter, from the same noise, with 95 % bootstrap intervals over prompts. The first score is what labels the training pictures."}
	table := &report.Table{Head: []string{"round"}}
	for _, name := range r.rounds[0].scorers() {
		table.Head = append(table.Head, name, "over base")
		chart := report.IntervalChart{Title: name, Unit: "change against the base", Level: "base"}
		for i := range r.rounds[1:] {
			_, c := r.figure(&r.rounds[i+1], name)
			chart.Items = append(chart.Items, report.IntervalItem{Label: fmt.Sprintf("round %d", i+1), Value: c.Mean, Low: c.Low, High: c.High})
		}
		figures.Charts = append(figures.Charts, chart)
	}
	for i := range r.rounds {
		row := []string{fmt.Sprint(i)}
		for _, name := range r.rounds[i].scorers() {
			mean, c := r.figure(&r.rounds[i], name)
			over := ""
			if i > 0 {
				over = c.String()
			}
			row = append(row, fmt.Sprintf("%.4g", mean), over)
		}
		table.Rows = append(table.Rows, row)
	}
	figures.Table = table
	return figures
}

// onlineShown is the number of prompts whose pictures are in the report.
const onlineShown = 8

// examples are the pictures of some prompts, round by round.
func (r *onlineRun) examples() ([]report.Example, error) {
	var out []report.Example
	for i, p := range r.held[:min(onlineShown, len(r.held))] {
		e := report.Example{Caption: p.Text}
		for k, h := range r.rounds {
			img, err := shownFile(h.files[i][0])
			if err != nil {
				return nil, err
			}
			pic := report.Picture{Label: fmt.Sprintf("round %d", k), Image: img, Good: k == r.best}
			for _, name := range h.scorers() {
				if v := h.Scores[name][i]; !math.IsNaN(v) {
					pic.Lines = append(pic.Lines, fmt.Sprintf("%s %.3g", name, v))
				}
			}
			e.Pictures = append(e.Pictures, pic)
		}
		out = append(out, e)
	}
	return out, nil
}

// shownFile is a picture for the report; a file that is gone is a blank.
func shownFile(file string) (image.Image, error) {
	img, err := decodeFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return img, err
}
