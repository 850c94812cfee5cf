package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"winnow/datasets"
	"winnow/internal/judgeset"
	"winnow/vlmjudge"
)

// judgeSetOptions is the command line of judge dataset.
type judgeSetOptions struct {
	data           dataInput
	output         string
	validation     string
	fraction       float64
	exclude        []string
	excludePicture bool
	orders         string
	changed        func(string) bool
	set            judgeset.Set
	choice         judgeset.Selection
}

func (a *app) judgeDatasetCommand() *cobra.Command {
	o := &judgeSetOptions{}
	c := &cobra.Command{
		Use:   "dataset --data SET --output FILE",
		Short: "Write a set that a vision-language model learns to judge from",
		Long: `Dataset turns a preference set ("winnow data formats") into questions to a
vision-language model, each with its two pictures, or all pictures of a prompt, and
with what people said: shares of votes stay shares.

--layout says who reads it:
  trl            prompt with structured messages, images, truth; GRPOTrainer, SFTTrainer
  verl           data_source, prompt with <image>, images, reward_model.ground_truth
  llama-factory  messages with <image>, images; in dataset_info.json: {"NAME":
                 {"file_name": "FILE", "formatting": "sharegpt", "columns": {"messages":
                 "messages", "images": "images"}, "tags": {"role_tag": "role",
                 "content_tag": "content", "user_tag": "user", "assistant_tag":
                 "assistant", "system_tag": "system"}}}
A .jsonl names pictures by their path; those without a file go into a folder beside it.
A .parquet holds them, typed as images for Hugging Face's datasets.

--task grpo writes no answers: "winnow serve" grades them by the truth, at
/v1/judge-reward, and --question says what is asked: reason (thoughts, then 1 or 2),
probability (thoughts, then P(first is better)), list (thoughts, then letters, best
first) or direct (one digit, what --judge asks). --task sft writes right answers to
direct.

Every pair is asked in both orders, so that no position pays; --orders one draws one by
a hash. --share 0.25 takes a quarter of the prompts, --validation moves --fraction of
them into a file of their own; both go by a hash of prompt and --seed, so sets are the
same in every run. --exclude leaves out prompts that a test set has too: capitals,
spaces, Unicode forms and punctuation at the ends do not count; with --exclude-images
also records that share a picture with it. What was left out is counted. Ties are left
out unless --keep-ties, which only an answer with a probability or a list can say.`,
		Example: `  winnow judge dataset --data HPDv2/train.json --images HPDv2/train --share 0.25 --exclude HPDv2/test.json --output train.parquet
  winnow judge dataset --data pairs.parquet --layout llama-factory --output train.jsonl --validation val.jsonl
  winnow judge dataset --data ImageReward/train.json --layout verl --question list --output train.parquet`,
		RunE: func(c *cobra.Command, args []string) error {
			o.changed = c.Flags().Changed
			if err := o.settle(args); err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			return a.judgeDataset(c.Context(), o)
		},
	}
	o.flags(c.Flags())
	return c
}

func (o *judgeSetOptions) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&o.data.file, "data", "", "preference set")
	f.StringVar(&o.data.format, "format", "", "format of --data (default: told from its name and first row)")
	f.StringVar(&o.data.images, "images", "", "folder that image paths in --data start from (default: the file's)")
	f.StringVarP(&o.output, "output", "o", "", "file to write: .jsonl or .parquet")
	f.StringVar(&o.set.Layout, "layout", judgeset.TRL, "trainer that reads it: "+strings.Join(judgeset.Layouts(), ", "))
	f.StringVar(&o.set.Task, "task", "", "grpo (answers are graded) or sft (answers are given) (default: grpo; sft of llama-factory)")
	f.StringVar(&o.set.Question, "question", "", strings.Join(vlmjudge.Questions(), ", ")+" (default: reason; direct of sft)")
	f.StringVar(&o.orders, "orders", "both", "both orders of the pictures, or one, drawn by a hash")
	f.BoolVar(&o.set.KeepTies, "keep-ties", false, "keep what people tied")
	f.Float64Var(&o.choice.Share, "share", 1, "part of the prompts to take")
	f.Uint64Var(&o.choice.Seed, "seed", 0, "another seed takes other prompts")
	f.StringVar(&o.validation, "validation", "", "file for a validation part, by prompt")
	f.Float64Var(&o.fraction, "fraction", .05, "part of the prompts for --validation")
	f.StringArrayVar(&o.exclude, "exclude", nil, "test set or prompt list whose prompts are left out; may be repeated")
	f.BoolVar(&o.excludePicture, "exclude-images", false, "leave out records with a picture of --exclude, too")
}

