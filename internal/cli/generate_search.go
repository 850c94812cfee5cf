package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"winnow/diffusion"
	"winnow/internal/evaluation"
	"winnow/internal/miniworld"
	"winnow/internal/report"
	"winnow/rewards"
	"winnow/sampling"
	"winnow/vlmjudge"
)

// searchOptions are the flags of generate --search.
type searchOptions struct {
	method       string
	options      []string
	budget       int
	checker      bool
	holdout      string
	holdoutModel string
	trace        string
	journal      string
	timeout      time.Duration
}

func (o *searchOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.method, "search", "", "search for pictures that the reward likes; see winnow help search")
	f.StringArrayVar(&o.options, "search-option", nil, "setting of the method, as in temperature=0.2 (repeatable); see winnow help search")
	f.IntVar(&o.budget, "search-budget", 0, "evaluations of the denoiser for each picture, two a step with guidance (default: 8 plain pictures)")
	f.BoolVar(&o.checker, "checker", false, "search by the exact checker of the mini world instead of a reward")
	f.StringVar(&o.holdout, "holdout-reward", "", "reward that the search never sees, for the report; or \"checker\"")
	f.StringVar(&o.holdoutModel, "holdout-reward-model", "", "folder of the held-out reward's model")
	f.StringVar(&o.trace, "search-trace", "", "write the trace of every search: JSON lines")
	f.StringVar(&o.journal, "search-journal", "", "folder that keeps what searches have learnt: the same command goes on there after it was stopped")
	f.DurationVar(&o.timeout, "verify-timeout", 0, "drop candidates that the reward does not score in this time (default: none)")
}

// check refuses settings that belong to a search without one.
func (o *searchOptions) check(changed func(string) bool) error {
	if o.method != "" {
		info, err := sampling.FindSearch(o.method)
		if err != nil {
			return fmt.Errorf("--search: %w", err)
		}
		if info.Gradient && o.checker {
			return fmt.Errorf("--search %s climbs the gradient of a reward, and the checker has none", o.method)
		}
		if err := checkSearchOptions(o.method, o.options); err != nil {
			return err
		}
		return writable(o.trace)
	}
	for _, flag := range []string{"search-option", "search-budget", "checker", "holdout-reward", "holdout-reward-model", "search-trace", "search-journal", "verify-timeout"} {
		if changed(flag) {
			return fmt.Errorf("--%s needs --search", flag)
		}
	}
	return nil
}

func checkSearchOptions(method string, options []string) error {
	info, err := sampling.FindSearch(method)
	if err == nil {
		_, err = info.With(options...)
	}
	if err != nil {
		return usagef("--search-option: %w", err)
	}
	return nil
}

// settings adds the flags that repeat the search.
func (o *searchOptions) settings(add func(key string, value any, when bool)) {
	add("search", o.method, o.method != "")
	add("search-option", o.options, len(o.options) > 0)
	add("search-budget", o.budget, o.budget != 0)
	add("checker", true, o.checker)
	add("holdout-reward", o.holdout, o.holdout != "")
	add("holdout-reward-model", o.holdoutModel, o.holdoutModel != "")
	add("verify-timeout", o.timeout.String(), o.timeout != 0)
}

// searched is one picture that was searched for.
type searched struct {
	Type         string                 `json:"type"` // "search"
	Prompt       string                 `json:"prompt"`
	File         string                 `json:"file"`
	Method       string                 `json:"method"`
	Budget       int                    `json:"budget"`
	NFE          int                    `json:"nfe"`
	Verified     int                    `json:"verified"` // pictures that were scored
	Dropped      int                    `json:"dropped"`
	Judge        *vlmjudge.SeriesCounts `json:"judge,omitempty"`   // of a judge that compares, what it was asked
	Preview      bool                   `json:"preview,omitempty"` // stopped before a picture was finished: a prediction on the way
	Before       evaluation.Number      `json:"before"`            // score of the plain picture of the seed
	After        evaluation.Number      `json:"after"`
	HoldoutBy    string                 `json:"holdout_by,omitempty"`
	HoldoutFirst evaluation.Number      `json:"holdout_before,omitempty"`
	HoldoutLast  evaluation.Number      `json:"holdout_after,omitempty"`
	Trace        []tracePoint           `json:"trace"`

	first, last image.Image
}

