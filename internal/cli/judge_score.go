package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"winnow/vlmjudge"
)

func (a *app) judgeScoreCommand() *cobra.Command {
	o := &judgeQuestion{}
	o.asked.log = a.logger()
	c := &cobra.Command{
		Use:   "score --judge URL --prompt PROMPT IMAGE…",
		Short: "How probably each picture shows everything that the prompt says",
		Long: `Score asks the judge about each picture by itself: does it show everything that the
prompt says? The score is the probability of Yes among Yes and No; "raw" is that of
Yes among all that the judge might have said. Files that cannot be read, and pictures
without a readable answer, are listed, and the exit code is 3.`,
		Example: `  winnow judge score --judge http://localhost:8000 --prompt "a red fox" photos/
  winnow judge score --judge mini --json a.png b.png`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{command: c.CommandPath(), err: errors.New("name the images to score")}
			}
			if err := o.check(); err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			return a.judgeScore(c.Context(), o, args)
		},
	}
	o.flags(c)
	return c
}

// answerLine is what a judge says about one picture.
type answerLine struct {
	Type   string `json:"type"` // "answer"
	File   string `json:"file"`
	Prompt string `json:"prompt"`
	vlmjudge.Answer
}

func (a *app) judgeScore(ctx context.Context, o *judgeQuestion, args []string) (err error) {
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
	lines := make([]*answerLine, len(files))
	g := &judging{app: a, concurrency: 2 * o.asked.questions()} // one question each
	for first := 0; first < len(files); first += judgeBatch {
		some := files[first:min(first+judgeBatch, len(files))]
		err := g.each(ctx, len(some), func(i int) string { return some[i] }, func(ctx context.Context, i int) error {
			img, err := decodeFile(some[i])
			if err != nil {
				return err
			}
			answer, err := j.Yes(ctx, o.prompt, img)
			if err == nil {
				lines[first+i] = &answerLine{"answer", some[i], o.prompt, answer}
			}
			return err
		}, func(int) {})
		if err != nil {
			return err
		}
		task.Set(first + len(some))
	}
	a.showSpent(j)
	return a.showAnswers(lines)
}

func (a *app) showAnswers(lines []*answerLine) error {
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
