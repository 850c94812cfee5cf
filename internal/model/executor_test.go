package model

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"winnow/assets"
	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// counter is an executor whose runners only count: runs that began after Close are faults.
type counter struct {
	opened, closed, faults int
	during                 func() // called within Run
}

func (c *counter) Name() string { return "counter" }

func (c *counter) Compile(*graph.Graph, map[string]graph.Type) (graph.Runner, error) {
	c.opened++
	return &counted{counter: c}, nil
}

func (c *counter) CompileGradient(*graph.Graph, map[string]graph.Type, graph.GradientSpec) (graph.Gradient, error) {
	return nil, fmt.Errorf("no gradients here")
}

type counted struct {
	*counter
	done bool
}

func (r *counted) Run(context.Context, map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
	if during := r.during; during != nil {
		r.during = nil
		during()
	}
	if r.done {
		r.faults++
	}
	return nil, nil
}

func (r *counted) Close() { r.done = true; r.closed++ }

// Programs of an executor are closed when they leave the cache, but not under a run.
func TestModel_executorPrograms(t *testing.T) {
	c := &counter{}
	m, err := OpenFS(assets.Mini(), "vae_decoder/model.onnx", &Options{Executor: c})
	if err != nil {
		t.Fatal(err)
	}
	run := func(height int) {
		if _, err := m.Run(t.Context(), map[string]tensor.Tensor{"latent_sample": latents(1, height, 8)}); err != nil {
			t.Error(err)
		}
	}
	c.during = func() { // the program of the run that goes on leaves the cache
		for n := range maxPrograms {
			run(10 + 2*n)
		}
		if c.closed != 0 {
			t.Error("a program was closed under its run")
		}
	}
	run(8)
	if c.opened != maxPrograms+1 || c.closed != 1 || c.faults != 0 {
		t.Errorf("%d opened, %d closed, %d runs of closed programs", c.opened, c.closed, c.faults)
	}
	if _, err := m.Compile(map[string]graph.Type{"latent_sample": {DType: tensor.F32, Shape: []int{1, 4, 8, 8}}}); err == nil || !strings.Contains(err.Error(), "counter") {
		t.Errorf("Compile: %v", err)
	}
	if err := m.Close(); err != nil || c.opened != c.closed {
		t.Errorf("%v; %d opened, %d closed", err, c.opened, c.closed)
	}
}
