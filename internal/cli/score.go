package cli

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"winnow/datasets"
	"winnow/internal/atomicfile"
	"winnow/internal/evaluation"
	"winnow/internal/scoring"
	"winnow/rewards"
)

// scoreOptions is the command line of score.
type scoreOptions struct {
	input          dataInput
	reward         []string
	output, config string
	rewardOptions
}

func (a *app) scoreCommand() *cobra.Command {
	o := &scoreOptions{}
	o.asked.log = a.logger()
	c := &cobra.Command{
		Use:   "score FILE --reward NAME --output SCORES.jsonl",
		Short: "Score every picture of a set with its prompt",
		Long: `Score reads rows of prompts and pictures (JSON lines, CSV, parquet, or any set of
"winnow data formats") and writes a JSON line for every picture, in the order of the
rows: image, prompt, row, id, score, the reward and the first digits of its files'
checksum, the checksum of the picture, and with several rewards the raw score of each.
"winnow eval SET --scores" reads these lines.

Scores are kept in an SQLite file beside the output (--cache names another one, for
several runs to share; "none" keeps nothing) by the content of picture, prompt and
reward. A run that was killed or interrupted leaves no output; started again it goes
on where it was and ends with the same file. Nothing is scored twice.

Rows and pictures that cannot be used are listed, the others are scored: exit 3.`,
		Example: `  winnow score rows.jsonl --output scores.jsonl
  winnow score test_unique.parquet --reward pickscore-v1 --reward-model ./pickscore --output pickscore.jsonl`,
		RunE: func(c *cobra.Command, args []string) error {
			if o.config != "" {
				if err := loadConfig(c, o.config); err != nil {
					return err
				}
			}
			if err := o.input.oneFile(c, args); err != nil {
				return err
			}
			var err error
			if o.reward, err = o.choose(o.reward, rewards.VQAScore, rewards.Mini); err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			return a.score(c.Context(), o)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringSliceVar(&o.reward, "reward", nil, "reward to score by, or NAME=WEIGHT,NAME=WEIGHT for a sum (default: mini)"+rewardHelp)
	o.rewardOptions.flags(f)
	o.asked.flags(f)
	f.StringVarP(&o.output, "output", "o", "", "file to write (default: standard output)")
	f.StringVar(&o.cache, "cache", "", "SQLite file that keeps scores (default: the output's name with .cache, none for standard output)")
	f.StringVar(&o.input.format, "format", "", "format of the rows (default: told from the file's name and first row)")
	f.StringVar(&o.input.images, "images", "", "folder that image paths start from (default: the file's)")
	f.StringVar(&o.config, "config", "", "YAML file with any of these flags")
	return c
}

// scoreLine is one picture in the output.
type scoreLine struct {
	Image   string             `json:"image"`
	Prompt  string             `json:"prompt"`
	Score   float64            `json:"score"`
	Row     int                `json:"row"`
	ID      string             `json:"id,omitempty"`
	Reward  string             `json:"reward"`
	Weights string             `json:"weights,omitempty"` // of one reward: the first digits of its files' checksum
	Scores  map[string]float64 `json:"scores,omitempty"`  // raw, of several rewards
	SHA256  string             `json:"sha256"`            // of the encoded picture
}

// shortSum is how many digits of a checksum a line carries.
const shortSum = 12

// scoreSummary is the end of a run, as --json prints it.
type scoreSummary struct {
	Type     string       `json:"type"` // "summary"
	Command  string       `json:"command"`
	Output   string       `json:"output,omitempty"`
	Reward   rewards.Info `json:"reward"`
	Weights  []string     `json:"weights_sha256"`
	Pictures int          `json:"pictures"`
	Rows     int          `json:"rows"`
	Failed   int          `json:"failed"`   // rows that cannot be read, and pictures without a score
	Computed int          `json:"computed"` // scores of single rewards
	Cached   int          `json:"cached"`
	Seconds  float64      `json:"seconds"`
}

// scoreRun is a run of score.
type scoreRun struct {
	app  *app
	o    *scoreOptions
	mix  *rewards.Mix
	by   *scoring.Scorer
	rows *rows
	sum  scoreSummary
}

func (a *app) score(ctx context.Context, o *scoreOptions) (err error) {
	start := time.Now()
	if err := errors.Join(o.executorOptions.check(), writable(o.output)); err != nil {
		return err
	}
	total, err := a.countPictures(ctx, &o.input)
	if err != nil {
		return err
	}
	beside := ""
	if o.output != "" {
		beside = o.output + ".cache"
	}
	s, err := o.stored(ctx, o.reward, beside)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	mix, by, store := s.mix, s.by, s.store
	r := &scoreRun{app: a, o: o, mix: mix, by: by, rows: &rows{app: a}}
	r.sum = scoreSummary{Type: "summary", Command: "score", Output: o.output, Reward: mix.Info(), Weights: by.Weights()}
	if err := r.write(ctx, total); err != nil {
		return r.unfinished(ctx, err, store)
	}
	r.sum.Computed, r.sum.Cached, r.sum.Seconds = by.Computed, by.Known, time.Since(start).Seconds()
	return r.finish()
}

// countPictures reads the set once without its pictures: for the progress, and because a set without pictures is a mistake
// that should show before a model is loaded. Broken rows are reported later.
func (a *app) countPictures(ctx context.Context, in *dataInput) (int, error) {
	r, err := in.open(true)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	n := 0
	for rec, err := range r.All() {
		var row *datasets.RowError
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case err != nil && !errors.As(err, &row):
			return 0, err
		case err == nil:
			n += len(rec.Images)
		}
	}
	if n == 0 && r.Failed() == 0 {
		return 0, fmt.Errorf("%s: holds no pictures (format %s); rows need a prompt and an image", in.file, r.Info().Name)
	}
	return n, nil
}

// write makes the output, which appears when it is complete; standard output gets its lines at once.
func (r *scoreRun) write(ctx context.Context, total int) error {
	task := r.app.progress().Start("scoring pictures", total)
	defer task.Stop()
	fill := func(w io.Writer) error {
		in, err := r.o.input.open(false)
		if err != nil {
			return err
		}
		defer in.Close()
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		done := 0
		batch := scoring.NewRecords(r.by, r.o.input.file, func(rec *datasets.Record, results []scoring.Result) error {
			done += len(results)
			task.Set(done)
			return r.record(enc, rec, results)
		})
		err = r.rows.each(ctx, in, func(rec *datasets.Record) error { return batch.Add(ctx, rec) })
		if err == nil {
			err = batch.Flush(ctx)
		}
		r.sum.Rows = in.Rows()
		if err == nil && r.sum.Pictures == 0 {
			err = errors.New("none of the pictures could be scored; nothing was written")
		}
		return err
	}
	if r.o.output == "" {
		return fill(r.app.stdout)
	}
	return pathError("write", r.o.output, atomicfile.Write(r.o.output, fill))
}

// record writes the lines of one row.
func (r *scoreRun) record(enc *json.Encoder, rec *datasets.Record, results []scoring.Result) error {
	for _, err := range scoring.Problems(results) {
		r.app.warn("%v", err)
	}
	for i, res := range results {
		if res.Err != nil {
			r.sum.Failed++
			continue
		}
		line := scoreLine{
			Image: imageKey(&rec.Images[i], res.Picture), Prompt: rec.Prompt, Score: res.Score, Row: rec.Row, ID: rec.ID,
			Reward: r.sum.Reward.Name, SHA256: hex.EncodeToString(res.Picture[:]),
		}
		if names := r.mix.Names(); len(names) > 1 {
			line.Scores = map[string]float64{}
			for k, v := range res.Parts {
				line.Scores[names[k]] = v
			}
		} else if w := r.sum.Weights[0]; w != "" {
			line.Weights = w[:shortSum]
		}
		if err := enc.Encode(line); err != nil {
			return err
		}
		r.sum.Pictures++
	}
	return nil
}

// imageKey names a picture so that eval finds it again: pictures inside parquet rows may have no other name than their content.
func imageKey(im *datasets.Image, sum [32]byte) string {
	if im.Path == "" && im.UID == "" && im.URL == "" {
		return evaluation.ContentName + hex.EncodeToString(sum[:])
	}
	return im.Name()
}

// unfinished says what of a run that stopped is kept.
func (r *scoreRun) unfinished(ctx context.Context, err error, store *scoring.Store) error {
	if store != nil && r.by.Computed+r.by.Known > 0 {
		r.app.warn("%d scores are kept (%d of them from before); the same command goes on from there", r.by.Computed+r.by.Known, r.by.Known)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (r *scoreRun) finish() error {
	s := &r.sum
	s.Failed += r.rows.broken
	switch {
	case r.app.json && r.o.output != "":
		if err := r.app.line(s); err != nil {
			return err
		}
	case r.o.output != "":
		if _, err := fmt.Fprintln(r.app.stdout, r.o.output); err != nil {
			return err
		}
	}
	if !r.app.quiet {
		r.app.warn("%d pictures by %s: %d scores computed, %d from the cache, %.1f s", s.Pictures, s.Reward.Name, s.Computed, s.Cached, s.Seconds)
	}
	if s.Failed > 0 {
		return &partialRows{s.Failed, s.Failed + s.Pictures}
	}
	return nil
}
