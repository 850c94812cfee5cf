package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"winnow/internal/ledger"
	"winnow/vlmjudge"
)

// judgeCostOptions is the command line of judge cost.
type judgeCostOptions struct {
	vlmjudge.EstimateOptions
	ledger   string
	question string
	asked    judgeWording
}

func (a *app) judgeCostCommand() *cobra.Command {
	o := &judgeCostOptions{}
	c := &cobra.Command{
		Use:   "cost [--ledger FILE]",
		Short: "What asking a judge will cost at most, or has cost",
		Long: `Cost estimates, without asking anything, how many questions a ranking puts at most, and
their tokens of pictures (by the family of the model), of text and of answers, the
money at the prices given, and the time. It counts what a schedule may need; many need
less. With --ledger it shows what was spent, from a file of --judge-cache.`,
		Example: `  winnow judge cost --num-prompts 466 --num-images 9 --judge-schedule all --price-in 0.2 --price-out 0.6 --seconds 0.8
  winnow judge cost --num-images 8 --width 512 --height 512 --judge-pictures qwen3-vl --judge-budget 32
  winnow judge cost --ledger answers.sqlite`,
		Args: a.noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.ledger != "" {
				if c.Flags().Changed("num-images") || c.Flags().Changed("num-prompts") {
					return &usageError{command: c.CommandPath(), err: errors.New("--ledger shows what was spent, --num-images estimates what will be; choose one")}
				}
				return a.judgeSpent(c.Context(), o.ledger)
			}
			err := o.asked.read()
			if o.question != questionYes && (o.question != questionMarks || !o.Single) {
				err = fmt.Errorf("--question %s: want %s or %s, and --score", o.question, questionYes, questionMarks)
			}
			o.Marks = o.question == questionMarks
			if err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			o.Wordings = o.asked.wordings
			if !c.Flags().Changed("answer-tokens") {
				o.AnswerTokens = 0 // by the question
			}
			return a.judgeCost(c.CommandPath(), o)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.IntVar(&o.Groups, "num-prompts", 1, "prompts")
	f.IntVar(&o.Pictures, "num-images", 4, "images of each prompt")
	f.IntVar(&o.Width, "width", 1024, "of an image, in pixels")
	f.IntVar(&o.Height, "height", 1024, "of an image, in pixels")
	f.BoolVar(&o.Single, "score", false, "images are asked about one by one, as \"judge score\" does, and not compared")
	f.StringVar(&o.question, "question", questionYes, "of --score: yes or marks")
	f.StringVar(&o.Rank.Schedule, "judge-schedule", "", "which pairs are compared: "+strings.Join(vlmjudge.Schedules(), ", ")+" (default: "+usualSchedule+")")
	f.IntVar(&o.Rank.Calls, "judge-budget", 0, "questions about the images of one prompt at most (default: no limit)")
	f.StringVar(&o.Family, "judge-pictures", vlmjudge.Qwen2VL, "family of the model: "+strings.Join(vlmjudge.Families(), ", "))
	f.IntVar(&o.PixelBudget, "judge-pixels", 0, "pixels of an image at most (default: 1003520)")
	f.IntVar(&o.Answers, "judge-votes", 1, "answers to sample for a question; 1 where the server gives label probabilities")
	f.IntVar(&o.AnswerTokens, "answer-tokens", 1, "tokens of one answer; thousands for models that reason first")
	f.IntVar(&o.PromptTokens, "prompt-tokens", 30, "tokens of a prompt")
	f.Float64Var(&o.PriceIn, "price-in", 0, "of a million tokens read")
	f.Float64Var(&o.PriceOut, "price-out", 0, "of a million tokens written")
	f.Float64Var(&o.Seconds, "seconds", 0, "that a question takes")
	f.IntVar(&o.Concurrency, "judge-concurrency", defaultConcurrency, "questions at once")
	o.asked.templateFlag(f)
	f.BoolVar(&o.Reason, "explain", false, "the judge writes down its reasons first, 1024 tokens an answer unless --answer-tokens says otherwise")
	f.StringVar(&o.ledger, "ledger", "", "show what was spent instead: a file of --judge-cache")
	return c
}

// costLine is an estimate.
type costLine struct {
	Type string `json:"type"` // "cost"
	vlmjudge.Estimate
	Width  int `json:"seen_width"`
	Height int `json:"seen_height"`
	Tokens int `json:"tokens_per_picture"`
}

func (a *app) judgeCost(command string, o *judgeCostOptions) error {
	e, err := o.Estimate()
	if err != nil {
		return &usageError{command: command, err: errors.New(strings.TrimPrefix(err.Error(), "vlmjudge: "))}
	}
	if a.json {
		return a.line(costLine{"cost", e, e.Picture.Width, e.Picture.Height, e.Picture.Tokens})
	}
	return a.table(func(w io.Writer) {
		fmt.Fprintf(w, "questions\t%d\tat most\n", e.Calls)
		fmt.Fprintf(w, "picture tokens\t%d\t%d a picture, seen as %d×%d\n", e.PictureTokens, e.Picture.Tokens, e.Picture.Width, e.Picture.Height)
		fmt.Fprintf(w, "text tokens\t%d\testimated\n", e.TextTokens)
		fmt.Fprintf(w, "answer tokens\t%d\t\n", e.AnswerTokens)
		if o.PriceIn > 0 || o.PriceOut > 0 {
			fmt.Fprintf(w, "money\t%.4g\t\n", e.Money)
		}
		if o.Seconds > 0 {
			fmt.Fprintf(w, "time\t%v\t%d questions at once\n", time.Duration(e.Seconds*float64(time.Second)).Round(time.Second), o.Concurrency)
		}
	})
}

// spentLine is what one judge was asked by one question.
type spentLine struct {
	Type string `json:"type"` // "spent"
	ledger.Sum
}

func (a *app) judgeSpent(ctx context.Context, path string) (err error) {
	book := ledger.At(path)
	sums, err := book.Sums(ctx)
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pathError("open", path, pe)
	}
	if err = errors.Join(err, book.Close()); err != nil {
		return err
	}
	if a.json {
		for _, s := range sums {
			if err := a.line(spentLine{"spent", s}); err != nil {
				return err
			}
		}
		return nil
	}
	return a.table(func(w io.Writer) {
		fmt.Fprintln(w, "model\tquestion\tasked\tno answer\ttokens read\twritten\tseconds each\tmoney\taddress")
		for _, s := range sums {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%.2f\t%.4g\t%s\n", s.Model, s.Template, s.Questions, s.Abstained, s.PromptTokens, s.AnswerTokens,
				s.Seconds/float64(s.Questions), s.Money, s.URL)
		}
	})
}