// tracePoint is sampling.Point with numbers that JSON can hold.
type tracePoint struct {
	NFE   int               `json:"nfe"`
	Calls int               `json:"calls"`
	Score evaluation.Number `json:"score"`
	Best  evaluation.Number `json:"best"`
}

// verifier scores a prompt's pictures.
type verifier = diffusion.Verifier

// searchRun is the searches of one generate.
type searchRun struct {
	*generation
	verify  verifier // nil: pairs compares
	pairs   *rewards.Tournament
	key     string   // what verify is, for journals
	holdout verifier // nil: none
	done    []searched
}

// verifiers opens what the search is to please, and what it never sees.
func (g *generation) verifiers(ctx context.Context) (s *searchRun, closeAll func() error, err error) {
	s, closeAll = &searchRun{generation: g}, func() error { return nil }
	if g.search.checker || g.search.holdout == rewards.Checker {
		for _, prompt := range g.prompts {
			if _, err := miniworld.ParseCaption(prompt); err != nil {
				return nil, nil, usagef("the checker knows captions of the mini world only: %w", err)
			}
		}
	}
	switch {
	case g.search.checker:
		checker, err := rewards.OpenReward(ctx, rewards.Checker, "", nil)
		if err != nil {
			return nil, nil, err
		}
		s.verify, s.key = by(checker), rewards.Checker
	case g.reward == nil:
		return nil, nil, usagef("--search needs a reward; name one, as in --reward clip --reward-model DIR, or --checker")
	case g.reward.Info().Relative:
		if s.pairs, err = g.comparing(); err != nil {
			return nil, nil, err
		}
		s.key = fmt.Sprintf("series of %+v", g.reward.Info())
	default:
		if info, err := sampling.FindSearch(g.search.method); err == nil && info.Gradient {
			if err := g.reward.CheckGradient(); err != nil {
				return nil, nil, fmt.Errorf("--search %s: %w", info.Name, err)
			}
		}
		s.verify, s.key = by(g.reward), fmt.Sprintf("%+v", g.reward.Info())
	}
	if g.search.holdout == "" {
		return s, closeAll, nil
	}
	var folders []string
	if g.search.holdoutModel != "" {
		folders = []string{g.search.holdoutModel}
	}
	m, err := rewards.OpenMix(ctx, strings.Split(g.search.holdout, ","), folders, "", &rewards.Options{
		Threads: g.threads, Truncate: g.truncate, Executor: g.executor, ORTLibrary: g.ortLibrary,
	})
	if err != nil {
		return nil, nil, err
	}
	s.holdout = by(m)
	return s, m.Close, nil
}

// by is a reward as a verifier.
func by(s rewards.Scorer) verifier {
	return func(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
		return s.Score(ctx, prompt, images)
	}
}

// runSearch searches for every picture of every prompt.
func (g *generation) runSearch(ctx context.Context) (s *searchRun, err error) {
	s, closeAll, err := g.verifiers(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	for k := range g.prompts {
		var images []diffusion.Image
		var runErr error
		for i := range g.count {
			var im diffusion.Image
			if im, runErr = s.journaled(ctx, k, i); im.NRGBA != nil {
				images = append(images, im)
			}
			if runErr != nil {
				break
			}
		}
		before := g.made
		if err := errors.Join(runErr, g.keep(ctx, images, runErr == nil)); err != nil {
			return s, err
		}
		s.name(before)
	}
	return s, nil
}

// journaled searches for picture i of prompt number k, with a journal where one is wanted.
func (s *searchRun) journaled(ctx context.Context, k, i int) (im diffusion.Image, err error) {
	if s.search.journal == "" {
		return s.one(ctx, s.prompts[k], i, nil)
	}
	if err := os.MkdirAll(s.search.journal, 0o755); err != nil {
		return im, pathError("use journal folder", s.search.journal, err)
	}
	path := filepath.Join(s.search.journal, fmt.Sprintf("%05d-%d.journal", k, i))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return im, pathError("open", path, err)
	}
	im, err = s.one(ctx, s.prompts[k], i, f)
	var other *sampling.JournalError
	if errors.As(err, &other) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return im, errors.Join(err, f.Close())
}

