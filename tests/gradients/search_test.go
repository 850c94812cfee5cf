package gradients

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"testing"

	"winnow/assets"
	"winnow/internal/ldm"
	"winnow/internal/model"
	"winnow/internal/safetensors"
	"winnow/internal/tensor"
	"winnow/rewards"
	"winnow/sampling"
)

// climbing is a pipeline with a reward, and what tests/oracle/search_gradients.py says of them.
type climbing struct {
	ldm     *ldm.Pipeline
	side    int // of the latents
	width   int // of the embeddings
	golden  map[string]tensor.Tensor
	problem sampling.Problem
	full    sampling.Gradients
	at      int // step of the golden timestep
}

// wave repeats wave() of the oracle.
func wave(n int, step, size float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(size * math.Sin(step*float64(i)+0.1))
	}
	return v
}

var climbingWidths = map[string]int{"sd15": 32, "sd2": 32, "sdxl": 72, "mini": 96}

func openClimbing(t *testing.T, name string) *climbing {
	t.Helper()
	f, err := safetensors.Read("testdata/search.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	var about struct {
		Prompt            string
		Timestep          float64
		Guidance, Rescale float64
	}
	if err := json.Unmarshal([]byte(f.Metadata["about"]), &about); err != nil {
		t.Fatal(err)
	}
	c := &climbing{side: 8, width: climbingWidths[name], golden: withPrefix(f, name+".")}
	folder, reward, rewardFolder := model.FSFolder(assets.Mini(), "mini"), rewards.Mini, ""
	if name != "mini" {
		folder, reward, rewardFolder = model.FSFolder(os.DirFS("../tiny/"+name), name), rewards.CLIP, "../tiny/clip"
	}
	if c.ldm, err = ldm.Open(t.Context(), folder, ldm.Options{}); err != nil {
		t.Fatal(err)
	}
	judge, err := rewards.Open(t.Context(), reward, rewardFolder, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.ldm.Close(); judge.Close() })
	c.full = sampling.Gradients{
		Verify: func(ctx context.Context, x []float32, images int) ([]float64, []float32, error) {
			return c.ldm.DecodeGradient(ctx, x, images, c.side, c.side, func(ctx context.Context, pixels []float32, w, h int) (float64, []float32, error) {
				return judge.PixelGradient(ctx, about.Prompt, pixels, w, h)
			})
		},
		Network: c.ldm.Pullback(c.guidance(about.Guidance, about.Rescale)),
	}
	c.plan(t, about.Timestep)
	return c
}

// embeds are those of the oracle: step 0.53 for the negative prompt, 0.29 for the positive.
func (c *climbing) embeds(step float64) ldm.Embeds {
	e := ldm.Embeds{Hidden: tensor.FromF32(wave(32*c.width, step, 1), 1, 32, c.width)}
	if c.ldm.XL {
		e.Pooled = tensor.FromF32(wave(24, step, 0.5), 1, 24)
	}
	return e
}

func (c *climbing) guidance(scale, rescale float64) ldm.Guidance {
	return ldm.Guidance{
		Positive: c.embeds(0.29), Negative: c.embeds(0.53), ByPositive: scale, ByNegative: 1 - scale, Rescale: rescale,
		Height: c.side, Width: c.side,
	}
}

