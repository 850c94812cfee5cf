package model

import (
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"winnow/assets"
	"winnow/internal/graph"
	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

func openDecoder(t *testing.T) *Model {
	t.Helper()
	m, err := OpenFS(assets.Mini(), "vae_decoder/model.onnx", &Options{Pool: kernel.NewPool(1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// latents are n inputs of the embedded VAE decoder that all differ.
func latents(n, height, width int) tensor.Tensor {
	z := tensor.New(tensor.F32, n, 4, height, width)
	for i := range z.F32() {
		z.F32()[i] = float32(math.Sin(float64(3 * i)))
	}
	return z
}

func decode(t *testing.T, m *Model, z tensor.Tensor) tensor.Tensor {
	t.Helper()
	out, err := m.Run(t.Context(), map[string]tensor.Tensor{"latent_sample": z})
	if err != nil {
		t.Fatal(err)
	}
	return out["sample"]
}

func TestModel_ports(t *testing.T) {
	m := openDecoder(t)
	in, ok := m.Input("latent_sample")
	if !ok || in.DType != tensor.F32 || !slices.Equal(in.Shape, []int{-1, 4, -1, -1}) || in.Dims[0] != "batch" || in.Dims[1] != "4" {
		t.Errorf("input %+v", in)
	}
	if _, ok := m.Output("sample"); !ok || len(m.Outputs()) != 1 {
		t.Errorf("outputs %+v", m.Outputs())
	}
	if _, ok := m.Input("sample"); ok {
		t.Error("an output is listed as input")
	}
}

// Programs are compiled once per set of shapes; the oldest goes when there are too many, and results do not change.
func TestModel_programs(t *testing.T) {
	m := openDecoder(t)
	first := decode(t, m, latents(1, 8, 8)).Clone()
	if !slices.Equal(first.Shape, []int{1, 3, 64, 64}) {
		t.Fatalf("shape %v", first.Shape)
	}
	packed := m.packs.Bytes()
	types := map[string]graph.Type{"latent_sample": {DType: tensor.F32, Shape: []int{1, 4, 8, 8}}}
	before, err := m.Compile(types)
	if err != nil {
		t.Fatal(err)
	}
	for n := range maxPrograms {
		decode(t, m, latents(1, 8, 2+2*n))
		if again, _ := m.Compile(types); n == 0 && again != before {
			t.Error("a program was compiled twice")
		}
	}
	if len(m.programs) != maxPrograms {
		t.Errorf("%d programs kept, want %d", len(m.programs), maxPrograms)
	}
	if got := m.packs.Bytes(); got != packed {
		t.Errorf("packed weights grew from %d to %d bytes with more programs", packed, got)
	}
	if again := decode(t, m, latents(1, 8, 8)); !slices.Equal(again.F32(), first.F32()) {
		t.Error("the result changed after other shapes were run")
	}
}

func TestModel_concurrent(t *testing.T) {
	m := openDecoder(t)
	want := decode(t, m, latents(2, 4, 4)).Clone()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			out, err := m.Run(t.Context(), map[string]tensor.Tensor{"latent_sample": latents(2, 4, 4)})
			if err != nil || !slices.Equal(out["sample"].F32(), want.F32()) {
				t.Errorf("a concurrent run differs: %v", err)
			}
		})
	}
	wg.Wait()
}

func TestModel_errors(t *testing.T) {
	m := openDecoder(t)
	for name, in := range map[string]map[string]tensor.Tensor{
		"missing input": {},
		"unknown input": {"latent_sample": latents(1, 8, 8), "other": latents(1, 8, 8)},
		"wrong type":    {"latent_sample": tensor.New(tensor.I64, 1, 4, 8, 8)},
		"wrong size":    {"latent_sample": tensor.New(tensor.F32, 1, 5, 8, 8)},
		"wrong rank":    {"latent_sample": tensor.New(tensor.F32, 4, 8, 8)},
	} {
		if _, err := m.Run(t.Context(), in); err == nil || !strings.Contains(err.Error(), "vae_decoder/model.onnx") {
			t.Errorf("%s: error %v, want one that names the file", name, err)
		}
	}
	if _, err := OpenFS(assets.Mini(), "none.onnx", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Open(t.TempDir()+"/none.onnx", nil); err == nil {
		t.Error("missing file on disk: no error")
	}
}