// one searches for picture i of a prompt.
func (s *searchRun) one(ctx context.Context, prompt string, i int, journal *os.File) (diffusion.Image, error) {
	o := &s.search
	req := s.req
	req.Prompts, req.Count, req.Seed = []string{prompt}, 1, s.req.Seed+uint64(i)
	budget := o.budget
	if budget == 0 {
		one, err := s.pipe.NFE(req)
		if err != nil {
			return diffusion.Image{}, err
		}
		budget = 8 * one
	}
	info, err := sampling.FindSearch(o.method)
	if err == nil {
		info, err = info.With(o.options...)
	}
	if err != nil {
		return diffusion.Image{}, err
	}
	by, err := s.asked(prompt)
	if err != nil {
		return diffusion.Image{}, err
	}
	task := s.app.progress().Start(fmt.Sprintf("searching for %q", prompt), budget)
	sr := diffusion.SearchRequest{
		Request: req, Name: o.method, Options: o.options, Budget: budget, Verify: by.verify, Recall: by.recall, VerifyTimeout: o.timeout, JournalKey: s.key,
		OnPoint: func(p sampling.Point) error { task.Set(p.NFE); return nil },
	}
	if info.Gradient {
		sr.Climb, sr.Slope = info.Method, s.reward.PixelGradient
	} else {
		sr.Method = info.Method(sampling.Gradients{})
	}
	if journal != nil {
		sr.Journal = journal
	}
	result, err := s.pipe.Search(ctx, sr)
	task.Stop()
	return result.Image, s.note(ctx, req, budget, by, result, err)
}

// note keeps what a search has found, also when it ended with an error, which it returns.
func (s *searchRun) note(ctx context.Context, req diffusion.Request, budget int, by asked, result diffusion.SearchResult, err error) error {
	f, o, prompt := result.Found, &s.search, req.Prompts[0]
	line := searched{
		Type: "search", Prompt: prompt, Method: o.method, Budget: budget, NFE: f.NFE, Verified: f.Calls, Dropped: f.Dropped, Preview: f.Preview,
		Before: evaluation.Number(f.First), After: evaluation.Number(f.Score), HoldoutBy: o.holdout,
	}
	for _, p := range f.Trace {
		line.Trace = append(line.Trace, tracePoint{p.NFE, p.Calls, evaluation.Number(p.Score), evaluation.Number(p.Best)})
	}
	if result.NRGBA == nil {
		return err
	}
	line.last = result.NRGBA
	if result.First != nil {
		line.first = result.First.NRGBA
	} else if err == nil {
		err = s.plain(ctx, req, by.verify, &line)
	}
	if s.holdout != nil && err == nil {
		err = s.heldOut(ctx, &line)
	}
	if f.Preview {
		s.app.warn("%q: stopped before a picture was finished; what is kept is a preview", prompt)
	}
	if f.Dropped > 0 {
		s.app.warn("%q: %d of %d candidates could not be scored and were dropped", prompt, f.Dropped, f.Calls)
	}
	line.Judge = by.counts()
	s.done = append(s.done, line)
	return err
}

// plain makes the picture of the seed, outside of the budget, for methods that steer on the way and never make it.
func (s *searchRun) plain(ctx context.Context, req diffusion.Request, verify verifier, line *searched) error {
	images, err := s.pipe.Generate(ctx, req)
	if err != nil {
		return err
	}
	line.first = images[0].NRGBA
	scores, err := verify(ctx, line.Prompt, []image.Image{line.first})
	if err != nil {
		return err
	}
	line.Before = evaluation.Number(scores[0])
	return nil
}