// plan is DDIM with a step at the timestep.
func (c *climbing) plan(t *testing.T, timestep float64) {
	t.Helper()
	cfg, err := c.ldm.Scheduler.As("ddim")
	if err != nil {
		t.Fatal(err)
	}
	sched, err := sampling.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := sched.Plan(10, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.at = slices.Index(plan.Timesteps, timestep); c.at < 0 {
		t.Fatalf("no step at %v: %v", timestep, plan.Timesteps)
	}
	// Forward passes are those of the way back, with no way back.
	forward := func(ctx context.Context, dst, x []float32, t float64) error {
		stop := errors.New("forward only")
		if _, err := c.full.Network(ctx, dst, x, t, func() ([]float32, error) { return nil, stop }); !errors.Is(err, stop) {
			return err
		}
		return nil
	}
	c.problem = sampling.Problem{
		Plan: plan, Size: 4 * c.side * c.side, Model: forward, NFE: 2, Batch: 2,
		Verify: func(ctx context.Context, x []float32, images int) ([]float64, error) {
			scores, _, err := c.full.Verify(ctx, x, images)
			return scores, err
		},
	}
}

// ahead looks ahead from latents at the golden timestep.
func (c *climbing) ahead(t *testing.T, g sampling.Gradients, x []float32, images int) (out sampling.Ahead) {
	t.Helper()
	_, err := sampling.RunSearch(t.Context(), c.problem, func(ctx context.Context, s *sampling.Search) error {
		st, err := c.problem.Plan.Resume(c.at, x, images)
		if err != nil {
			return err
		}
		out, err = s.LookAhead(ctx, g, st)
		return err
	}, sampling.SearchOptions{Budget: 100})
	if !errors.Is(err, sampling.ErrNoScore) {
		t.Fatal(err)
	}
	return out
}

// TestSearchGradients compares derivatives of a reward with respect to latents with torch.autograd: of clean ones through the
// decoder, and of noisy ones through the prediction under guidance, in full and with the predicted noise for constant.
func TestSearchGradients(t *testing.T) {
	for name := range climbingWidths {
		t.Run(name, func(t *testing.T) {
			c := openClimbing(t, name)
			shape, n := []int{1, 4, c.side, c.side}, 4*c.side*c.side
			scores, decoded, err := c.full.Verify(t.Context(), wave(n, 0.37, 0.8), 1)
			if err != nil {
				t.Fatal(err)
			}
			score := []float32{float32(scores[0])}
			xt := wave(n, 0.61, 1.3)
			full := c.ahead(t, c.full, slices.Concat(xt, xt, xt), 3)
			cheap := c.ahead(t, sampling.Gradients{Verify: c.full.Verify}, xt, 1)
			near(t, map[string]tensor.Tensor{"score": tensor.FromF32(score)}, map[string]tensor.Tensor{"score": c.golden["score"]}, forwardTolerance)
			near(t, map[string]tensor.Tensor{"output": tensor.FromF32(full.Output[:n], shape...)},
				map[string]tensor.Tensor{"output": c.golden["output"]}, forwardTolerance)
			got := map[string]tensor.Tensor{"decoded": tensor.FromF32(decoded, shape...), "cheap": tensor.FromF32(narrow(cheap.Gradient), shape...)}
			for k := range 3 { // in batches of two pictures and of one
				got["full"] = tensor.FromF32(narrow(full.Gradient[k*n:(k+1)*n]), shape...)
				near(t, got, map[string]tensor.Tensor{"decoded": c.golden["decoded"], "cheap": c.golden["cheap"], "full": c.golden["full"]}, gradientTolerance)
			}
		})
	}
}

func narrow(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

// TestSearchGradients_differences moves noisy latents along the full derivative and measures the score.
func TestSearchGradients_differences(t *testing.T) {
	for _, name := range []string{"sd15", "sd2"} {
		c := openClimbing(t, name)
		x := wave(4*c.side*c.side, 0.43, 1.1)
		slope := c.ahead(t, c.full, x, 1).Gradient
		square := 0.0
		for _, v := range slope {
			square += v * v
		}
		at := func(side float64) float64 {
			moved := make([]float32, len(x))
			for i, v := range slope {
				moved[i] = float32(float64(x[i]) + side*v)
			}
			return c.ahead(t, c.full, moved, 1).Scores[0]
		}
		h := 0.001 / math.Sqrt(square)
		if diff := (at(h) - at(-h)) / (2 * h); math.Abs(diff-square) > 0.02*square {
			t.Errorf("%s: slope %v, differences %v", name, square, diff)
		} else {
			t.Logf("%s: slope %v, differences %v", name, square, diff)
		}
	}
}

// TestSearchGradients_climb: a few steps up the embedded model's reward improve a picture.
func TestSearchGradients_climb(t *testing.T) {
	c := openClimbing(t, "mini")
	sched := c.problem.Plan.Scheduler()
	var err error
	if c.problem.Plan, err = sched.Plan(4, nil); err != nil {
		t.Fatal(err)
	}
	const pictures = 12 // what the budget would pay for without climbing
	f, err := sampling.RunSearch(t.Context(), c.problem, sampling.ReNO(c.full, sampling.ReNOOptions{Rate: 20}),
		sampling.SearchOptions{Budget: pictures * 8, Seed: 1})
	if err != nil || f.Score < f.First+0.3 || f.NFE > pictures*8 {
		t.Errorf("score %v after %v with %d evaluations, %v", f.Score, f.First, f.NFE, err)
	}
	t.Logf("%v after %v; %d evaluations, %d calls", f.Score, f.First, f.NFE, f.Calls)
}
