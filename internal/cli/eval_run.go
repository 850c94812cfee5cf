package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"winnow/datasets"
	"winnow/internal/evaluation"
	"winnow/internal/scoring"
	"winnow/rewards"
	"winnow/rewards/metric"
	"winnow/vlmjudge"
)

// evalRun is a run of eval.
type evalRun struct {
	app        *app
	o          *evalOptions
	main       *evalInput
	validation *evalInput // nil without --validation
	store      *scoring.Store
	infos      map[string]rewards.Info // of the rewards, by the scorer's name
	judgeInfo  vlmjudge.Info
	judgeAs    vlmjudge.Calibration // of the judge that was asked, without a fit
	failed     int                  // rows and scores that could not be used
	start      time.Time
	explained  *explained // what the judge said, for the page; nil: none does
}

// evalInput is a set that is evaluated.
type evalInput struct {
	in     dataInput
	set    *evaluation.Set
	broken int // rows
}

func (a *app) eval(ctx context.Context, o *evalOptions) (err error) {
	r := &evalRun{app: a, o: o, main: &evalInput{in: o.input}, infos: map[string]rewards.Info{}, start: time.Now()}
	if o.validation != "" {
		r.validation = &evalInput{in: o.input}
		r.validation.in.file = o.validation
	}
	if r.store, err = o.store(ctx, ""); err != nil {
		return err
	}
	if r.store != nil {
		defer func() { err = errors.Join(err, r.store.Close()) }()
	}
	if err := r.files(ctx); err != nil {
		return err
	}
	for _, choice := range o.rewards {
		if err := r.reward(ctx, choice); err != nil {
			return err
		}
	}
	if err := o.spent(); err != nil {
		return err
	}
	if o.compares {
		if err := r.judge(ctx); err != nil {
			return err
		}
	}
	return r.finish(ctx)
}

// inputs are the sets to read.
func (r *evalRun) inputs() []*evalInput {
	if r.validation == nil {
		return []*evalInput{r.main}
	}
	return []*evalInput{r.validation, r.main}
}

// files reads the sets and enters the scores of --scores.
func (r *evalRun) files(ctx context.Context) error {
	var files []*evaluation.Scores
	byContent := false
	for _, file := range r.o.scores {
		scores, broken, err := evaluation.ReadScores(file)
		if err != nil {
			return err
		}
		for _, b := range broken {
			r.failed++
			r.app.warn("%v", b)
		}
		files, byContent = append(files, scores), byContent || scores.ByContent
	}
	for _, in := range r.inputs() {
		if err := r.read(ctx, in, files, !byContent); err != nil {
			return err
		}
	}
	if r.validation != nil && !r.main.set.HasPairs() {
		return usagef("--validation chooses the tie threshold of labelled pairs, and %s has none", r.o.input.file)
	}
	for k, scores := range files {
		if r.main.set.Scorers()[k].Scored() == 0 {
			return fmt.Errorf("%s: holds scores for no row of %s; are the paths those of the set?", scores.Name, r.o.input.file)
		}
		if n := scores.Unused(); n > 0 {
			r.app.warn("%s: %d scores belong to no picture of the set", scores.Name, n)
		}
	}
	return nil
}

func (r *evalRun) read(ctx context.Context, in *evalInput, files []*evaluation.Scores, withoutData bool) error {
	reader, err := in.in.open(withoutData)
	if err != nil {
		return err
	}
	defer reader.Close()
	in.set = evaluation.NewSet(reader.Info().Name)
	for _, scores := range files {
		in.set.AddScorer(scores.Name)
	}
	w := &rows{app: r.app}
	err = w.each(ctx, reader, func(rec *datasets.Record) error {
		i := in.set.Add(rec)
		for k, scores := range files {
			if i < 0 {
				break
			}
			missing := in.set.Scorers()[k].Lookup(i, rec, scores)
			if !in.set.Decided(i) {
				continue
			}
			for _, err := range missing {
				r.app.warn("%v", err)
			}
		}
		return nil
	})
	in.broken = w.broken
	r.failed += w.broken
	for _, c := range in.set.Scorers() {
		r.failed += c.Missing()
	}
	if err == nil && in.set.Len() == 0 {
		err = fmt.Errorf("%s: holds no row with two pictures or more (format %s); nothing can be compared", in.in.file, reader.Info().Name)
	}
	return err
}

// reward scores the sets with one reward.
func (r *evalRun) reward(ctx context.Context, choice string) (err error) {
	mix, by, err := r.o.scorer(ctx, choice, r.store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mix.Close()) }()
	info := mix.Info()
	r.infos[info.Name] = info
	for _, in := range r.inputs() {
		if err := r.scoreSet(ctx, in, by, info.Name); err != nil {
			if r.store == nil && by.Computed > 0 {
				r.app.warn("the scores of this run are lost; --cache FILE keeps them")
			}
			return err
		}
	}
	return nil
}

func (r *evalRun) scoreSet(ctx context.Context, in *evalInput, by *scoring.Scorer, name string) error {
	reader, err := in.in.open(false)
	if err != nil {
		return err
	}
	defer reader.Close()
	task := r.app.progress().Start(name+" scores "+in.in.file, in.set.Len())
	defer task.Stop()
	column, next, reported := in.set.AddScorer(name), 0, 0
	batch := scoring.NewRecords(by, in.in.file, func(_ *datasets.Record, results []scoring.Result) error {
		values := make([]float64, len(results))
		for i, res := range results {
			values[i] = res.Score
		}
		for _, err := range scoring.Problems(results) {
			reported++
			r.app.warn("%v", err)
		}
		column.Score(next, values)
		next++
		task.Set(next)
		return nil
	})
	for rec, err := range reader.All() {
		var row *datasets.RowError
		switch {
		case errors.As(err, &row) || err == nil && len(rec.Images) < 2: // broken rows were reported when the set was read
			continue
		case err == nil:
			err = batch.Add(ctx, &rec)
		}
		if err != nil {
			return err
		}
	}
	if err := batch.Flush(ctx); err != nil {
		return err
	}
	r.failed += column.Missing()
	if column.Scored() == 0 {
		return fmt.Errorf("%s: no row of %s could be scored (%d problems are listed)", name, in.in.file, reported)
	}
	return nil
}

// finish computes the figures and shows them.
func (r *evalRun) finish(ctx context.Context) error {
	set := r.main.set
	var lines []evalLine
	for k, c := range set.Scorers() {
		threshold := math.NaN()
		if r.validation != nil {
			pairs := r.validation.set.Scorers()[k].Pairs()
			if len(pairs) == 0 {
				return fmt.Errorf("%s: holds no labelled pair with scores of %s to choose a threshold on", r.o.validation, c.Name)
			}
			threshold = metric.ChooseTieThreshold(pairs)
		}
		line := evalLine{Type: "eval", Set: string(set.Format), Result: c.Result(threshold), Baselines: evaluation.Baselines(set.Format)}
		if info, ok := r.infos[c.Name]; ok {
			line.Reward = &info
		}
		if r.o.compares && c.Name == r.o.asked.name() {
			line.Judge = &r.judgeInfo
		}
		lines = append(lines, line)
		if err := r.app.showEval(line); err != nil {
			return err
		}
	}
	if err := r.app.showComparisons(set); err != nil {
		return err
	}
	if r.o.html != "" {
		if err := r.report(ctx, lines); err != nil {
			return err
		}
	}
	if r.failed > 0 {
		return &partialRows{r.failed, max(len(set.Scorers())*set.Len()+r.main.broken, r.failed+1)}
	}
	return nil
}
