package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"sync"

	"winnow/datasets"
	"winnow/internal/evaluation"
	"winnow/internal/imageproc"
	"winnow/internal/report"
	"winnow/rewards"
	"winnow/vlmjudge"
)

// judging asks a judge about many rows. One that fails is listed and left out; a judge that fails again and again ends the run.
type judging struct {
	app         *app
	concurrency int
	answered    int
	inRow       int // failures one after the other
	limited     bool
}

// maxFailures in a row are taken for a judge that is gone, not for rows that it cannot answer.
const maxFailures = 8

// defaultConcurrency is vlmjudge's.
const defaultConcurrency = 8

// each calls ask for every row of a batch, several at a time, and done for those that were answered, in order.
func (g *judging) each(ctx context.Context, rows int, name func(row int) string, ask func(ctx context.Context, row int) error, done func(row int)) error {
	errs := make([]error, rows)
	slots := make(chan struct{}, max(1, cmp.Or(g.concurrency, defaultConcurrency)/2)) // a comparison is two questions
	var wait sync.WaitGroup
	for i := range rows {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			errs[i] = cmp.Or(ctx.Err(), ask(ctx, i))
		})
	}
	wait.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, err := range errs {
		if err == nil {
			g.answered++
			g.inRow = 0
			done(i)
			continue
		}
		if limit := (*vlmjudge.LimitError)(nil); errors.As(err, &limit) {
			if !g.limited {
				g.app.warn("the judge is asked no more: %s; the rows from %s on that it knows nothing of are left out", limit.Why, name(i))
			}
			g.limited = true
			continue
		}
		g.app.warn("%s: %v", name(i), err)
		if g.inRow++; g.inRow >= maxFailures || g.answered == 0 && i == rows-1 && g.inRow == rows {
			return fmt.Errorf("the judge answered none of the last %d rows; the last error: %w", g.inRow, err)
		}
	}
	return nil
}

// judgeBatch is the number of rows whose pictures are held at a time.
const judgeBatch = 16

