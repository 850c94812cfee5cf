package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"winnow/datasets"
	"winnow/diffusion"
	"winnow/dpo"
	"winnow/dpo/training"
	"winnow/internal/monitor"
	"winnow/internal/tensorboard"
	"winnow/rewards"
)

// trainRun is a run at work.
type trainRun struct {
	a       *app
	o       *trainOptions
	flags   *pflag.FlagSet
	t       *training.Trainer
	mix     *rewards.Mix // nil without a reward
	log     *monitor.Log
	board   *tensorboard.Writer
	bar     *monitor.Bar
	lines   []int          // of the prompts' file, by prompt
	data    *training.Data // nil for methods that make their own pictures
	notes   []string       // warnings, for the report
	preview []preview
	began   time.Time
	last    time.Time // of the last step
}

func (a *app) train(ctx context.Context, o *trainOptions, f *pflag.FlagSet) (err error) {
	defer func() { err = roomy(err) }()
	held, err := training.LockOutput(o.output)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Release()) }()
	if err := o.checkRun(); err != nil {
		return err
	}
	r := &trainRun{a: a, o: o, flags: f, began: time.Now(), last: time.Now()}
	cache, err := training.OpenCache(ctx, o.cache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	if err := r.openReward(ctx); err != nil {
		return err
	}
	if r.mix != nil {
		defer func() { err = errors.Join(err, r.mix.Close()) }()
	}
	o.t.Logger = a.logger()
	if r.t, err = training.Open(ctx, o.model, cache, o.t); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.t.Close()) }()
	if err := r.checkPrompts(); err != nil {
		return err
	}
	if err := r.load(ctx); err != nil {
		return err
	}
	if o.overwrite {
		if err := training.Clear(o.output, o.name(), o.method); err != nil {
			return err
		}
	}
	return r.run(ctx)
}

// roomy says what to do when a disk is full.
func roomy(err error) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) {
			return fmt.Errorf("%w; make room on the disk and go on with --resume-from-checkpoint latest: what is there is whole", err)
		}
	}
	return err
}

// checkPrompts refuses prompts that the text encoders cannot read whole, before pictures are read.
func (r *trainRun) checkPrompts() error {
	for _, p := range r.o.validation {
		if err := r.t.CheckPrompt(p); err != nil {
			return usagef("--validation-prompt: %w", err)
		}
	}
	for i, p := range r.o.t.Siblings.Prompts {
		if err := r.t.CheckPrompt(p); err != nil {
			return &datasets.RowError{File: r.o.prompts, Line: r.lines[i], Column: "prompt", Err: err}
		}
	}
	return nil
}

// openReward opens the reward that previews are scored by, and that methods ask which make their own pictures.
func (r *trainRun) openReward(ctx context.Context) error {
	o := r.o
	m, err := dpo.FindMethod(o.method)
	if err != nil {
		return err
	}
	named := o.reward
	if len(named) == 0 && o.model == diffusion.Mini {
		named = []string{rewards.Mini}
	}
	if len(named) == 0 {
		return nil
	}
	if r.mix, err = rewards.OpenMix(ctx, named, o.rewardModel, "", &rewards.Options{
		Threads: o.t.Threads, Truncate: o.t.Truncate, Executor: o.executor, ORTLibrary: o.ortLibrary,
	}); err != nil {
		return err
	}
	if !m.OwnPictures() {
		return nil
	}
	o.t.Siblings.Reward = training.Reward{Name: strings.Join(named, ","), Score: scoreEach(r.mix)}
	if r.mix.CheckGradient() == nil {
		o.t.Siblings.Reward.Gradient = r.mix.PixelGradient
	}
	for p, err := range datasets.Prompts(o.prompts) {
		if err != nil {
			return err
		}
		o.t.Siblings.Prompts = append(o.t.Siblings.Prompts, p.Text)
		r.lines = append(r.lines, p.Line)
	}
	if len(r.lines) == 0 {
		return fmt.Errorf("%s: no prompt to learn from", o.prompts)
	}
	return nil
}