func (s *searchRun) heldOut(ctx context.Context, line *searched) error {
	v, err := s.holdout(ctx, line.Prompt, []image.Image{line.first, line.last})
	if err != nil {
		return fmt.Errorf("held-out reward: %w", err)
	}
	line.HoldoutFirst, line.HoldoutLast = evaluation.Number(v[0]), evaluation.Number(v[1])
	return nil
}

// name gives the searches since picture number before the files of their pictures: groups are ranked, so by seed.
func (s *searchRun) name(before int) {
	group := s.result.Groups[len(s.result.Groups)-1]
	for i := before; i < len(s.done) && i < s.made; i++ {
		for _, im := range group.Images {
			if im.Seed != nil && *im.Seed == s.req.Seed+uint64(i-before) {
				s.done[i].File = im.File
			}
		}
	}
}

// report writes what is known about the searches besides their pictures.
func (s *searchRun) report() error {
	if s.search.trace != "" {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		for _, line := range s.done {
			if err := enc.Encode(line); err != nil {
				return err
			}
		}
		if err := writeFile(s.search.trace, b.Bytes()); err != nil {
			return err
		}
	}
	for _, line := range s.done {
		if s.app.json {
			if err := s.app.line(line); err != nil {
				return err
			}
			continue
		}
		held := ""
		if line.HoldoutBy != "" {
			held = fmt.Sprintf("; held out, %s: %.4f → %.4f", line.HoldoutBy, float64(line.HoldoutFirst), float64(line.HoldoutLast))
		}
		if !s.app.quiet {
			s.app.warn("%s: %s, %d evaluations, %d pictures scored: %.4f → %.4f%s", line.File, line.Method, line.NFE, line.Verified, float64(line.Before), float64(line.After), held)
		}
	}
	return nil
}

// page is the report of the searches.
func (s *searchRun) page() *report.Page {
	p := &report.Page{Title: "winnow generate --search " + s.search.method, Subtitle: s.model, Facts: []report.Fact{
		{Name: "method", Value: s.search.method}, {Name: "winnow", Value: diffusion.Version()}, {Name: "first seed", Value: fmt.Sprint(s.req.Seed)},
	}}
	curve := report.LineChart{Title: "best score so far", X: "evaluations of the denoiser", Y: "score"}
	table := &report.Table{Head: []string{"prompt", "file", "evaluations", "scored", "dropped", "before", "after", "held out before", "held out after"}}
	examples := report.Section{Title: "Before and after", Note: "The plain picture of the seed, and what the search found at the end of its budget."}
	for _, l := range s.done {
		line := report.Line{Name: l.File}
		for _, t := range l.Trace {
			if !math.IsInf(float64(t.Best), 0) {
				line.X, line.Y = append(line.X, float64(t.NFE)), append(line.Y, float64(t.Best))
			}
		}
		curve.Lines = append(curve.Lines, line)
		held := []string{"", ""}
		if l.HoldoutBy != "" {
			held = []string{number(l.HoldoutFirst), number(l.HoldoutLast)}
		}
		table.Rows = append(table.Rows, append([]string{
			l.Prompt, l.File, fmt.Sprint(l.NFE), fmt.Sprint(l.Verified), fmt.Sprint(l.Dropped), number(l.Before), number(l.After),
		}, held...))
		examples.Examples = append(examples.Examples, report.Example{Caption: l.Prompt, Pictures: []report.Picture{
			{Label: "before", Image: l.first, Lines: []string{number(l.Before)}},
			{Label: "after", Image: l.last, Lines: []string{number(l.After)}, Good: true},
		}})
	}
	p.Sections = []report.Section{{Title: "Score and cost", Charts: []report.Chart{curve}, Table: table}, examples}
	return p
}