// settle fills in defaults and refuses what cannot work, before anything is read.
func (o *judgeSetOptions) settle(args []string) error {
	s := &o.set
	if s.Task == "" {
		s.Task = judgeset.GRPO
		if s.Layout == judgeset.LLaMAFactory {
			s.Task = judgeset.SFT
		}
	}
	if s.Question == "" {
		s.Question = vlmjudge.QuestionReason
		if s.Task == judgeset.SFT {
			s.Question = vlmjudge.QuestionDirect
		}
	}
	s.BothOrder = o.orders == "both"
	switch {
	case len(args) > 0:
		return fmt.Errorf("%q: name the set by --data", args[0])
	case o.data.file == "" || o.output == "":
		return errors.New("name the set and the file to write: --data SET --output FILE")
	case !slices.Contains(judgeset.Layouts(), s.Layout):
		return fmt.Errorf("--layout %s: want one of %s", s.Layout, strings.Join(judgeset.Layouts(), ", "))
	case s.Task != judgeset.GRPO && s.Task != judgeset.SFT:
		return fmt.Errorf("--task %s: want grpo or sft", s.Task)
	case !slices.Contains(vlmjudge.Questions(), s.Question):
		return fmt.Errorf("--question %s: want one of %s", s.Question, strings.Join(vlmjudge.Questions(), ", "))
	case o.orders != "both" && o.orders != "one":
		return fmt.Errorf("--orders %s: want both or one", o.orders)
	case !(o.choice.Share > 0 && o.choice.Share <= 1):
		return fmt.Errorf("--share %v: want a number above 0, at most 1", o.choice.Share)
	case o.validation == o.output:
		return errors.New("--output and --validation are one file")
	case o.validation == "" && o.changed("fraction"):
		return errors.New("--fraction is the part for --validation; name its file")
	case o.validation != "" && !(o.fraction > 0 && o.fraction < 1):
		return fmt.Errorf("--fraction %v: want a number between 0 and 1", o.fraction)
	case o.excludePicture && len(o.exclude) == 0:
		return errors.New("--exclude-images is about the pictures of --exclude; name a test set")
	}
	s.Files = []string{o.output}
	if o.validation != "" {
		s.Files = append(s.Files, o.validation)
		o.choice.Validation = o.fraction
	}
	return s.Check()
}

// judgeSetSummary is the result, as --json prints it.
type judgeSetSummary struct {
	Type      string   `json:"type"`    // "summary"
	Command   string   `json:"command"` // "judge dataset"
	Rows      int      `json:"rows"`
	Failed    int      `json:"failed"`
	Beyond    int      `json:"beyond_share"` // rows
	Leaked    int      `json:"excluded"`     // rows
	Ties      int      `json:"ties"`         // pairs or lists that were left out
	Unlabeled int      `json:"unlabeled"`
	Files     []string `json:"files"`
	Questions []int    `json:"questions"` // in each file
}

func (a *app) judgeDataset(ctx context.Context, o *judgeSetOptions) error {
	for _, file := range o.set.Files {
		if err := writable(file); err != nil {
			return err
		}
	}
	for _, file := range o.exclude {
		if err := a.excludeSet(ctx, o, file); err != nil {
			return err
		}
	}
	r, err := o.data.open(false)
	if err != nil {
		return err
	}
	defer r.Close()
	w := &rows{app: a}
	err = o.set.Write(func(out *judgeset.Writer) error {
		err := w.each(ctx, r, func(rec *datasets.Record) error { return atRow(o.use(out, rec), o.data.file, rec.Row) })
		if c := o.set.Counts; err == nil && c.Questions[0]+c.Questions[1] == 0 {
			err = fmt.Errorf("no question came of %d rows (%d failed, %d beyond --share, %d excluded); nothing was written", r.Rows(), w.broken, c.Beyond, c.Leaked)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := a.showJudgeSet(o, r.Rows(), w.broken); err != nil {
		return err
	}
	return w.partial(r.Rows())
}

// use sends one record where it belongs.
func (o *judgeSetOptions) use(out *judgeset.Writer, rec *datasets.Record) error {
	counts := &o.set.Counts
	part := o.choice.Of(rec.Prompt)
	if part == judgeset.Train || part == judgeset.Validation {
		leaks, err := o.choice.Leaks(rec)
		if err != nil {
			return err
		}
		if leaks {
			part = judgeset.Leaked
		}
	}
	switch part {
	case judgeset.Beyond:
		counts.Beyond++
		return nil
	case judgeset.Leaked:
		counts.Leaked++
		return nil
	}
	return out.Write(rec, part)
}

// excludeSet reads a test set. One that cannot be read to the end ends the run: what it hides would leak.
func (a *app) excludeSet(ctx context.Context, o *judgeSetOptions, file string) error {
	in := dataInput{file: file}
	r, err := in.open(!o.excludePicture)
	if err != nil {
		return err
	}
	defer r.Close()
	for rec, err := range r.All() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("--exclude: %w", err)
		}
		o.choice.Exclude(rec.Prompt)
		for i := range rec.Images {
			if !o.excludePicture {
				break
			}
			data, err := rec.Images[i].Bytes()
			if err != nil {
				return fmt.Errorf("--exclude-images: %w", atRow(&datasets.RowError{Column: fmt.Sprintf("picture %d", i+1), Err: err}, file, rec.Row))
			}
			o.choice.ExcludePicture(data)
		}
	}
	return nil
}

func (a *app) showJudgeSet(o *judgeSetOptions, rows, failed int) error {
	c := &o.set.Counts
	s := judgeSetSummary{
		Type: "summary", Command: "judge dataset", Rows: rows, Failed: failed, Beyond: c.Beyond, Leaked: c.Leaked, Ties: c.Ties, Unlabeled: c.Unlabeled,
		Files: o.set.Files, Questions: c.Questions[:len(o.set.Files)],
	}
	if a.json {
		return a.line(s)
	}
	for i, file := range s.Files {
		if _, err := fmt.Fprintf(a.stdout, "%s\t%d questions\n", file, s.Questions[i]); err != nil {
			return err
		}
	}
	for _, l := range []struct {
		n    int
		what string
	}{{s.Beyond, "rows beyond --share"}, {s.Leaked, "rows of --exclude"}, {s.Ties, "ties"}, {s.Unlabeled, "comparisons that nobody decided"}} {
		if l.n == 0 {
			continue
		}
		if _, err := fmt.Fprintf(a.stdout, "left out\t%d %s\n", l.n, l.what); err != nil {
			return err
		}
	}
	return nil
}
