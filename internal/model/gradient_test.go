package model

import (
	"errors"
	"slices"
	"testing"

	"winnow/assets"
	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// A kept program gives the numbers of a fresh one, also after another shape, after a failure, and inside another call.
func TestVJP_keepsItsProgram(t *testing.T) {
	m, err := OpenFS(assets.Mini(), "vae_decoder/model.onnx", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	spec := graph.GradientSpec{Wrt: []string{"latent_sample"}}
	call := func(height int, inside func()) []float32 {
		back, err := m.VJP(t.Context(), map[string]tensor.Tensor{"latent_sample": latents(1, height, 4)}, spec,
			func(out map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
				if inside != nil {
					inside()
				}
				return map[string]tensor.Tensor{"sample": out["sample"]}, nil
			})
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(back["latent_sample"].F32())
	}
	first := call(4, nil)
	kept := m.gradient
	if second := call(4, nil); m.gradient != kept || !slices.Equal(first, second) {
		t.Error("the second call compiled again, or gave other numbers")
	}
	other := call(2, nil)
	if m.gradient == kept || slices.Equal(first[:8], other[:8]) {
		t.Error("another shape took the same program")
	}
	down := errors.New("down")
	if _, err := m.VJP(t.Context(), map[string]tensor.Tensor{"latent_sample": latents(1, 4, 4)}, spec,
		func(map[string]tensor.Tensor) (map[string]tensor.Tensor, error) { return nil, down }); !errors.Is(err, down) {
		t.Errorf("failing cotangents: %v", err)
	}
	if again := call(4, func() { call(4, nil) }); !slices.Equal(first, again) {
		t.Error("a call within a call changed the numbers")
	}
}