// judge lets the judge compare the pictures of every row: every pair, unless a schedule is named, since figures are about pairs.
func (r *evalRun) judge(ctx context.Context) (err error) {
	opt := r.o.options()
	opt.Rank.Schedule = cmp.Or(opt.Rank.Schedule, vlmjudge.AllPairs)
	j, err := rewards.OpenTournament(ctx, opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	if r.o.html != "" && r.o.asked.reason {
		r.explained = explainedBy(j.Judge(), &r.o.asked)
	}
	for _, in := range r.inputs() {
		if err := r.judgeSet(ctx, in, j); err != nil {
			return err
		}
	}
	r.judgeInfo, r.judgeAs = j.Judge().Info(), vlmjudge.CalibrationOf(j.Judge())
	r.app.showSpent(j.Judge())
	return nil
}

func (r *evalRun) judgeSet(ctx context.Context, in *evalInput, j *rewards.Tournament) error {
	reader, err := in.in.open(false)
	if err != nil {
		return err
	}
	defer reader.Close()
	name := r.o.asked.name()
	task := r.app.progress().Start(name+" compares "+in.in.file, in.set.Len())
	defer task.Stop()
	column, next := in.set.AddScorer(name), 0
	g := &judging{app: r.app, concurrency: r.o.asked.concurrency}
	var waiting []datasets.Record
	flush := func() error {
		results, said := make([]vlmjudge.Tournament, len(waiting)), make([][]report.Account, len(waiting))
		first := next
		next += len(waiting)
		err := g.each(ctx, len(waiting), func(i int) string { return fmt.Sprintf("%s, row %d", in.in.file, waiting[i].Row) },
			func(ctx context.Context, i int) error {
				pictures, err := uprightPictures(&waiting[i])
				if err == nil {
					results[i], err = j.Tournament(ctx, waiting[i].Prompt, pictures, nil)
				}
				if why := j.Judge().Limit(); err == nil && results[i].Unmet() > 0 && why != "" {
					err = &vlmjudge.LimitError{Why: why}
				} else if err == nil && results[i].Unmet() > 0 {
					err = fmt.Errorf("%d pictures were compared with none", results[i].Unmet())
				}
				if err == nil && r.explained != nil && in == r.main && first+i < accountsShown {
					said[i] = r.explained.row(&waiting[i], pictures, results[i].Matches)
				}
				return err
			},
			func(i int) {
				column.Judge(first+i, results[i])
				for _, a := range said[i] {
					r.explained.add(a)
				}
			})
		waiting = waiting[:0]
		task.Set(next)
		return err
	}
	for rec, err := range reader.All() {
		var row *datasets.RowError
		if errors.As(err, &row) || err == nil && len(rec.Images) < 2 { // reported when the set was read
			continue
		}
		if err != nil {
			return err
		}
		if waiting = append(waiting, rec); len(waiting) == judgeBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	r.failed += column.Missing()
	return nil
}

// uprightPictures decodes the pictures of a row as people see them.
func uprightPictures(rec *datasets.Record) ([]image.Image, error) {
	var out []image.Image
	for i := range rec.Images {
		data, err := rec.Images[i].Bytes()
		if err != nil {
			return nil, err
		}
		img, err := imageproc.DecodeUpright(rec.Images[i].Name(), data, imageproc.Limits{})
		if err != nil {
			return nil, err
		}
		out = append(out, img)
	}
	return out, nil
}

// byJudge lets the judge compare the i-th pictures of both sides; the score of A is its probability to be better.
func (r *winRateRun) byJudge(ctx context.Context) (err error) {
	o := &r.asked
	j, err := o.open(ctx, r.options())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	task := r.app.progress().Start(o.name()+" compares pictures", len(r.prompts))
	defer task.Stop()
	if r.html != "" && o.reason {
		r.explained = explainedBy(j, o)
	}
	g := &judging{app: r.app, concurrency: o.concurrency}
	table := make([]evaluation.Contest, len(r.prompts))
	for first := 0; first < len(r.prompts); first += judgeBatch {
		n := min(judgeBatch, len(r.prompts)-first)
		said := make([][]report.Account, n)
		err := g.each(ctx, n, func(i int) string { return fmt.Sprintf("%s, line %d", r.promptFile, r.prompts[first+i].Line) },
			func(ctx context.Context, i int) (err error) {
				said[i], err = r.judgePrompt(ctx, j, first+i, &table[first+i])
				return err
			},
			func(int) {})
		if err != nil {
			return err
		}
		for _, a := range slices.Concat(said...) {
			r.explained.add(a)
		}
		task.Set(first + n)
	}
	r.names, r.tables = append(r.names, o.name()), append(r.tables, table)
	return nil
}

// judgePrompt lets the judge compare the pictures of a prompt. What it said is for the page.
func (r *winRateRun) judgePrompt(ctx context.Context, j *vlmjudge.Judge, i int, out *evaluation.Contest) (said []report.Account, err error) {
	p, files := r.prompts[i], [2][]string{r.a.files[i], r.b.files[i]}
	out.Prompt, out.Category = p.Text, p.Category
	for k := range min(len(files[0]), len(files[1])) {
		var pair [2]image.Image
		for s := range pair {
			if pair[s], err = decodeFile(files[s][k]); err != nil {
				return said, err
			}
		}
		c, err := j.Compare(ctx, p.Text, pair[0], pair[1])
		if err != nil {
			out.A, out.B = []float64{math.NaN()}, []float64{math.NaN()}
			return said, err
		}
		out.A, out.B = append(out.A, c.LogitMean), append(out.B, 1-c.LogitMean)
		if r.explained != nil && i < accountsShown {
			said = append(said, r.explained.pair(p.Text, [2]string{files[0][k], files[1][k]}, [2]image.Image{thumb(pair[0]), thumb(pair[1])}, c))
		}
	}
	return said, nil
}
