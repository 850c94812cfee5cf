package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"

	"winnow/datasets"
	"winnow/internal/labelling"
	"winnow/internal/scoring"
)

// labelSummary is the end of a run, as --json prints it.
type labelSummary struct {
	Type     string   `json:"type"` // "summary"
	Command  string   `json:"command"`
	Files    []string `json:"files"`
	Reward   string   `json:"reward"`
	Prompts  int      `json:"prompts"`  // groups of pictures, where --data holds several of one prompt
	Pictures int      `json:"pictures"` // with a score
	Failed   int      `json:"failed"`   // pictures without one, and rows and prompts that could not be used
	Pairs    int      `json:"pairs"`
	Kept     int      `json:"ties_kept"`
	Ties     int      `json:"ties_left_out"`
	Without  int      `json:"prompts_without_pair"`
	First    float64  `json:"first_preferred"` // share of the decided pairs whose first picture is the better one
	Gap      float64  `json:"mean_gap"`        // absolute, of all pairs
	Computed int      `json:"computed"`        // scores of single rewards, or prompts that the judge was asked about
	Cached   int      `json:"cached"`
	Seconds  float64  `json:"seconds"`
}

// labelRun is a run of label.
type labelRun struct {
	app    *app
	o      *labelOptions
	source labelSource
	rows   *rows
	out    []datasets.Writer // the JSON lines, then the parquet file where there is one
	sum    labelSummary
	first  int // decided pairs whose first picture is the better one
}

// labelSource yields the pictures of one prompt after the other.
type labelSource struct {
	name  string // for errors
	total int    // groups, for the progress
	all   iter.Seq2[datasets.Record, error]
}

