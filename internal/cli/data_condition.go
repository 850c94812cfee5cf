package cli

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"winnow/datasets"
	"winnow/internal/conditioning"
	"winnow/internal/scoring"
	"winnow/rewards"
)

// conditionOptions is the command line of data condition.
type conditionOptions struct {
	input          dataInput
	reward, words  []string
	output, scale  string
	rewardsOptions rewardOptions
}

func (a *app) dataConditionCommand() *cobra.Command {
	o := &conditionOptions{}
	c := &cobra.Command{
		Use:   "condition FILE --reward NAME,NAME --output FILE.jsonl",
		Short: "Write how rewards like each picture into its prompt (Rewards-in-Context)",
		Long: `Condition scores every picture of a set by several rewards and writes a set of single
pictures whose prompts say the scores, brought to 0 … 1 by their 5th and 95th percentile
and rounded to one decimal: "a red circle, mini 0.8, aestheticv2 0.3" (Rewards-in-Context,
arXiv 2402.10207). "winnow train sft" learns from it what the words mean; afterwards
"winnow generate --condition FILE" asks for high values, and --preference says which
reward matters how much, without another training. --scale (default: the output's name
with .scale.json for its ending) keeps the ranges that the numbers stand for.`,
		Example: `  winnow data condition pairs.parquet --reward mini,jpeg-size --output conditioned.jsonl
  winnow train sft --data conditioned.jsonl --output conditioned
  winnow generate --lora conditioned --condition conditioned.scale.json --preference mini=1,jpeg-size=0 "a red circle"`,
		Args: func(c *cobra.Command, args []string) error { return o.input.oneFile(c, args) },
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.complete(); err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			return a.dataCondition(c.Context(), o)
		},
	}
	f := c.Flags()
	o.input.flags(f)
	f.StringSliceVar(&o.reward, "reward", nil, "rewards that prompts say"+rewardHelp)
	f.StringSliceVar(&o.words, "names", nil, "what prompts call them: short words leave room for the prompt (default: their names)")
	o.rewardsOptions.flags(f)
	f.StringVar(&o.rewardsOptions.cache, "cache", "", "SQLite file that keeps scores (default: the output's name with .cache; \"none\" keeps none)")
	f.StringVarP(&o.output, "output", "o", "", "file to write, .jsonl")
	f.StringVar(&o.scale, "scale", "", "file for the ranges of the numbers (default: beside the output); one that exists is used")
	return c
}

func (o *conditionOptions) complete() error {
	if len(o.reward) == 0 {
		return usagef("name the rewards, as in --reward mini,aesthetic-v2")
	}
	for _, choice := range o.reward {
		if name, _, weighted := strings.Cut(choice, "="); weighted || name == rewards.Judge {
			return usagef("--reward %s: want rewards by name, without weights, and no judge; each becomes a number of its own", choice)
		}
	}
	if len(o.words) > 0 && len(o.words) != len(o.reward) {
		return usagef("--names: there are %d for %d rewards", len(o.words), len(o.reward))
	}
	if format, err := outputFormat(o.output, ""); err != nil || format != "jsonl" {
		return usagef("--output %s: name a file .jsonl; pictures stand alone in it, which Pick-a-Pic columns cannot hold", o.output)
	}
	if o.scale == "" {
		o.scale = strings.TrimSuffix(o.output, filepath.Ext(o.output)) + ".scale.json"
	}
	return errors.Join(writable(o.output), writable(o.scale))
}

// conditionRun is a run of data condition.
type conditionRun struct {
	a      *app
	o      *conditionOptions
	rows   *rows
	names  []string
	scores [][]float64 // of each picture that has all of them, by reward
	scale  *conditioning.Scale
	wrote  int
	read   int
	seen   map[[sha256.Size]byte]bool // pictures with their prompts
}

// again says that a picture has come before with this prompt: pairs share pictures.
func (r *conditionRun) again(prompt string, picture [sha256.Size]byte) bool {
	key := sha256.Sum256(append(picture[:], prompt...))
	was := r.seen[key]
	r.seen[key] = true
	return was
}

