package sampling

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"winnow/internal/rng"
)

// bent is a problem whose network is not linear and has a derivative known in closed form: output i is tanh(0.8·xᵢ + 0.3·xᵢ₊₁ + c(t)).
// The score is Σ wᵢ·xᵢ − 0.02·xᵢ².
func bent(plan *Plan) (Problem, Gradients) {
	answer := func(dst, x []float32, t float64) {
		for i := range x {
			k := i/toySize*toySize + (i+1)%toySize
			dst[i] = float32(math.Tanh(0.8*float64(x[i]) + 0.3*float64(x[k]) + 0.1*math.Sin(t)))
		}
	}
	weight := func(i int) float64 { return math.Cos(float64(3 * (i % toySize))) }
	g := Gradients{
		Verify: func(_ context.Context, x []float32, images int) ([]float64, []float32, error) {
			scores, slope := make([]float64, images), make([]float32, len(x))
			for i, v := range x {
				scores[i/toySize] += weight(i)*float64(v) - 0.02*float64(v)*float64(v)
				slope[i] = float32(weight(i) - 0.04*float64(v))
			}
			return scores, slope, nil
		},
		Network: func(_ context.Context, output, x []float32, t float64, cotangent func() ([]float32, error)) ([]float32, error) {
			answer(output, x, t)
			cot, err := cotangent()
			out := make([]float32, len(x))
			for i, v := range cot {
				k := i/toySize*toySize + (i+1)%toySize
				through := float64(v) * (1 - float64(output[i])*float64(output[i]))
				out[i] += float32(0.8 * through)
				out[k] += float32(0.3 * through)
			}
			return out, err
		},
	}
	return Problem{
		Plan: plan, Size: toySize, NFE: 2, Batch: 3,
		Model: func(_ context.Context, dst, x []float32, t float64) error { answer(dst, x, t); return nil },
		Verify: func(ctx context.Context, x []float32, images int) ([]float64, error) {
			scores, _, err := g.Verify(ctx, x, images)
			return scores, err
		},
	}, g
}

