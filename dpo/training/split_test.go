package training

import (
	"math"
	"path/filepath"
	"testing"

	"gonum.org/v1/gonum/diff/fd"

	"winnow/dpo"
)

func tiny(name string) string { return filepath.Join("..", "..", "tests", "tiny", name) }

// begun opens a model with data.
func begun(t *testing.T, dir, pairs string, c Config) *Trainer {
	t.Helper()
	tr := openModel(t, dir, c)
	d, err := tr.Load(t.Context(), []string{pairs}, nil)
	if err == nil {
		err = tr.Begin(d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// A batch that goes through the network timestep by timestep gives the loss and the gradient of the whole batch, in every step of a run.
func TestSplit_equalsJointBatch(t *testing.T) {
	pairs := writePairs(t, 8)
	for _, method := range []string{"dpo", "chats", "smpo", "vrpo", "sft", "ncp"} {
		t.Run(method, func(t *testing.T) {
			c := Config{Method: method, BatchSize: 4, Accumulation: 2, Steps: 4, Rank: 3, LearningRate: 1e-2, Seed: 2, SNRGamma: 5, Size: Size{32, 32}}
			if method == "vrpo" {
				c.Settings.Draws = 2
			}
			joint, split := begun(t, tiny("sd2"), pairs, c), begun(t, tiny("sd2"), pairs, c)
			if joint.oneTimestep {
				t.Fatal("the export takes one timestep only")
			}
			split.oneTimestep = true
			s, err := split.source.batch(t.Context(), 0)
			if err != nil || len(split.groups(s.rows())) < 2 {
				t.Fatalf("the batch has %d timesteps, %v", len(split.groups(s.rows())), err)
			}
			for step := range 3 {
				a, errA := joint.Step(t.Context())
				b, errB := split.Step(t.Context())
				if errA != nil || errB != nil {
					t.Fatal(errA, errB)
				}
				if math.Abs(a.Loss-b.Loss) > 1e-6 || math.Abs(a.GradNorm-b.GradNorm) > 1e-5*a.GradNorm || a.GradNorm == 0 {
					t.Errorf("step %d: loss %v and %v, gradient norm %v and %v", step+1, a.Loss, b.Loss, a.GradNorm, b.GradNorm)
				}
				// The optimiser divides by the gradient's size, so that factors are compared by what led to them, and then made equal.
				sum, off := 0.0, 0.0
				for i, p := range joint.params {
					for k, g := range p.Grad {
						d := float64(g - split.params[i].Grad[k])
						sum, off = sum+float64(g)*float64(g), off+d*d
					}
					copy(split.params[i].Value, p.Value)
				}
				if off > 1e-12*sum {
					t.Errorf("step %d: gradients are %g of their norm apart", step+1, math.Sqrt(off/sum))
				}
			}
		})
	}
}

// Exports that take a single timestep, an integer or a float, learn by a gradient that is the slope of their loss.
func TestSplit_oneTimestepExports(t *testing.T) {
	pairs := writePairs(t, 6)
	for _, model := range []string{"sd15", "sdxl"} {
		t.Run(model, func(t *testing.T) {
			tr := begun(t, tiny(model), pairs, Config{Method: "dpo", BatchSize: 3, Steps: 4, Rank: 2, LearningRate: 1e-2, Seed: 2, Settings: dpo.Settings{Beta: 500}})
			if !tr.oneTimestep {
				t.Fatal("the export takes more than one timestep")
			}
			for range 2 { // away from where policy and reference agree
				if _, err := tr.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			s, err := tr.source.batch(t.Context(), 2)
			if err != nil {
				t.Fatal(err)
			}
			loss := func() float64 {
				var m Metrics
				for _, p := range tr.params {
					clear(p.Grad)
				}
				if err := tr.learn(t.Context(), s, &m); err != nil {
					t.Fatal(err)
				}
				return m.Loss
			}
			loss()
			// Along the gradient the slope is its norm.
			start, dir, norm := make([][]float32, len(tr.params)), make([][]float32, len(tr.params)), 0.0
			for i, p := range tr.params {
				start[i], dir[i] = append([]float32(nil), p.Value...), append([]float32(nil), p.Grad...)
				for _, g := range p.Grad {
					norm += float64(g) * float64(g)
				}
			}
			norm = math.Sqrt(norm)
			slope := fd.Derivative(func(h float64) float64 {
				for i, p := range tr.params {
					for k := range p.Value {
						p.Value[k] = start[i][k] + float32(h/norm)*dir[i][k]
					}
				}
				return loss()
			}, 0, &fd.Settings{Formula: fd.Central, Step: 2e-3})
			if math.Abs(slope-norm) > 5e-3*norm {
				t.Errorf("slope %v, gradient norm %v", slope, norm)
			}
		})
	}
}
