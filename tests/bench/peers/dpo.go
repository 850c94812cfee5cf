package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"

	"winnow/dpo/training"
	"winnow/internal/kernel"
	"winnow/internal/miniworld"
	"winnow/internal/tensor"
)

// promptTokens is the length of a prompt of the embedded model.
const promptTokens = 32

// runDPO measures steps of Diffusion-DPO on the embedded model, reference, clipping and optimiser included. Both sides begin from
// latents and text embeddings that are there already, and draw noise and timesteps anew in each step: every step is an epoch, so
// that no error of the reference is known from before.
func runDPO(ctx context.Context, s settings) error {
	ours := side{name: "winnow " + kernel.Selected()}
	var trainer *training.Trainer
	open := ours.timed(func() (err error) {
		trainer, err = openTrainer(ctx, s)
		return err
	})
	if err := open(true); err != nil {
		return err
	}
	defer trainer.Close()
	ours.load, ours.runs, ours.cpu = ours.runs[0], nil, nil
	var theirs *peer
	if s.python != "" {
		in := map[string]tensor.Tensor{"settings": tensor.FromF32([]float32{float32(s.batch), promptTokens, float32(s.rank)}, 3)}
		var err error
		if theirs, err = startPeer(ctx, s, "worker_dpo.py", "assets/mini/pipeline/unet/config.json", in); err != nil {
			return err
		}
	}
	err := inTurn(s, theirs.call, ours.timed(func() error {
		_, err := trainer.Step(ctx)
		return err
	}))
	if err != nil {
		return err
	}
	return report(s, fmt.Sprintf("pairs a step of Diffusion-DPO, rank %d, embedded model", s.rank), theirs, tensor.Tensor{}, &ours)
}

// openTrainer opens the embedded model with one batch of pairs, whose pictures it encodes.
func openTrainer(ctx context.Context, s settings) (*training.Trainer, error) {
	folder, err := os.MkdirTemp("", "winnow-pairs-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "pairs.jsonl")
	if err := writePairs(file, s.batch); err != nil {
		return nil, err
	}
	cache, err := training.OpenCache(ctx, "")
	if err != nil {
		return nil, err
	}
	t, err := training.Open(ctx, training.Mini, cache, training.Config{
		Method: "dpo", Rank: s.rank, BatchSize: s.batch, Steps: s.repeats + 1, Seed: 1, Threads: s.threads, Checkpoint: s.checkpoint,
	})
	if err != nil {
		return nil, err
	}
	data, err := t.Load(ctx, []string{file}, nil)
	if err == nil {
		err = t.Begin(data)
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// writePairs writes pairs of rendered scenes: what the caption says, and another one.
func writePairs(path string, n int) error {
	r := rand.New(rand.NewPCG(7, 8))
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	for range n {
		right := miniworld.RandomScene(r)
		var images []map[string]any
		for _, scene := range []miniworld.Scene{right, miniworld.RandomScene(r)} {
			var picture bytes.Buffer
			if err := png.Encode(&picture, scene.Render()); err != nil {
				return err
			}
			images = append(images, map[string]any{"data": picture.Bytes()})
		}
		row := map[string]any{"prompt": miniworld.Describe(right, r).Caption(r), "images": images, "label": 1}
		if err := lines.Encode(row); err != nil {
			return err
		}
	}
	return os.WriteFile(path, out.Bytes(), 0o600)
}
