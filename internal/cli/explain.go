package cli

import (
	"cmp"
	"context"
	"fmt"
	"image"
	"math"
	"strings"
	"time"

	"github.com/disintegration/imaging"

	"winnow/datasets"
	"winnow/diffusion"
	"winnow/internal/report"
	"winnow/rewards"
	"winnow/vlmjudge"
)

// accountsShown is how many pairs a page shows with reasons.
const accountsShown = 40

// explained writes down what a judge said, for a page.
type explained struct {
	info     vlmjudge.Info
	labels   func(question string) []string
	asked    bool // for reasons
	accounts []report.Account
	left     int // that a page does not show
}

func explainedBy(j *vlmjudge.Judge, o *judgeOptions) *explained {
	return &explained{info: j.Info(), labels: j.Labels, asked: o.reason}
}

// silence says why an answer has no reasons.
func (e *explained) silence() string {
	switch {
	case e.info.Protocol == vlmjudge.ProtocolReward:
		return "No reasons: the embedded reward answers in the judge's place, by a number."
	case e.asked:
		return "No reasons: the judge was asked for them and wrote none down."
	}
	return "No reasons were asked for; --explain does."
}

// flags are the remarks of the page.
func (e *explained) flags() []report.Flag {
	switch {
	case e.info.Protocol == vlmjudge.ProtocolReward:
		return []report.Flag{{Level: "info", Title: "No model was asked", Detail: "--judge mini is the embedded reward. It answers by a number and cannot give reasons; name a server by --judge URL to read some."}}
	case !e.asked:
		return []report.Flag{{Level: "info", Title: "No reasons were asked for", Detail: "The judge answers at once, which is cheap. --explain has it write down its reasons first; that is another question, with other probabilities."}}
	}
	return []report.Flag{{Level: "info", Title: "Reasons are what the judge wrote, not why it decided", Detail: "A model may write down reasons that had no part in its answer. They are shown as text, whatever is in them."}}
}

// add enters an account, or counts it where the page is full.
func (e *explained) add(a report.Account) {
	if len(e.accounts) < accountsShown {
		e.accounts = append(e.accounts, a)
		return
	}
	e.left++
}

// note says which accounts are shown.
func (e *explained) note() string {
	if !e.asked || e.info.Protocol == vlmjudge.ProtocolReward {
		note := e.flags()[0]
		return note.Title + ". " + note.Detail
	}
	note := fmt.Sprintf("Each pair was asked about in both orders, %s. The colours are those of the pictures.", strings.ToLower(protocolWords(e.info)))
	if len(e.accounts) == accountsShown {
		note += fmt.Sprintf(" The first %d pairs.", len(e.accounts))
	}
	return note
}

// pair is what was said about two pictures, which have labels.
func (e *explained) pair(prompt string, names [2]string, pictures [2]image.Image, c vlmjudge.Comparison) report.Account {
	a := report.Account{Caption: prompt, Summary: verdictWords(c)}
	for i, p := range [2]float64{c.LogitMean, 1 - c.LogitMean} {
		lines := []string{names[i]}
		if !c.Abstained {
			lines = append(lines, fmt.Sprintf("better with probability %.3f", p))
		}
		a.Pictures = append(a.Pictures, report.Picture{Label: string(rune('A' + i)), Image: pictures[i], Lines: lines, Good: !c.Abstained && p > .5})
	}
	for i, answer := range [2]vlmjudge.Answer{c.AFirst, c.BFirst} {
		p := answer.P
		if i == 1 {
			p = 1 - p
		}
		q := report.Asked{Title: fmt.Sprintf("%c shown first: image 1 is %[1]c, image 2 is %c", 'A'+i, 'B'-i), Value: fmt.Sprintf("P(A better) %.3f", p), Silence: e.silence()}
		for _, r := range answer.Reasons() {
			if len(answer.Given) == 0 { // a label alone
				break
			}
			one := report.Chain{Verdict: "no readable answer", Thoughts: r.Thoughts, Reply: r.Reply}
			if r.Given >= 0 {
				one.Place = (r.Given+i)%2 + 1
				one.Verdict = "prefers " + string(rune('A'+one.Place-1))
			}
			q.Chains = append(q.Chains, one)
		}
		a.Asked = append(a.Asked, q)
	}
	return a
}

