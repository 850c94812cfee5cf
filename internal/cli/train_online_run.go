package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"winnow/datasets"
	"winnow/dpo/training"
	"winnow/internal/online"
)

// onlineRun is a run of train online.
type onlineRun struct {
	a       *app
	o       *onlineOptions
	prompts []datasets.Prompt // that are learnt from
	held    []datasets.Prompt // that are looked at
	rounds  []heldOut         // of every round so far, the model without adapter first
	stopped string            // why the rounds ended early
	best    int
	began   time.Time
}

// Names inside --output.
const (
	onlineSettings = "online.yaml"
	roundAdapter   = "adapter" // the training of a round
)

func (a *app) online(ctx context.Context, o *onlineOptions) (err error) {
	held, err := training.LockOutput(o.output)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Release()) }()
	r := &onlineRun{a: a, o: o, began: time.Now()}
	if r.prompts, err = readPrompts(o.prompts, ""); err != nil {
		return err
	}
	if err := r.apart(); err != nil {
		return err
	}
	if err := r.claim(); err != nil {
		return err
	}
	if err := r.all(ctx); err != nil {
		return a.stopped(ctx, o.output, err)
	}
	return r.finish()
}

// apart reads the held-out prompts, and refuses those that are learnt from.
func (r *onlineRun) apart() (err error) {
	line := map[string]int{}
	for _, p := range r.prompts {
		line[strings.TrimSpace(p.Text)] = p.Line
	}
	if r.held, err = readPrompts(r.o.heldOut, ""); err != nil {
		return err
	}
	for _, p := range r.held {
		if at, ok := line[strings.TrimSpace(p.Text)]; ok {
			return &datasets.RowError{File: r.o.heldOut, Line: p.Line, Column: "prompt", Err: fmt.Errorf("is line %d of %s, too; a prompt that is learnt from shows nothing", at, r.o.prompts)}
		}
	}
	if n := r.o.heldLimit; n > 0 && n < len(r.held) {
		r.held = r.held[:n]
	}
	return nil
}

// claim writes down what the run is told, and refuses a folder that holds another run. More rounds than before are welcome.
func (r *onlineRun) claim() error {
	path := filepath.Join(r.o.output, onlineSettings)
	told := func(s yaml.MapSlice) ([]byte, error) {
		return yaml.Marshal(slices.DeleteFunc(slices.Clone(s), func(i yaml.MapItem) bool { return fmt.Sprint(i.Key) == "rounds" }))
	}
	now, err := told(r.o.settings())
	if err != nil {
		return err
	}
	if have, err := os.ReadFile(path); err == nil {
		var before yaml.MapSlice
		if err := yaml.Unmarshal(have, &before); err != nil {
			return usagef("%s: %w; remove it to begin anew", path, err)
		}
		if was, err := told(before); err != nil || !bytes.Equal(was, now) {
			return usagef("%s holds rounds with other settings (%s says which); name another --output, or remove it", r.o.output, path)
		}
	}
	return saveConfig(path, r.o.settings())
}

// all does the rounds.
func (r *onlineRun) all(ctx context.Context) error {
	for round := range r.o.rounds + 1 {
		if round > 0 {
			if err := r.learn(ctx, round); err != nil {
				return err
			}
		}
		h, err := r.look(ctx, round)
		if err != nil {
			return err
		}
		r.rounds = append(r.rounds, h)
		v := online.Judge(r.history())
		r.best = v.Best
		if err := r.announce(round, v); err != nil {
			return err
		}
		if v.Hacked {
			r.stopped = fmt.Sprintf("reward hacking: in round %d %s rose by %v and %s, which is not trained on, changed by %v, against round %d",
				round, h.Trained, v.Trained, h.Names[0], v.HeldOut, v.Against)
			break
		}
	}
	return nil
}

// folder is where a round is.
func (r *onlineRun) folder(round int) string {
	return filepath.Join(r.o.output, fmt.Sprintf("round-%d", round))
}

// adapter is the folder with the adapter of a round; "" is none.
func (r *onlineRun) adapter(round int) string {
	if round == 0 {
		return ""
	}
	return filepath.Join(r.folder(round), roundAdapter)
}