func (a *app) label(ctx context.Context, o *labelOptions) (err error) {
	r := &labelRun{app: a, o: o, rows: &rows{app: a}}
	r.sum = labelSummary{Type: "summary", Command: "label"}
	start := time.Now()
	if err := writable(o.output); err != nil {
		return err
	}
	if o.data.file != "" {
		r.source, err = r.existing(ctx)
	} else {
		r.source, err = r.make(ctx)
	}
	if err != nil {
		return err
	}
	label, stop, err := r.labeller(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := r.write(ctx, label); err != nil {
		if r.sum.Computed+r.sum.Cached > 0 && o.cache != "none" {
			a.warn("what was scored is kept; the same command goes on from there")
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	r.sum.Seconds = time.Since(start).Seconds()
	return r.finish()
}

// make makes the pictures of the prompts; the run of the pipeline ends before anything is scored.
func (r *labelRun) make(ctx context.Context) (labelSource, error) {
	o := r.o
	prompts, err := readPromptSet(o.promptFile)
	if err != nil {
		return labelSource{}, err
	}
	p := &pictureFolder{app: r.app, o: &o.made, folder: o.folder(), prompts: prompts, flag: "--output or --pictures"}
	if len(o.scales) > 0 {
		p.scales = o.scales
		p.extra = append(p.extra, yaml.MapItem{Key: "guidance-scales", Value: o.scales})
	}
	if o.sameSeeds {
		p.extra = append(p.extra, yaml.MapItem{Key: "same-seeds", Value: true})
	} else {
		p.seed = func(prompt int) uint64 { return o.made.seed + uint64(prompt)*uint64(o.made.count) }
	}
	files, err := p.make(ctx)
	if err != nil {
		if ctx.Err() != nil {
			r.app.warn("the pictures in %s are kept; the same command goes on from there", p.folder)
			return labelSource{}, ctx.Err()
		}
		return labelSource{}, err
	}
	all := func(yield func(datasets.Record, error) bool) {
		for i, prompt := range prompts {
			rec := datasets.Record{Kind: datasets.KindGroup, Prompt: prompt.Text, Category: prompt.Category, Row: prompt.Line, Confidence: math.NaN(), Weight: 1}
			for _, file := range files[i] {
				rec.Images = append(rec.Images, datasets.Image{Path: file, Model: p.model})
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
	return labelSource{o.promptFile, len(prompts), all}, nil
}

// labelGroups scores groups of pictures and hands them to [labelRun.pairs], in order.
type labelGroups interface {
	add(ctx context.Context, rec *datasets.Record) error
	flush(ctx context.Context) error
}

// labeller opens the judge or the reward.
func (r *labelRun) labeller(ctx context.Context) (labelGroups, func() error, error) {
	if r.o.judged() {
		return r.judge(ctx)
	}
	o := r.o
	s, err := o.stored(ctx, o.reward, o.output+".cache")
	if err != nil {
		return nil, nil, err
	}
	by := s.by
	by.DropNotFinite = true
	r.sum.Reward = s.mix.Info().Name
	return &scoredGroups{scoring.NewRecords(by, r.source.name, func(rec *datasets.Record, results []scoring.Result) error {
		r.sum.Computed, r.sum.Cached = by.Computed, by.Known
		scores, parts := make([]float64, len(results)), make([][]float64, len(results))
		for i, res := range results {
			scores[i], parts[i] = res.Score, res.Parts
		}
		for _, err := range scoring.Problems(results) {
			r.app.warn("%v", err)
		}
		return r.pairs(rec, scores, parts)
	})}, s.Close, nil
}

// scoredGroups scores by rewards.
type scoredGroups struct{ records *scoring.Records }

func (g *scoredGroups) add(ctx context.Context, rec *datasets.Record) error {
	return g.records.Add(ctx, rec)
}
func (g *scoredGroups) flush(ctx context.Context) error { return g.records.Flush(ctx) }

// write makes the files, which appear together when all pairs are in them.
func (r *labelRun) write(ctx context.Context, label labelGroups) error {
	task := r.app.progress().Start("labelling", r.source.total)
	defer task.Stop()
	files, formats := []string{r.o.lines()}, []datasets.Format{"jsonl"}
	if r.o.output != files[0] {
		files, formats = append(files, r.o.output), append(formats, "pickapic")
	}
	r.sum.Files = files
	return openAll(files, formats, nil, func(out []datasets.Writer) error {
		r.out = out
		for rec, err := range r.source.all {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err == nil {
				err = label.add(ctx, &rec)
				task.Set(r.sum.Prompts)
			}
			if err != nil {
				if err := r.rows.fail(err); err != nil {
					return err
				}
			}
		}
		if err := label.flush(ctx); err != nil {
			return err
		}
		if r.sum.Pairs == 0 {
			return r.nothing()
		}
		return nil
	})
}

// nothing says why no pair was made.
func (r *labelRun) nothing() error {
	switch s := &r.sum; {
	case s.Pictures == 0:
		return errors.New("none of the pictures could be scored; nothing was written")
	case s.Ties > 0:
		return fmt.Errorf("all %d pairs are ties; nothing was written. A smaller --min-gap or --keep-ties keeps some", s.Ties)
	}
	return errors.New("no prompt has two pictures with a score; nothing was written")
}

// pairs writes the pairs of one prompt's pictures. parts are the scores of single rewards; nil of a judge.
func (r *labelRun) pairs(rec *datasets.Record, scores []float64, parts [][]float64) error {
	r.sum.Prompts++
	for _, s := range scores {
		if math.IsNaN(s) {
			r.sum.Failed++
		} else {
			r.sum.Pictures++
		}
	}
	if r.o.rule.Pairs == labelling.Group {
		return r.group(rec, scores)
	}
	chosen, ties := r.o.rule.Choose(scores, parts)
	r.sum.Ties += ties
	if len(chosen) == 0 {
		r.sum.Without++
		return nil
	}
	pictures, err := r.named(rec, chosen)
	if err != nil {
		return err
	}
	for _, p := range chosen {
		pair := datasets.Record{
			Kind: datasets.KindPair, ID: fmt.Sprint(r.sum.Pairs), Prompt: rec.Prompt, Category: rec.Category, Label: p.Label, Soft: p.Soft,
			Scores: []float64{scores[p.A], scores[p.B]}, Confidence: math.NaN(), Weight: 1,
			Attributes: map[string]string{"num_example_per_prompt": fmt.Sprint(len(chosen))},
		}
		if err := r.put(&pair, pictures[p.A], pictures[p.B]); err != nil {
			return err
		}
		r.count(p)
	}
	return nil
}

func (r *labelRun) count(p labelling.Pair) {
	r.sum.Pairs++
	r.sum.Gap += math.Abs(p.Gap)
	switch p.Label {
	case 1:
		r.first++
	case 0.5:
		r.sum.Kept++
	}
}

func (r *labelRun) finish() error {
	s := &r.sum
	s.Failed += r.rows.broken
	s.Gap /= float64(s.Pairs)
	if decided := s.Pairs - s.Kept; decided > 0 {
		s.First = float64(r.first) / float64(decided)
	}
	if r.app.json {
		if err := r.app.line(s); err != nil {
			return err
		}
	} else {
		for i := range s.Files { // the file that was asked for first
			if _, err := fmt.Fprintln(r.app.stdout, filepath.ToSlash(s.Files[len(s.Files)-1-i])); err != nil {
				return err
			}
		}
	}
	if !r.app.quiet {
		what := "pairs"
		if r.o.rule.Pairs == labelling.Group {
			what = "rankings"
		}
		r.app.warn("%d %s of %d pictures of %d prompts by %s, mean gap %.4g; %d ties left out, %d prompts without a pair; %.1f s",
			s.Pairs, what, s.Pictures, s.Prompts, s.Reward, s.Gap, s.Ties, s.Without, s.Seconds)
	}
	if s.Failed > 0 {
		return &partialRows{s.Failed, s.Failed + s.Pictures}
	}
	return nil
}
