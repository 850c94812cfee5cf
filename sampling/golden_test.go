package sampling_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/sampling"
)

// The golden files are written by tests/oracle/schedulers.py, which describes them.
type goldenFile struct {
	Diffusers string
	Cases     []goldenCase
}

type goldenCase struct {
	Name   string
	Config string
	Eta    float64
	Switch []struct {
		Class string
		Set   map[string]any
	}
	Alphas string
	Runs   []goldenRun
}

type goldenRun struct {
	Steps     int
	Fails     string
	Timesteps string
	Sigmas    string
	Init      float64
	Draws     int
	X         string
	Clean     string
}

const goldenNumbers, goldenImages = 8, 2

func decode32(t *testing.T, s string) []float32 {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}

func decode64(t *testing.T, s string) []float64 {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, len(raw)/8)
	for i := range out {
		out[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return out
}

func toyNetwork(_ context.Context, dst, x []float32, t float64) error {
	for i, v := range x {
		w := float64(v)
		dst[i] = float32(0.5*w + 0.3*w/(1+w*w) + 0.1*math.Sin(t/100))
	}
	return nil
}

func toyStart() []float32 {
	x := make([]float32, goldenNumbers)
	for j := range x {
		x[j] = float32(math.Sqrt2 * math.Sin(1+2.3*float64(j)))
	}
	return x
}

// toyNoise is the oracle's noise and counts its draws.
func toyNoise(draws *int) sampling.Noise {
	return func(dst []float32, _, _ float64) {
		for j := range dst {
			dst[j] = float32(math.Sqrt2 * math.Sin(0.7+12.9898*float64(*draws)+4.1414*float64(j)))
		}
		*draws++
	}
}

// trajectoryTolerance is relative to the largest number of the array: tables are equal to diffusers' up to a few
// float32 roundings per step, which whole trajectories of up to 50 steps carry along.
const trajectoryTolerance = 1e-5

func relativeError(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var worst, size float64
	for i, w := range want {
		size = math.Max(size, math.Abs(float64(w)))
		d := math.Abs(float64(got[i]) - float64(w))
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		worst = math.Max(worst, d)
	}
	if size == 0 {
		return worst
	}
	return worst / size
}

func (c *goldenCase) scheduler(t *testing.T) *sampling.Scheduler {
	t.Helper()
	cfg, err := sampling.ReadConfig(strings.NewReader(c.Config))
	if err != nil {
		t.Fatal(err)
	}
	for _, sw := range c.Switch {
		if cfg, err = cfg.As(sw.Class); err != nil {
			t.Fatal(err)
		}
		for key, v := range sw.Set {
			if cfg, err = cfg.With(key, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, err := sampling.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTrajectoriesEqualDiffusers(t *testing.T) {
	files, err := filepath.Glob("../tests/golden/schedulers/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var file goldenFile
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			var worst float64
			for _, c := range file.Cases {
				t.Run(c.Name, func(t *testing.T) { worst = max(worst, c.compare(t)) })
			}
			t.Logf("%d cases, largest relative deviation %.2g", len(file.Cases), worst)
		})
	}
}

func (c *goldenCase) compare(t *testing.T) (worst float64) {
	s := c.scheduler(t)
	c.compareSchedule(t, s.Schedule())
	for _, run := range c.Runs {
		plan, err := s.Plan(run.Steps, &sampling.PlanOptions{Eta: c.Eta})
		if run.Fails != "" {
			if err == nil {
				t.Errorf("%d steps: no error; diffusers fails with %s", run.Steps, run.Fails)
			}
			continue
		}
		if err != nil {
			t.Errorf("%d steps: %v", run.Steps, err)
			continue
		}
		c.compareTables(t, run, plan)
		worst = max(worst, run.compareTrajectory(t, plan))
	}
	return worst
}

func (c *goldenCase) compareSchedule(t *testing.T, s *sampling.NoiseSchedule) {
	t.Helper()
	stride := max(1, s.Len()/40)
	for i, want := range decode32(t, c.Alphas) {
		got := s.AlphaBar(i * stride)
		if math.Abs(got-float64(want)) > 2e-7*float64(want) {
			t.Fatalf("alphas_cumprod[%d] = %v, diffusers has %v", i*stride, got, want)
		}
	}
}

// compareTables wants whole timesteps to be exact. Fractional ones that follow from log σ rest on numpy's float32 log,
// which is off by up to one unit in the last place: 1e-7 over a spacing of 0.005 in log σ is 1e-4 timesteps.
func (c *goldenCase) compareTables(t *testing.T, run goldenRun, p *sampling.Plan) {
	t.Helper()
	want := decode64(t, run.Timesteps)
	if len(want) != p.Len() {
		t.Fatalf("%d steps: %d timesteps %v, diffusers has %v", run.Steps, p.Len(), p.Timesteps, want)
	}
	fromSigmas := p.Scheduler().Config().Sigmas != "" && strings.HasPrefix(p.Scheduler().Config().Class, "Euler")
	for i, w := range want {
		if d := math.Abs(p.Timesteps[i] - w); d != 0 && !(fromSigmas && d < 2e-4) {
			t.Fatalf("%d steps: timestep %d = %v, diffusers has %v", run.Steps, i, p.Timesteps[i], w)
		}
	}
	for i, w := range decode32(t, run.Sigmas) {
		if math.Abs(p.Sigmas[i]-float64(w)) > 1e-6*float64(w) {
			t.Fatalf("%d steps: sigma %d = %v, diffusers has %v", run.Steps, i, p.Sigmas[i], w)
		}
	}
	if math.Abs(p.InitNoiseSigma-run.Init) > 1e-6*run.Init {
		t.Fatalf("%d steps: init_noise_sigma %v, diffusers has %v", run.Steps, p.InitNoiseSigma, run.Init)
	}
}

func (run *goldenRun) compareTrajectory(t *testing.T, p *sampling.Plan) (worst float64) {
	t.Helper()
	wantX, wantClean := decode32(t, run.X), decode32(t, run.Clean)
	draws := 0
	steps := 0
	opt := &sampling.Options{Noise: toyNoise(&draws), OnStep: func(st sampling.Step) error {
		at := st.Index * goldenNumbers
		e := relativeError(st.Next.X, wantX[at:at+goldenNumbers])
		if e > trajectoryTolerance {
			t.Errorf("%d steps: latents after step %d = %v, diffusers has %v (deviation %.2g)",
				run.Steps, st.Index, st.Next.X, wantX[at:at+goldenNumbers], e)
		}
		if len(wantClean) > 0 {
			ec := relativeError(st.Clean, wantClean[at:at+goldenNumbers])
			if ec > trajectoryTolerance {
				t.Errorf("%d steps: clean latents of step %d = %v, diffusers has %v (deviation %.2g)",
					run.Steps, st.Index, st.Clean, wantClean[at:at+goldenNumbers], ec)
			}
			e = max(e, ec)
		}
		worst = max(worst, e)
		steps++
		return nil
	}}
	if _, err := sampling.Sample(context.Background(), p, toyStart(), goldenImages, toyNetwork, opt); err != nil {
		t.Fatalf("%d steps: %v", run.Steps, err)
	}
	if steps*goldenNumbers != len(wantX) || draws != run.Draws {
		t.Errorf("%d steps: %d steps with %d draws, diffusers has %d with %d", run.Steps, steps, draws, len(wantX)/goldenNumbers, run.Draws)
	}
	return worst
}
