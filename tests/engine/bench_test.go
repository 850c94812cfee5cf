package engine

import (
	"context"
	"path/filepath"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/mmap"
	"winnow/internal/onnx"
	"winnow/internal/tensor"
)

// miniUNet opens the embedded U-Net with inputs for eight guided pictures.
func miniUNet(b *testing.B) (*onnx.Model, map[string]tensor.Tensor, map[string]graph.Type) {
	b.Helper()
	m, err := onnx.Open(filepath.Join(root, "assets/mini/pipeline/unet/model.onnx"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { m.Close() })
	in := map[string]tensor.Tensor{
		"sample":                tensor.New(tensor.F32, 16, 4, 16, 16),
		"timestep":              tensor.New(tensor.F32, 16),
		"encoder_hidden_states": tensor.New(tensor.F32, 16, 32, 96),
	}
	types := map[string]graph.Type{}
	for name, t := range in {
		types[name] = graph.Type{DType: t.DType, Shape: t.Shape}
		for i := range t.F32() {
			t.F32()[i] = float32(i%17)/8 - 1
		}
	}
	return m, in, types
}

// BenchmarkCompileMiniUNet is the time to fold, fuse, pack and plan.
func BenchmarkCompileMiniUNet(b *testing.B) {
	m, _, types := miniUNet(b)
	for b.Loop() {
		p, err := graph.Compile(m.Graph, types, &graph.Options{Release: mmap.Release})
		if err != nil {
			b.Fatal(err)
		}
		p.Close()
	}
}

// BenchmarkRunMiniUNet is one call for eight pictures with guidance, with the rate of arithmetic.
func BenchmarkRunMiniUNet(b *testing.B) {
	m, in, types := miniUNet(b)
	p, err := graph.Compile(m.Graph, types, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	for b.Loop() {
		if _, err := p.Run(context.Background(), in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(p.Stats().Flops/float64(b.Elapsed().Nanoseconds())*float64(b.N), "GFLOP/s")
}
