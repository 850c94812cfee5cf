package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/sync/errgroup"

	"winnow/diffusion"
	"winnow/dpo"
	"winnow/dpo/training"
	"winnow/internal/atomicfile"
	"winnow/internal/lockfile"
	"winnow/internal/minibench"
	"winnow/internal/monitor"
	"winnow/rewards"
)

// noiseSeed is that of the noise that the pictures of the first seed start from; the next seed's is one more.
const noiseSeed = 11

// task is one training with the pictures that its adapter is judged by.
type task struct {
	method minibench.ProtocolMethod
	trial  int
	seed   uint64 // of the training; 0: the search
	noise  uint64
	folder string
	run    minibench.MethodRun // done
}

// run does the search and the comparison; what is there already is read.
func (b *methodsBench) run(ctx context.Context) ([]minibench.Contender, error) {
	methods := b.chosen()
	var search []*task
	for _, m := range methods {
		for trial := range b.protocol.Trials {
			search = append(search, &task{method: m, trial: trial, noise: noiseSeed, folder: filepath.Join(b.o.output, m.Name, fmt.Sprintf("trial-%d", trial+1))})
		}
	}
	if err := b.do(ctx, "trials", search); err != nil {
		return nil, err
	}
	base := minibench.Contender{ProtocolMethod: minibench.ProtocolMethod{Name: minibench.BaseName}}
	var compare []*task
	for i := range b.protocol.Seeds {
		compare = append(compare, &task{seed: 1, noise: noiseSeed + uint64(i), folder: filepath.Join(b.o.output, minibench.BaseName, fmt.Sprintf("noise-%d", i+1))})
	}
	best := make([]int, len(methods))
	for i, m := range methods {
		best[i] = b.best(search[i*b.protocol.Trials : (i+1)*b.protocol.Trials])
		for k, seed := range b.protocol.Seeds {
			compare = append(compare, &task{method: m, trial: best[i], seed: seed, noise: noiseSeed + uint64(k), folder: filepath.Join(b.o.output, m.Name, fmt.Sprintf("seed-%d", seed))})
		}
	}
	if err := b.do(ctx, "trainings", compare); err != nil {
		return nil, err
	}
	runs := func(from int) (out []minibench.MethodRun) {
		for _, t := range compare[from : from+len(b.protocol.Seeds)] {
			out = append(out, t.run)
		}
		return out
	}
	base.Runs = runs(0)
	contenders := []minibench.Contender{base}
	for i, m := range methods {
		contenders = append(contenders, minibench.Contender{
			ProtocolMethod: m, Trial: best[i] + 1, Setting: words(m.Trials[best[i]]), Runs: runs((i + 1) * len(b.protocol.Seeds)),
		})
	}
	return contenders, nil
}

// best is the trial whose pictures the labelling reward likes most, over all guidance scales; of equals the earlier one.
func (b *methodsBench) best(trials []*task) int {
	at, top := 0, math.Inf(-1)
	for i, t := range trials {
		var v float64
		for _, w := range b.protocol.Guidance {
			v += t.run.MeanOf(w, "reward")
		}
		if v > top {
			at, top = i, v
		}
	}
	return at
}

// words is a trial's settings in one line.
func words(s yaml.MapSlice) string {
	var out []string
	for _, item := range s {
		out = append(out, fmt.Sprintf("%v %v", item.Key, item.Value))
	}
	return strings.Join(out, ", ")
}

// do does tasks, --jobs at once.
func (b *methodsBench) do(ctx context.Context, what string, tasks []*task) error {
	bar := b.a.progress().Start(what, len(tasks))
	defer bar.Stop()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(b.o.jobs)
	var done atomic.Int64
	for _, t := range tasks {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := b.one(ctx, t); err != nil {
				return fmt.Errorf("%s: %w", t.folder, err)
			}
			bar.Set(int(done.Add(1)))
			return nil
		})
	}
	return g.Wait()
}

// one does a task, or reads what it left.
func (b *methodsBench) one(ctx context.Context, t *task) error {
	kept := filepath.Join(t.folder, "figures.json")
	settings := b.settings(t)
	if data, err := os.ReadFile(kept); err == nil {
		if err := json.Unmarshal(data, &t.run); err != nil || len(t.run.Scores) == 0 {
			return fmt.Errorf("%s: is not what a training left there; remove it", kept)
		}
		if t.run.Settings == settings {
			return nil
		}
	}
	t.run = minibench.MethodRun{Settings: settings}
	if err := os.MkdirAll(t.folder, 0o777); err != nil {
		return err
	}
	if t.method.Name != "" {
		if err := b.train(ctx, t); err != nil {
			return err
		}
	}
	if err := b.judge(ctx, t); err != nil {
		return err
	}
	data, err := json.Marshal(t.run)
	if err != nil {
		return err
	}
	return writeFile(kept, append(data, '\n'))
}

