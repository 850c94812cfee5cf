package cli

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"time"

	"github.com/spf13/cobra"

	"winnow/internal/report"
	"winnow/vlmjudge"
)

// The questions of judge score.
const (
	questionYes   = "yes"
	questionMarks = "marks"
)

// judgeScoreOptions is the command line of judge score.
type judgeScoreOptions struct {
	judgeQuestion
	question, html string
}

func (a *app) judgeScoreCommand() *cobra.Command {
	o := &judgeScoreOptions{}
	o.asked.log = a.logger()
	c := &cobra.Command{
		Use:   "score --judge URL --prompt PROMPT IMAGE…",
		Short: "How probably each picture shows everything that the prompt says, or its mark from 1 to 5",
		Long: `Score asks the judge about each picture by itself: does it show everything that the
prompt says? The score is the probability of Yes among Yes and No; "raw" is that of
Yes among all that the judge might have said. With --question marks the judge gives a
mark from 1 to 5, and the score is the expected mark: every mark by its probability,
or the mean of sampled answers where the server gives none; "spread" is the standard
deviation of the marks, and "place" the score from 0 for the least mark to 1 for the
greatest. Another scale is another wording (winnow judge template mark.direct.v1). Files that
cannot be read, and pictures without a readable answer, are listed, and the exit code
is 3.`,
		Example: `  winnow judge score --judge http://localhost:8000 --prompt "a red fox" photos/
  winnow judge score --judge http://localhost:8000 --question marks --prompt "a red fox" photos/
  winnow judge score --judge mini --json a.png b.png`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{command: c.CommandPath(), err: errors.New("name the images to score")}
			}
			err := o.check()
			if err == nil && o.question != questionYes && o.question != questionMarks {
				err = fmt.Errorf("--question %s: want %s or %s", o.question, questionYes, questionMarks)
			}
			if err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			return a.judgeScore(c.Context(), o, args)
		},
	}
	o.flags(c)
	c.Flags().StringVar(&o.question, "question", questionYes, "what is asked: yes (does it show everything?) or marks (how well, from 1 to 5?)")
	c.Flags().StringVar(&o.html, "html", "", "also write a report: one self-contained HTML file, with the judge's reasons where --explain asks for them")
	return c
}

// answerLine is what a judge says about one picture.
type answerLine struct {
	Type   string `json:"type"` // "answer"
	File   string `json:"file"`
	Prompt string `json:"prompt"`
	vlmjudge.Answer
}

func (a *app) judgeScore(ctx context.Context, o *judgeScoreOptions, args []string) (err error) {
	start := time.Now()
	if err := writable(o.html); err != nil {
		return err
	}
	files, err := expand(args)
	if err != nil {
		return err
	}
	if err := o.settlePrompt(files); err != nil {
		return err
	}
	j, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	task := a.progress().Start("asking about images", len(files))
	defer task.Stop()
	lines, looks := make([]*answerLine, len(files)), make([]image.Image, len(files))
	g := &judging{app: a, concurrency: 2 * o.asked.questions()} // one question each
	for first := 0; first < len(files); first += judgeBatch {
		some := files[first:min(first+judgeBatch, len(files))]
		err := g.each(ctx, len(some), func(i int) string { return some[i] }, func(ctx context.Context, i int) error {
			img, err := decodeFile(some[i])
			if err != nil {
				return err
			}
			ask := j.Yes
			if o.question == questionMarks {
				ask = j.Marks
			}
			answer, err := ask(ctx, o.prompt, img)
			if err == nil {
				lines[first+i] = &answerLine{"answer", some[i], o.prompt, answer}
				if o.html != "" && first+i < accountsShown {
					looks[first+i] = thumb(img)
				}
			}
			return err
		}, func(int) {})
		if err != nil {
			return err
		}
		task.Set(first + len(some))
	}
	a.showSpent(j)
	if o.html != "" {
		if err := writePage(o.html, o.explain(j, lines, looks, start)); err != nil {
			return err
		}
	}
	return a.showAnswers(lines, o.question)
}

func (a *app) showAnswers(lines []*answerLine, question string) error {
	silent := 0
	var err error
	for _, l := range lines {
		if l == nil || l.Abstained {
			silent++
		}
		if l != nil && a.json {
			err = errors.Join(err, a.line(l))
		}
	}
	if !a.json {
		err = a.table(func(w io.Writer) {
			if question == questionMarks {
				tableMarks(w, lines)
				return
			}
			fmt.Fprintln(w, "score\traw\tmass\tfile")
			for _, l := range lines {
				switch {
				case l == nil:
				case l.Abstained:
					fmt.Fprintf(w, "\t%.4f\t%.3f\t%s\n", l.Raw, l.Mass, l.File)
				default:
					fmt.Fprintf(w, "%.4f\t%.4f\t%.3f\t%s\n", l.P, l.Raw, l.Mass, l.File)
				}
			}
		})
	}
	if err == nil && silent > 0 {
		return &unansweredError{silent, len(lines)}
	}
	return err
}

// tableMarks prints expected marks.
func tableMarks(w io.Writer, lines []*answerLine) {
	fmt.Fprintln(w, "score\tspread\tplace\tmass\tfile")
	for _, l := range lines {
		switch {
		case l == nil:
		case l.Mark == nil:
			fmt.Fprintf(w, "\t\t\t%.3f\t%s\n", l.Mass, l.File)
		case l.Mark.Shares == nil: // a reward has no opinion on single marks
			fmt.Fprintf(w, "%.4f\t\t%.4f\t%.3f\t%s\n", l.Mark.Expected, l.P, l.Mass, l.File)
		default:
			fmt.Fprintf(w, "%.4f\t%.4f\t%.4f\t%.3f\t%s\n", l.Mark.Expected, l.Mark.Spread, l.P, l.Mass, l.File)
		}
	}
}

// explain makes the page of --html.
func (o *judgeScoreOptions) explain(j *vlmjudge.Judge, lines []*answerLine, looks []image.Image, start time.Time) *report.Page {
	e := explainedBy(j, &o.asked)
	for i, l := range lines {
		if l != nil {
			e.add(e.single(l.Prompt, l.File, o.question, looks[i], l.Answer))
		}
	}
	return e.page("winnow judge score", o.question, start)
}