// pairs is the file that a round learns from.
func (r *onlineRun) pairs(round int) string { return filepath.Join(r.folder(round), "pairs.parquet") }

// learn makes and labels the pictures of a round, and trains on them. What is there already is not made again.
func (r *onlineRun) learn(ctx context.Context, round int) error {
	if err := os.MkdirAll(r.folder(round), 0o777); err != nil {
		return err
	}
	if !exists(r.pairs(round)) {
		if err := r.labelled(ctx, round); err != nil {
			return err
		}
	}
	if exists(filepath.Join(r.adapter(round), "pytorch_lora_weights.safetensors")) {
		return nil
	}
	return r.trained(ctx, round)
}

// labelled makes the pairs of a round.
func (r *onlineRun) labelled(ctx context.Context, round int) error {
	list := filepath.Join(r.folder(round), "prompts.txt")
	if err := writeFile(list, []byte(strings.Join(r.share(round), "\n")+"\n")); err != nil {
		return err
	}
	config := filepath.Join(r.folder(round), "label.yaml")
	if err := saveConfig(config, r.o.chosen(r.o.labelFlags, "prompts", "output", "seed", "config")); err != nil {
		return err
	}
	// Seeds of rounds lie apart, so that no two pictures of a prompt begin from the same noise.
	seed := r.o.seed<<32 + uint64(round)<<24
	args := []string{"label", "--config", config, "--prompts", list, "--seed", fmt.Sprint(seed), "--output", r.pairs(round)}
	if before := r.adapter(round - 1); before != "" {
		args = append(args, "--lora", before)
	}
	err := r.a.part(ctx, args)
	var some *partialRows
	if errors.As(err, &some) { // listed by label
		err = nil
	}
	return err
}

// share is the prompts of a round: the next ones of a list that is shuffled anew when it has been used up.
func (r *onlineRun) share(round int) []string {
	n := r.o.perRound
	if n == 0 || n >= len(r.prompts) {
		n = len(r.prompts)
	}
	var out []string
	for i := (round - 1) * n; i < round*n; i++ {
		pass := i / len(r.prompts)
		order := rand.New(rand.NewPCG(r.o.seed, uint64(pass))).Perm(len(r.prompts))
		out = append(out, r.prompts[order[i%len(r.prompts)]].Text)
	}
	return out
}

// trained trains on the pairs of a round.
func (r *onlineRun) trained(ctx context.Context, round int) error {
	config := filepath.Join(r.folder(round), "train.yaml")
	without := []string{"prompts", "output", "seed", "config", "reward", "reward-model", "threads"}
	if err := saveConfig(config, r.o.chosen(r.o.trainFlags, without...)); err != nil {
		return err
	}
	args := []string{
		"train", r.o.train.method, "--config", config, "--output", r.adapter(round), "--seed", fmt.Sprint(r.o.seed + uint64(round)),
		"--cache", filepath.Join(r.o.output, "cache.sqlite"), "--resume-from-checkpoint", "latest",
	}
	for k := max(1, round-r.o.replay); k <= round; k++ {
		args = append(args, "--data", r.pairs(k))
	}
	if before := r.adapter(round - 1); before != "" {
		args = append(args, "--init-lora", before)
		if !r.o.keepReference {
			args = append(args, "--reference-lora", before)
		}
	}
	return r.a.part(ctx, args)
}

// history is the rounds as the guard sees them.
func (r *onlineRun) history() []online.Round {
	var out []online.Round
	for i, h := range r.rounds {
		out = append(out, online.Round{Number: i, Trained: h.Scores[h.Trained], HeldOut: h.Scores[h.Names[0]]})
	}
	return out
}

// result copies the best round's adapter to where it is looked for.
func (r *onlineRun) result() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(r.adapter(r.best), "*.safetensors"))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return out, err
		}
		to := filepath.Join(r.o.output, filepath.Base(file))
		if err := writeFile(to, data); err != nil {
			return out, err
		}
		out = append(out, to)
	}
	return out, nil
}