// planOf makes a plan of a sampler with all noise that it can add.
func planOf(t testing.TB, sampler string, steps int, change func(*Config)) *Plan {
	t.Helper()
	cfg, err := NewConfig(sampler)
	if err != nil {
		t.Fatal(err)
	}
	cfg.ClipSample = false
	if change != nil {
		change(&cfg)
	}
	sched, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := sched.Plan(steps, &PlanOptions{Eta: 1})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func searchOf(p Problem, budget int, seed uint64) *Search {
	s := &Search{Problem: p, budget: budget, seed: seed, stream: rng.New(seed)}
	s.found.Score, s.found.First = math.Inf(-1), math.NaN()
	return s
}

// moved is v + c·d.
func moved(v []float32, c float64, d []float64) []float32 {
	out := make([]float32, len(v))
	for i := range out {
		out[i] = v[i]
		if d != nil {
			out[i] = float32(float64(v[i]) + c*d[i])
		}
	}
	return out
}

// The derivative with respect to all noise of a run, along itself, is what differences of whole runs measure: for every sampler,
// those that remember earlier steps included, for both predictions, and with clipping.
func TestClimb_equalsDifferences(t *testing.T) {
	v := func(c *Config) { c.PredictionType = VPrediction }
	for _, c := range []struct {
		sampler string
		steps   int
		change  func(*Config)
	}{
		{"ddim", 1, nil},
		{"ddim", 5, nil},
		{"ddim", 5, v},
		{"ddpm", 6, nil},
		{"pndm", 7, nil},
		{"euler", 5, nil},
		{"euler", 4, v},
		{"euler-a", 5, nil},
		{"dpmpp-2m", 6, nil},
		{"dpmpp-2m-sde", 6, nil},
		{"dpmpp-3m", 7, nil},
		{"dpmpp-2m", 5, v},
		{"ddim", 5, func(c *Config) { c.ClipSample, c.ClipSampleRange = true, 0.7 }},
		{"pndm", 20, func(c *Config) { c.SkipPRKSteps = false }},
	} {
		name := fmt.Sprintf("%s of %d steps", c.sampler, c.steps)
		p, g := bent(planOf(t, c.sampler, c.steps, c.change))
		s := searchOf(p, 1<<20, 3)
		initial := s.draw(1)
		noises := s.innerNoises()
		got, err := s.climb(t.Context(), g, initial, noises)
		if err != nil {
			t.Fatal(name, err)
		}
		if s.found.NFE != s.climbCost() {
			t.Errorf("%s: %d evaluations, not %d", name, s.found.NFE, s.climbCost())
		}
		square, all := lengthOf(got.initial), 0
		square *= square
		for _, z := range got.steps {
			square += lengthOf(z) * lengthOf(z)
			if z != nil {
				all++
			}
		}
		if noisy := s.noisy(0, p.Plan.Len()); noisy != (all > 0) {
			t.Errorf("%s: derivatives of %d step noises", name, all)
		}
		score := func(side float64) float64 {
			again := searchOf(p, 1<<20, 3)
			shifted := make([][]float32, len(noises))
			for i, z := range noises {
				shifted[i] = moved(z, side, got.steps[i])
			}
			c, err := again.climb(t.Context(), g, moved(initial, side, got.initial), shifted)
			if err != nil {
				t.Fatal(name, err)
			}
			return c.score
		}
		h := 0.01 / math.Sqrt(square)
		if diff := (score(h) - score(-h)) / (2 * h); math.Abs(diff-square) > 0.01*square || square < 1e-4 {
			t.Errorf("%s: slope %v, differences %v", name, square, diff)
		}
	}
}

// The derivative of the score of a prediction, for each image of a batch, is what differences measure. Without the way through the
// network it is the score's slope over √ᾱ.
func TestLookAhead(t *testing.T) {
	for _, sampler := range []string{"ddim", "euler", "dpmpp-2m"} {
		p, g := bent(planOf(t, sampler, 6, nil))
		s := searchOf(p, 1<<20, 5)
		const images = 5
		st, err := s.Start(s.draw(images), images)
		if err != nil {
			t.Fatal(err)
		}
		for st.Index < 5 {
			before := s.found.NFE
			full, err := s.LookAhead(t.Context(), g, st)
			if err != nil {
				t.Fatal(err)
			}
			cheap, err := s.LookAhead(t.Context(), Gradients{Verify: g.Verify}, st)
			if err != nil {
				t.Fatal(err)
			}
			if spent := s.found.NFE - before; spent != images*(4+2) {
				t.Errorf("%s: %d evaluations", sampler, spent)
			}
			_, slope, _ := g.Verify(t.Context(), full.Clean, images)
			signal, _ := p.Plan.Level(st.Index)
			for i, v := range slope {
				if d := math.Abs(cheap.Gradient[i] - float64(v)/signal); d > 1e-5 {
					t.Errorf("%s, step %d: derivative %d without the network is %v, not %v", sampler, st.Index, i, cheap.Gradient[i], float64(v)/signal)
				}
			}
			for k := range images {
				d := make([]float64, len(st.X))
				copy(d[k*toySize:(k+1)*toySize], full.Gradient[k*toySize:(k+1)*toySize])
				square := lengthOf(d) * lengthOf(d)
				h := 0.02 / math.Sqrt(square)
				at := func(side float64) float64 {
					other := st
					other.X = moved(st.X, side, d)
					a, err := s.LookAhead(t.Context(), g, other)
					if err != nil {
						t.Fatal(err)
					}
					return a.Scores[k]
				}
				if diff := (at(h) - at(-h)) / (2 * h); math.Abs(diff-square) > 0.01*square {
					t.Errorf("%s, step %d, image %d: slope %v, differences %v", sampler, st.Index, k, square, diff)
				}
			}
			if st, err = s.Take(full.Seen, s.stepNoise(false)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What belongs to a particle goes with it.
func TestAhead_Pick(t *testing.T) {
	p, g := bent(planOf(t, "ddim", 6, nil))
	s := searchOf(p, 1<<20, 5)
	st, err := s.Start(s.draw(3), 3)
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.LookAhead(t.Context(), g, st)
	if err != nil {
		t.Fatal(err)
	}
	picked, err := all.Pick(2, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.LookAhead(t.Context(), g, picked.State)
	if err != nil {
		t.Fatal(err)
	}
	for i := range again.Gradient {
		if again.Gradient[i] != picked.Gradient[i] || again.Scores[i/toySize] != picked.Scores[i/toySize] || again.Clean[i] != picked.Clean[i] {
			t.Fatalf("number %d: derivative %v goes with latents that have %v", i, picked.Gradient[i], again.Gradient[i])
		}
	}
}

// Steps of the optimisers are torch's.
func TestOptimisers(t *testing.T) {
	data, err := os.ReadFile("../tests/golden/optimisers.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Rows []struct {
			Name string
			Clip float64
			X    [][]float64
		}
	}
	if err := json.Unmarshal(data, &golden); err != nil || len(golden.Rows) != 3 {
		t.Fatal(err, len(golden.Rows))
	}
	for _, r := range golden.Rows {
		x, velocity, a := []float32{0.5, -1, 2, 0, -0.25}, make([]float64, 5), newAdam(5)
		for k, want := range r.X {
			g := make([]float64, 5)
			for i := range g {
				g[i] = math.Cos(float64(i)+0.7*float64(k))*float64(1+k%3) + float64(x[i])
			}
			cut(g, r.Clip)
			switch r.Name {
			case "adam":
				a.step(x, g, 0.01)
			case "nesterov":
				nesterov(x, velocity, g, 5, 0.9, k == 0)
			default:
				nesterov(x, velocity, g, 0.05, 0.9, k == 0)
			}
			for i := range want {
				if math.Abs(float64(x[i])-want[i]) > 2e-5 {
					t.Errorf("%s, step %d: number %d is %v, torch has %v", r.Name, k+1, i, x[i], want[i])
				}
			}
		}
	}
}
