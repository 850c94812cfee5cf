package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"winnow/internal/evaluation"
	"winnow/internal/online"
)

// heldOut is what a round's model does on the held-out prompts, as it is kept beside the pictures.
type heldOut struct {
	Round   int                  `json:"round"`
	Trained string               `json:"trained"` // name of the score by what labels
	Names   []string             `json:"names"`   // of the held-out rewards, the deciding one first
	Scores  map[string][]float64 `json:"scores"`  // one for each prompt
	files   [][]string
}

// look makes the held-out pictures of a round and scores them, or reads what was found before.
func (r *onlineRun) look(ctx context.Context, round int) (heldOut, error) {
	h := heldOut{Round: round, Scores: map[string][]float64{}}
	pictures, err := r.heldPictures(round)
	if err != nil {
		return h, err
	}
	kept := filepath.Join(r.o.output, "heldout", fmt.Sprintf("round-%d.json", round))
	if data, err := os.ReadFile(kept); err == nil {
		if err := json.Unmarshal(data, &h); err != nil || len(h.Names) == 0 || len(h.Scores[h.Trained]) != len(r.held) {
			return h, fmt.Errorf("%s: is not what a round left there; remove it", kept)
		}
		h.files = pictures.files()
		return h, nil
	}
	if h.files, err = pictures.make(ctx); err != nil {
		return h, err
	}
	if err := r.scoreHeld(ctx, &h); err != nil {
		return h, err
	}
	if r.o.label.judged() {
		if err := r.judgeHeld(ctx, &h); err != nil {
			return h, err
		}
	}
	data, err := json.Marshal(h)
	if err != nil {
		return h, fmt.Errorf("some held-out pictures could not be scored: %w", err)
	}
	return h, writeFile(kept, append(bytes.TrimSpace(data), '\n'))
}

// heldPictures are the pictures of a round: one for each prompt, from the same noise in all rounds.
func (r *onlineRun) heldPictures(round int) (*pictureFolder, error) {
	o := &generateOptions{}
	c := &cobra.Command{Use: "generate"}
	o.flags(c)
	o.model, o.steps, o.guidance, o.count = r.o.model, r.o.heldSteps, r.o.heldGuidance, 1
	made := &r.o.label.made
	if o.steps == 0 {
		o.steps = made.steps
	}
	o.scheduler, o.height, o.width, o.batch = made.scheduler, made.height, made.width, made.batch
	o.truncate, o.threads, o.executorOptions = r.o.label.truncate, r.o.label.threads, r.o.label.executorOptions
	if a := r.adapter(round); a != "" {
		o.guide.lora.files = []string{a}
	}
	if err := o.guide.check(); err != nil {
		return nil, err
	}
	// Prompts have a noise of their own each; that of training pictures lies elsewhere.
	seed := func(prompt int) uint64 { return 1<<62 + r.o.seed<<32 + uint64(prompt) }
	return &pictureFolder{
		app: r.a, o: o, folder: filepath.Join(r.o.output, "heldout", fmt.Sprintf("round-%d", round)), prompts: r.held, seed: seed, flag: "--output",
	}, nil
}

// scoreHeld scores by the rewards: that of the labels, and those that are held out.
func (r *onlineRun) scoreHeld(ctx context.Context, h *heldOut) (err error) {
	o := r.o
	p := pictureRun{app: r.a, prompts: r.held, pictureOptions: &pictureOptions{promptFile: o.heldOut, rewardOptions: o.label.rewardOptions}}
	p.asked, p.cache = judgeOptions{}, nil
	p.models = append(append([]string{}, o.label.models...), o.heldModels...)
	if !o.label.judged() {
		p.rewards = []string{strings.Join(o.label.reward, ",")}
	}
	labels := len(p.rewards)
	p.rewards = append(p.rewards, o.heldReward...)
	pictures, at := side{name: filepath.Join(o.output, "heldout"), files: h.files}, 0
	return p.each(ctx, func(name string, score scoreItems) error {
		all, err := p.scoreFiles(ctx, name, pictures, score)
		if err != nil {
			return err
		}
		values := make([]float64, len(all))
		for i, v := range all {
			if values[i] = v[0]; math.IsNaN(values[i]) {
				return fmt.Errorf("%s, line %d: its picture has no score by %s", o.heldOut, r.held[i].Line, name)
			}
		}
		if at < labels {
			h.Trained = name
		} else {
			h.Names = append(h.Names, name)
		}
		h.Scores[name] = values
		at++
		return nil
	})
}

// judgeHeld lets the judge of the labels compare a round's pictures with those of the model without adapter: the score of a prompt is the
// probability that the round's is better, ½ where both rounds are the same.
func (r *onlineRun) judgeHeld(ctx context.Context, h *heldOut) error {
	h.Trained = "wins by " + r.o.label.asked.name()
	values := make([]float64, len(r.held))
	h.Scores[h.Trained] = values
	if h.Round == 0 {
		for i := range values {
			values[i] = 0.5
		}
		return nil
	}
	w := winRateRun{
		pictureRun: pictureRun{app: r.a, prompts: r.held, pictureOptions: &pictureOptions{promptFile: r.o.heldOut, rewardOptions: r.o.label.rewardOptions}},
		o:          &winRateOptions{}, a: side{files: h.files}, b: side{files: r.rounds[0].files},
	}
	if err := w.byJudge(ctx); err != nil {
		return err
	}
	return wins(values, w.tables[0])
}

// wins are the probabilities of the first side.
func wins(dst []float64, table []evaluation.Contest) error {
	missing := 0
	for i, c := range table {
		if dst[i] = c.A[0]; math.IsNaN(dst[i]) {
			missing++
		}
	}
	if missing > 0 {
		return fmt.Errorf("the judge gave no readable answer about %d of %d held-out prompts; the same command asks again", missing, len(table))
	}
	return nil
}

// figure is the mean of a score with what it is against the model without adapter.
func (r *onlineRun) figure(h *heldOut, name string) (float64, online.Change) {
	return online.Mean(h.Scores[name]), online.Compare(h.Scores[name], r.rounds[0].Scores[name])
}

// scorers are the names of all scores, that of the labels first.
func (h *heldOut) scorers() []string { return append([]string{h.Trained}, h.Names...) }