// load reads the pairs.
func (r *trainRun) load(ctx context.Context) error {
	if len(r.o.data) == 0 {
		return r.t.Begin(nil)
	}
	task := r.a.progress().Start("reading pairs", -1)
	data, err := r.t.Load(ctx, r.o.data, func(n int) { task.Set(n) })
	task.Stop()
	if data != nil {
		for _, bad := range data.Skipped {
			r.a.logger().Warn("row left out", "why", bad)
		}
	}
	if err != nil {
		return err
	}
	r.data = data
	return r.t.Begin(data)
}

func (r *trainRun) run(ctx context.Context) (err error) {
	o := r.o
	if o.resume != "" {
		if err := r.t.Resume(o.output, o.resume); err != nil {
			return err
		}
	}
	if err := saveConfig(filepath.Join(o.output, "train.yaml"), o.settings(r.flags)); err != nil {
		return err
	}
	if err := r.openLogs(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.closeLogs()) }()
	r.announce()
	if err := r.before(ctx); err != nil {
		return err
	}
	r.bar = monitor.NewBar(r.a.stderr, r.a.quiet, o.t.Steps, r.t.Done())
	defer r.bar.Stop()
	files, err := r.t.Run(ctx, training.RunOptions{
		Output: o.output, Name: o.name(), Every: o.every, Limit: o.limit, NoGuard: o.noGuard,
		OnStep:     func(m training.Metrics, warnings []string) error { return r.step(ctx, m, warnings) },
		BeforeSave: r.log.Sync,
	})
	r.bar.Stop()
	if err != nil {
		r.interrupted(ctx, err)
		if ctx.Err() == nil { // a run that went wrong is worth a look
			err = errors.Join(err, r.report(nil, err.Error()))
		}
		return err
	}
	if err := r.report(files, ""); err != nil {
		return err
	}
	return r.finish(append(files, filepath.Join(o.output, reportFile)))
}

// before shows what the base makes of the validation prompts, and makes up for what a stopped run owes.
func (r *trainRun) before(ctx context.Context) error {
	mean, err := r.look(ctx, true)
	if err != nil {
		return err
	}
	if r.t.Done() > 0 {
		rows, err := monitor.Read(r.o.output)
		if err != nil {
			return err
		}
		return r.owed(ctx, rows)
	}
	if mean == nil {
		return nil
	}
	return r.log.Write(monitor.Metrics{Values: mean})
}

// interrupted says where a run that was told to stop stands.
func (r *trainRun) interrupted(ctx context.Context, err error) {
	if ctx.Err() == nil || r.t.Done() == 0 {
		return
	}
	all, _ := training.Checkpoints(r.o.output)
	if len(all) > 0 && filepath.Base(all[len(all)-1]) == fmt.Sprintf("checkpoint-%d", r.t.Done()) {
		r.a.warn("%s is saved; the same command goes on from there with --resume-from-checkpoint latest", all[len(all)-1])
		return
	}
	r.a.warn("step %d could not be saved: %v", r.t.Done(), err)
}

// openLogs begins the metrics, or goes on with them.
func (r *trainRun) openLogs() error {
	var err error
	if r.t.Done() > 0 {
		r.log, err = monitor.Resume(r.o.output, r.t.Done())
	} else {
		r.log, err = monitor.Create(r.o.output)
	}
	if err == nil && r.o.tensorboard {
		r.board, err = tensorboard.Create(filepath.Join(r.o.output, "tensorboard"), r.t.Done()+1)
	}
	return err
}

func (r *trainRun) closeLogs() error {
	err := r.log.Close()
	if r.board != nil {
		err = errors.Join(err, r.board.Close())
	}
	return err
}