// settings say all that a protocol's entry has to say about a training: where an entry was changed, its figures are made anew.
func (b *methodsBench) settings(t *task) string {
	if t.method.Name == "" {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", t.method.Method, t.method.Data, words(b.protocol.Settings(t.method, t.trial))))
}

// adapter is the folder of a task's training.
func (t *task) adapter() string { return filepath.Join(t.folder, "run") }

// train finds out what an update costs and trains as many as the budget holds.
func (b *methodsBench) train(ctx context.Context, t *task) error {
	config := filepath.Join(t.folder, "settings.yaml")
	if err := saveConfig(config, b.protocol.Settings(t.method, t.trial)); err != nil {
		return err
	}
	probe := filepath.Join(t.folder, "probe")
	for _, folder := range []string{probe, t.adapter()} {
		if err := free(ctx, folder); err != nil {
			return err
		}
	}
	defer os.RemoveAll(probe)
	if _, err := b.winnow(ctx, t, config, probe, b.protocol.Probe); err != nil {
		return err
	}
	tried, err := costOf(probe)
	if err != nil {
		return err
	}
	t.run.Updates = max(1, int(math.Round(float64(b.protocol.Evaluations)/(tried.evaluations/float64(b.protocol.Probe)))))
	state, err := b.winnow(ctx, t, config, t.adapter(), t.run.Updates)
	if err != nil {
		return err
	}
	done, err := costOf(t.adapter())
	if err != nil {
		return err
	}
	t.run.Evaluations, t.run.Memory = done.evaluations, done.memory
	t.run.Seconds = (state.UserTime() + state.SystemTime()).Seconds()
	return nil
}

// winnow trains in a process of its own.
func (b *methodsBench) winnow(ctx context.Context, t *task, config, output string, updates int) (*os.ProcessState, error) {
	m, err := dpo.FindMethod(t.method.Method)
	if err != nil {
		return nil, err
	}
	cache := filepath.Join(t.folder, "cache.sqlite")
	defer os.Remove(cache)
	if err := copyFile(b.at(methodsCache), cache); err != nil {
		return nil, err
	}
	args := []string{
		"train", t.method.Method, "--config", config, "--output", output, "--max-train-steps", fmt.Sprint(updates), "--seed", fmt.Sprint(t.seed), "--quiet",
		"--threads", fmt.Sprint(b.o.threads / b.o.jobs), "--checkpointing-steps", "0", "--cache", cache, "--overwrite",
	}
	switch {
	case m.OwnPictures():
		args = append(args, "--prompts", b.at(methodsPrompts), "--reward", b.protocol.Reward)
	case t.method.Data == minibench.DataGroups:
		args = append(args, "--data", b.at(methodsGroups))
	default:
		args = append(args, "--data", b.at(methodsPairs))
	}
	var out bytes.Buffer
	c := exec.CommandContext(ctx, b.program, args...)
	c.Stdout, c.Stderr = &out, &out
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = time.Minute
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("winnow %s: %w: %s", strings.Join(args, " "), err, lastLines(out.String(), 5))
	}
	return c.ProcessState, nil
}

// free waits until no training is at work in a folder: that of a comparison that was killed lives on until it is done.
func free(ctx context.Context, folder string) error {
	for exists(folder) {
		held, err := training.LockOutput(folder)
		if err == nil {
			return held.Release()
		}
		if by := (*lockfile.HeldError)(nil); !errors.As(err, &by) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil
}

// copyFile copies a file whole.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return atomicfile.Write(to, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
}

// lastLines is the end of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// cost is what a training says of itself.
type cost struct {
	evaluations float64 // of the U-Net, all that its updates asked for
	memory      float64 // most that it held, in bytes; what the system knows of a process begins with what its parent held
}

func costOf(run string) (cost, error) {
	rows, err := monitor.Read(run)
	if err != nil {
		return cost{}, err
	}
	var out cost
	_, values := monitor.Series(rows, monitor.Evaluations)
	for _, v := range values {
		out.evaluations += v
	}
	if out.evaluations == 0 {
		return cost{}, errors.New("the training says nothing about its evaluations of the U-Net")
	}
	_, values = monitor.Series(rows, monitor.Memory)
	for _, v := range values {
		out.memory = max(out.memory, v)
	}
	return out, nil
}

// judge draws pictures and scores them: of validation prompts in the search, of held-out ones in the comparison.
func (b *methodsBench) judge(ctx context.Context, t *task) (err error) {
	set, n := "validation", b.protocol.Validation
	if t.seed != 0 {
		set, n = "heldout", b.protocol.HeldOut
	}
	prompts, err := minibench.Prompts(set, n)
	if err != nil {
		return err
	}
	threads := b.o.threads / b.o.jobs
	reward, err := rewards.Open(ctx, b.protocol.Reward, "", &rewards.Options{Threads: threads})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reward.Close()) }()
	run := ""
	if t.method.Name != "" {
		run = t.adapter()
	}
	model, p, err := b.side(ctx, t.method.Name, run, threads)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	t.run.Scores = map[string]minibench.Scores{}
	for _, w := range b.protocol.Guidance {
		req := model.Request(w)
		s, err := minibench.Measure(ctx, p, prompts, minibench.Options{Steps: b.protocol.Steps, Seed: t.noise, Request: &req}, scoreEach(reward))
		if err != nil {
			return err
		}
		t.run.Scores[minibench.ScaleName(w)] = s
	}
	return nil
}

// side opens the embedded model with the adapter of a training; run "" is the base.
func (b *methodsBench) side(ctx context.Context, name, run string, threads int) (model minibench.Aligned, p *diffusion.Pipeline, err error) {
	o := &benchAlignOptions{benchOptions: benchOptions{model: diffusion.Mini, threads: threads}, alpha: 0.5}
	if run == "" {
		model = o.side(b.a, minibench.BaseName, [][]diffusion.LoRA{nil}, false)
	} else if model, err = o.aligned(b.a, name+"="+run); err != nil {
		return model, nil, err
	}
	p, err = model.Open[0](ctx)
	return model, p, err
}