// verdictWords are a comparison in a sentence.
func verdictWords(c vlmjudge.Comparison) string {
	better, p := "A", c.LogitMean
	if p < .5 {
		better, p = "B", 1-p
	}
	text := fmt.Sprintf("%s is better with probability %.3f", better, p)
	switch {
	case c.Abstained:
		return "Not decided: the judge gave no readable answer"
	case p < .5005:
		text = "Neither is better"
	}
	if math.Abs(c.Bias) >= .005 {
		text += fmt.Sprintf("; a preference of %+.2f log-odds for what is shown first is taken out", c.Bias)
	}
	return text
}

// single is what was said about one picture.
func (e *explained) single(prompt, name, question string, picture image.Image, answer vlmjudge.Answer) report.Account {
	labels := e.labels(question)
	text := "the probability of " + labels[0]
	value := answer.P
	if answer.Mark != nil {
		text, value = fmt.Sprintf("the expected mark, from %s to %s", labels[0], labels[len(labels)-1]), answer.Mark.Expected
	}
	a := report.Account{Caption: prompt, Summary: fmt.Sprintf("%.3f, %s", value, text)}
	if answer.Abstained {
		a.Summary = "No score: the judge gave no readable answer"
	}
	a.Pictures = []report.Picture{{Label: name, Image: picture}}
	q := report.Asked{Title: "Answers", Silence: e.silence()}
	if answer.Protocol != vlmjudge.ProtocolReward {
		q.Value = fmt.Sprintf("%.0f %% readable", 100*answer.Mass)
	}
	for _, r := range answer.Reasons() {
		if len(answer.Given) == 0 {
			break
		}
		one := report.Chain{Verdict: "no readable answer", Thoughts: r.Thoughts, Reply: r.Reply}
		if r.Given >= 0 && r.Given < len(labels) {
			one.Verdict = "answers " + labels[r.Given]
		}
		q.Chains = append(q.Chains, one)
	}
	a.Asked = []report.Asked{q}
	return a
}

// page is that of a command which does nothing but ask.
func (e *explained) page(title, question string, start time.Time) *report.Page {
	at := map[string]int{"pair": 0, questionYes: 1, questionMarks: 2}[question]
	p := &report.Page{
		Title: title, Flags: e.flags(), Footer: "Probabilities are the judge's. What it wrote is shown as text and was not changed.",
		Facts: []report.Fact{
			{Name: "judge", Value: cmp.Or(e.info.ServedModel, e.info.Model, e.info.URL)},
			{Name: "address", Value: e.info.URL},
			{Name: "answers", Value: protocolWords(e.info)},
			{Name: "question", Value: e.info.Templates[at].ID},
			{Name: "winnow", Value: diffusion.Version()},
			{Name: "made", Value: start.Format(time.DateTime)},
		},
	}
	p.Sections = []report.Section{{Accounts: e.accounts}}
	if e.left > 0 {
		p.Sections[0].Note = fmt.Sprintf("The first %d of %d.", len(e.accounts), len(e.accounts)+e.left)
	}
	return p
}

// thumb is the picture that a page shows.
func thumb(img image.Image) image.Image { return imaging.Fit(img, thumbSide, thumbSide, imaging.Box) }

// row is what was said about the pictures of a row of a set.
func (e *explained) row(rec *datasets.Record, pictures []image.Image, matches []vlmjudge.Match) (out []report.Account) {
	for _, m := range matches[:min(len(matches), accountsShown)] {
		names := [2]string{rec.Images[m.A].Name(), rec.Images[m.B].Name()}
		out = append(out, e.pair(rec.Prompt, names, [2]image.Image{thumb(pictures[m.A]), thumb(pictures[m.B])}, m.Comparison))
	}
	return out
}

// explainedBy is nil where no page shows what a judge said.
func (r *rankRun) explainedBy(m *rewards.Mix) *explained {
	for _, reward := range m.Rewards() {
		if t, ok := reward.(*rewards.Tournament); ok && r.html != "" && r.asked.reason {
			return explainedBy(t.Judge(), &r.asked)
		}
	}
	return nil
}

// explain enters the comparisons of a ranking, whose pictures have files.
func (r *rankRun) explain(ctx context.Context, prompt string, members []int, t vlmjudge.Tournament) {
	if r.explained == nil || ctx.Err() != nil {
		return
	}
	for _, m := range t.Matches {
		a, b := r.group.Images[members[m.A]], r.group.Images[members[m.B]]
		r.explained.add(r.explained.pair(prompt, [2]string{a.File, b.File}, [2]image.Image{a.Picture, b.Picture}, m.Comparison))
	}
}