// announce says what the settings come to, before the first step.
func (r *trainRun) announce() {
	if r.a.quiet {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "training %s: %d modules, %d parameters, learning rate %g", r.o.method, r.t.Modules(), r.t.Parameters(), r.t.Rate())
	if beta := r.t.EffectiveBeta(); beta != 0 {
		fmt.Fprintf(&b, ", effective beta %g", beta)
	}
	if d := r.data; d != nil {
		fmt.Fprintf(&b, "; %d pairs", len(d.Pairs))
		if d.Singles > 0 {
			fmt.Fprintf(&b, ", %d pictures labelled by themselves among them", d.Singles-d.Alone)
		}
		if d.Alone > 0 {
			fmt.Fprintf(&b, ", %d pictures without one of the other label left out", d.Alone)
		}
		if d.Ties > 0 {
			fmt.Fprintf(&b, ", %d ties left out", d.Ties)
		}
		if d.Unchosen > 0 {
			fmt.Fprintf(&b, ", %d pairs not chosen", d.Unchosen)
		}
		if d.Middle > 0 {
			fmt.Fprintf(&b, ", %d pictures in the middle of a ranking left out", d.Middle)
		}
		if n := len(d.Skipped); n > 0 {
			fmt.Fprintf(&b, ", %d rows left out", n)
		}
	}
	if n := r.t.Done(); n > 0 {
		fmt.Fprintf(&b, "; going on behind step %d", n)
	}
	fmt.Fprintln(r.a.stderr, b.String())
}

// step takes the metrics of a step down.
func (r *trainRun) step(ctx context.Context, m training.Metrics, warnings []string) error {
	line := monitor.Metrics{Step: m.Step}
	for _, v := range m.Named() {
		line.Values = append(line.Values, monitor.Value(v))
	}
	now := time.Now()
	speed := float64(m.Pairs) / now.Sub(r.last).Seconds()
	line.Timings = []monitor.Value{{Name: monitor.PairsPerSecond, Value: speed}, {Name: monitor.Memory, Value: held()}}
	if r.wants(m.Step) {
		mean, err := r.look(ctx, false)
		if err != nil && ctx.Err() != nil { // the step is done and will be saved; the previews are owed
			err = errors.Join(err, r.write(line, warnings))
		}
		if err != nil {
			return err
		}
		line.Values = append(line.Values, mean...)
	}
	r.last = time.Now()
	return r.write(line, warnings)
}

// write hands the numbers of a step to everything that shows them.
func (r *trainRun) write(line monitor.Metrics, warnings []string) error {
	if err := r.log.Write(line); err != nil {
		return err
	}
	if r.board != nil {
		var scalars []tensorboard.Scalar
		for _, v := range line.Values {
			scalars = append(scalars, tensorboard.Scalar{Tag: "train/" + v.Name, Value: v.Value})
		}
		if err := r.board.Scalars(line.Step, scalars); err != nil {
			return err
		}
	}
	r.bar.Step(line)
	for _, w := range warnings {
		r.bar.Clear()
		r.a.logger().Warn(w, "step", line.Step)
		r.notes = append(r.notes, fmt.Sprintf("step %d: %s", line.Step, w))
	}
	return nil
}

// held is the memory that the process has from the system.
func held() float64 {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}}
	metrics.Read(sample)
	return float64(sample[0].Value.Uint64())
}

// trainRows are the rows of the data in --json.
type trainRows struct {
	Rows  int `json:"rows"`
	Pairs int `json:"pairs"`
	Ties  int `json:"ties"`
	Bad   int `json:"bad_rows"`
}

func (r *trainRun) rows() trainRows {
	if r.data == nil {
		return trainRows{}
	}
	return trainRows{r.data.Rows, len(r.data.Pairs), r.data.Ties, len(r.data.Skipped)}
}

// finish says where everything is.
func (r *trainRun) finish(files []string) error {
	if r.a.json {
		err := r.a.line(struct {
			Type   string   `json:"type"`
			Method string   `json:"method"`
			Steps  int      `json:"steps"`
			Files  []string `json:"files"`
			trainRows
			Seconds float64 `json:"seconds"`
		}{"trained", r.o.method, r.t.Done(), files, r.rows(), time.Since(r.began).Seconds()})
		if err != nil {
			return err
		}
	} else {
		for _, f := range files {
			fmt.Fprintln(r.a.stdout, f)
		}
	}
	if r.data != nil && len(r.data.Skipped) > 0 {
		return &partialRows{len(r.data.Skipped), r.data.Rows}
	}
	return nil
}