func (a *app) dataCondition(ctx context.Context, o *conditionOptions) (err error) {
	s, err := o.rewardsOptions.stored(ctx, o.reward, o.output+".cache")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	r := &conditionRun{a: a, o: o, rows: &rows{app: a}}
	s.by.DropNotFinite = true
	if r.names = o.words; r.names == nil {
		r.names = s.mix.Names()
	}
	r.scores = make([][]float64, len(r.names))
	if err := r.ranges(ctx, s.by); err != nil {
		return err
	}
	r.rows = &rows{app: a}
	if err := datasets.Write(o.output, "jsonl", func(w datasets.Writer) error { return r.write(ctx, s.by, w) }); err != nil {
		return err
	}
	if err := a.showSummary(&dataSummary{Type: "summary", Command: "data condition", Rows: r.read, Failed: r.rows.broken, Files: []string{o.output}, Records: []int{r.wrote}}); err != nil {
		return err
	}
	return r.rows.partial(r.read)
}

// ranges finds out what numbers stand for, or reads what an earlier run said.
func (r *conditionRun) ranges(ctx context.Context, by *scoring.Scorer) (err error) {
	if exists(r.o.scale) {
		if r.scale, err = conditioning.Read(r.o.scale); err != nil {
			return err
		}
		if len(r.scale.Rewards) != len(r.names) {
			return usagef("--scale %s: is about %d rewards, and %d are named", r.o.scale, len(r.scale.Rewards), len(r.names))
		}
		for i, name := range r.names {
			if r.scale.Rewards[i].Name != conditioning.Word(name) {
				return usagef("--scale %s: its reward %d is %s, not %s", r.o.scale, i+1, r.scale.Rewards[i].Name, name)
			}
		}
		return nil
	}
	err = r.each(ctx, by, func(rec *datasets.Record, results []scoring.Result) error {
		for _, res := range results {
			if usable(res) && !r.again(rec.Prompt, res.Picture) {
				for k, v := range res.Parts {
					r.scores[k] = append(r.scores[k], v)
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if r.scale, err = conditioning.NewScale(r.names, r.scores); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r.scale, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(r.o.scale, append(data, '\n'))
}

// usable says that a picture has all scores.
func usable(r scoring.Result) bool {
	if r.Err != nil {
		return false
	}
	for _, v := range r.Parts {
		if math.IsNaN(v) {
			return false
		}
	}
	return true
}

// each scores the records of the set.
func (r *conditionRun) each(ctx context.Context, by *scoring.Scorer, use func(*datasets.Record, []scoring.Result) error) error {
	reader, err := r.o.input.open(false)
	if err != nil {
		return err
	}
	defer reader.Close()
	records := scoring.NewRecords(by, r.o.input.file, use)
	r.read, r.seen = 0, map[[sha256.Size]byte]bool{}
	for rec, err := range reader.All() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.read++
		if err == nil {
			err = records.Add(ctx, &rec)
		}
		if err != nil {
			if err := r.rows.fail(err); err != nil {
				return err
			}
		}
	}
	return records.Flush(ctx)
}

// write writes each picture with what its prompt says of it.
func (r *conditionRun) write(ctx context.Context, by *scoring.Scorer, w datasets.Writer) error {
	err := r.each(ctx, by, func(rec *datasets.Record, results []scoring.Result) error {
		for _, err := range scoring.Problems(results) {
			r.a.warn("%v", err)
		}
		for i, res := range results {
			if !usable(res) || r.again(rec.Prompt, res.Picture) {
				continue
			}
			im := rec.Images[i]
			if file := im.File(); file != "" && len(im.Data) == 0 {
				path, err := relativeTo(r.o.output, file)
				if err != nil {
					return err
				}
				im = datasets.Image{Path: path, UID: im.UID, Model: im.Model}
			}
			one := datasets.Record{
				Kind: datasets.KindGroup, Prompt: rec.Prompt + r.scale.Suffix(r.scale.Normalise(res.Parts)), Category: rec.Category,
				Images: []datasets.Image{im}, Scores: []float64{res.Score}, Label: math.NaN(), Soft: math.NaN(), Confidence: math.NaN(), Weight: 1,
			}
			if err := w.Write(&one); err != nil {
				return err
			}
			r.wrote++
		}
		return nil
	})
	if err == nil && r.wrote == 0 {
		err = fmt.Errorf("%s: no picture has all scores; nothing was written", r.o.input.file)
	}
	return err
}
