package diffusion

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// flowFolder is the pipeline of a kind in tests/tiny with a flow scheduler.
func flowFolder(t *testing.T, kind string, config []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("../tests/tiny", kind))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "scheduler/scheduler_config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Final latents of a folder with a flow scheduler are those of diffusers' scheduler with the network in torch.
func TestFlow_latents(t *testing.T) {
	data, err := os.ReadFile("../tests/golden/flow.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Runs []struct {
			Config        json.RawMessage
			Steps         int
			GuidanceScale float64 `json:"guidance_scale"`
			Prompt        string
			Seed          uint64
			Height, Width int
			Latents       string
		}
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Runs) == 0 {
		t.Fatal("no runs")
	}
	for _, c := range golden.Runs {
		p, err := Open(t.Context(), flowFolder(t, "sd2", c.Config), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Generate(t.Context(), Request{
			Prompts: []string{c.Prompt}, Seed: c.Seed, Steps: c.Steps, GuidanceScale: c.GuidanceScale, Height: c.Height, Width: c.Width,
		})
		_ = p.Close()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := base64.StdEncoding.DecodeString(c.Latents)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float32, len(raw)/4)
		for i := range want {
			want[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		e := relative(t, got[0].Latents, want)
		t.Logf("%s, %d steps, guidance %v: %.1e", c.Config, c.Steps, c.GuidanceScale, e)
		if e > 1e-5 {
			t.Errorf("%s, %d steps, guidance %v: latents are off by %.1e", c.Config, c.Steps, c.GuidanceScale, e)
		}
	}
}
