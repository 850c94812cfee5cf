package sampling_test

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"winnow/sampling"
)

// Tables of flow schedulers are those of diffusers, to two roundings of float32.
func TestFlow_tables(t *testing.T) {
	data, err := os.ReadFile("../tests/golden/flow.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Tables []struct {
			Config            json.RawMessage
			Steps             int
			Timesteps, Sigmas string
		}
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Tables) < 20 {
		t.Fatalf("%d tables", len(golden.Tables))
	}
	for _, c := range golden.Tables {
		s, err := sampling.ReadScheduler(strings.NewReader(string(c.Config)))
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Plan(c.Steps, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, p.Len())
		for i, v := range p.Timesteps {
			got[i] = float32(v)
		}
		if e := relativeError(got, decode32(t, c.Timesteps)); e > 2.5e-7 {
			t.Errorf("%s, %d steps: timesteps are off by %.1e: %v", c.Config, c.Steps, e, p.Timesteps)
		}
		sigmas := decode32(t, c.Sigmas)
		got = make([]float32, len(sigmas))
		for i := range sigmas {
			signal, noise := p.Level(i)
			if math.Abs(signal+noise-1) > 1e-12 {
				t.Errorf("%s: level %d is %v and %v", c.Config, i, signal, noise)
			}
			got[i] = float32(noise)
		}
		if e := relativeError(got, sigmas); e > 2.5e-7 {
			t.Errorf("%s, %d steps: sigmas are off by %.1e", c.Config, c.Steps, e)
		}
	}
}

// Noise is added along the straight path, to the level of the timestep that the network is then told, and the target is its velocity.
func TestFlow_training(t *testing.T) {
	s, err := sampling.ReadScheduler(strings.NewReader(`{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}`))
	if err != nil {
		t.Fatal(err)
	}
	schedule, kind := s.Schedule(), s.Config().PredictionType
	if kind != sampling.FlowPrediction || schedule.Len() != 1000 || schedule.At(999) != 1000 || schedule.AlphaBar(999) != 0 {
		t.Fatalf("%s, %d timesteps, the last of %v with ᾱ %v", kind, schedule.Len(), schedule.At(999), schedule.AlphaBar(999))
	}
	clean, noise, x, target := []float32{1, -2}, []float32{0.5, 3}, make([]float32, 2), make([]float32, 2)
	schedule.AddNoise(x, clean, noise, 499)
	sigma := 3 * 0.5 / (1 + 2*0.5)
	if err := kind.Target(target, clean, noise, schedule.AlphaBar(499)); err != nil {
		t.Fatal(err)
	}
	for i := range x {
		c, z := float64(clean[i]), float64(noise[i])
		if math.Abs(float64(x[i])-(1-sigma)*c-sigma*z) > 1e-6 || math.Abs(float64(target[i])-(z-c)) > 1e-6 {
			t.Errorf("x %v, target %v", x, target)
		}
	}
	if d := schedule.At(499) - 1000*sigma; math.Abs(d) > 1e-4 {
		t.Errorf("the network is asked for %v at σ %v", schedule.At(499), sigma)
	}
	if want := (1 - sigma) * (1 - sigma) / ((1-sigma)*(1-sigma) + sigma*sigma); math.Abs(schedule.AlphaBar(499)-want) > 1e-6 {
		t.Errorf("ᾱ is %v, want %v", schedule.AlphaBar(499), want)
	}
}

func TestFlow_refuses(t *testing.T) {
	const class = `{"_class_name": "FlowMatchEulerDiscreteScheduler"`
	for config, want := range map[string]string{
		class + `, "use_dynamic_shifting": true}`:                                "picture's size",
		class + `, "invert_sigmas": true}`:                                       "inverted sigmas",
		class + `, "shift": 0}`:                                                  "shift 0 is not above 0",
		class + `, "shift_terminal": 1}`:                                         "shift_terminal",
		`{"_class_name": "DDIMScheduler", "prediction_type": "flow_prediction"}`: "flow_prediction",
	} {
		if _, err := sampling.ReadScheduler(strings.NewReader(config)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", config, err)
		}
	}
	s, err := sampling.ReadScheduler(strings.NewReader(class + `, "shift_terminal": 0.1}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Plan(1, nil); err == nil { // NaN in diffusers
		t.Error("one step from σ 1 ends at 0.1")
	}
	for config, to := range map[string]string{class + "}": "ddim", `{"_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}`: "flow-euler"} {
		c := read(t, config)
		if _, err := c.As(to); err == nil || !strings.Contains(err.Error(), "cannot sample it") {
			t.Errorf("%s as %s: %v", config, to, err)
		}
	}
}

// Up to a level and down again is a way back, with small steps.
func TestFlow_inversion(t *testing.T) {
	s, err := sampling.ReadScheduler(strings.NewReader(`{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}`))
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.InversionGrid(8)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Plan(8, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k := range 8 {
		if _, noise := p.Level(7 - k); g.Timesteps[k] != p.Timesteps[7-k] || g.Noise[k+1] != noise || g.Signal[k+1] != 1-noise {
			t.Errorf("level %d is at %v, %v", k+1, g.Timesteps[k], g.Noise[k+1])
		}
	}
}
