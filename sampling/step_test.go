package sampling_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"winnow/internal/rng"
	"winnow/sampling"
)

// everySampler is a plan of each sampler with clipping out of the way and 12 steps.
func everySampler(t testing.TB) map[string]*sampling.Plan {
	t.Helper()
	out := map[string]*sampling.Plan{}
	for _, info := range sampling.Samplers() {
		cfg, err := sampling.NewConfig(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := sampling.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		out[info.Name] = planOf(t, s, 12, &sampling.PlanOptions{Eta: 0.5})
	}
	return out
}

func toyStep(t *testing.T, p *sampling.Plan, st sampling.State, noise []float32) (sampling.State, []float32) {
	t.Helper()
	in, out := make([]float32, len(st.X)), make([]float32, len(st.X))
	p.Input(in, st)
	if err := toyNetwork(t.Context(), out, in, p.Timesteps[st.Index]); err != nil {
		t.Fatal(err)
	}
	next, clean, err := p.Step(st, out, noise)
	if err != nil {
		t.Fatal(err)
	}
	return next, clean
}

// A step leaves its input as it is, so a kept state can be gone on from again, with the same result.
func TestStepIsPure(t *testing.T) {
	for name, p := range everySampler(t) {
		t.Run(name, func(t *testing.T) {
			noise := make([]float32, goldenNumbers)
			rng.New(1).Normal(noise[:8])
			st, err := p.Start(toyStart(), goldenImages)
			if err != nil {
				t.Fatal(err)
			}
			var kept []sampling.State
			var results [][]float32
			for range p.Len() {
				kept = append(kept, st)
				st, _ = toyStep(t, p, st, noise)
				results = append(results, slices.Clone(st.X))
			}
			for i := len(kept) - 1; i >= 0; i-- {
				again, _ := toyStep(t, p, kept[i], noise)
				if !slices.Equal(again.X, results[i]) {
					t.Fatalf("step %d gives %v the second time, %v before", i, again.X, results[i])
				}
				cloned := kept[i].Clone()
				clear(cloned.X)
				if again, _ = toyStep(t, p, kept[i], noise); !slices.Equal(again.X, results[i]) {
					t.Fatalf("step %d changed when a clone was written to", i)
				}
			}
		})
	}
}

// Images of a batch do not influence each other, and Select takes their whole state along.
func TestSelectCommutesWithStep(t *testing.T) {
	for name, p := range everySampler(t) {
		t.Run(name, func(t *testing.T) {
			size := goldenNumbers / goldenImages
			both, err := p.Start(toyStart(), goldenImages)
			if err != nil {
				t.Fatal(err)
			}
			noise := toyStart()
			for i := range p.Len() {
				swapped, err := both.Select(1, 0, 1)
				if err != nil {
					t.Fatal(err)
				}
				next, _ := toyStep(t, p, both, noise)
				other, _ := toyStep(t, p, swapped, slices.Concat(noise[size:], noise[:size], noise[size:]))
				want := slices.Concat(next.X[size:], next.X[:size], next.X[size:])
				if !slices.Equal(other.X, want) {
					t.Fatalf("step %d: %v after selecting, want %v", i, other.X, want)
				}
				both = next
			}
		})
	}
}

func TestSelectRefusesWrongImages(t *testing.T) {
	p := everySampler(t)["ddim"]
	st, err := p.Start(toyStart(), goldenImages)
	if err != nil {
		t.Fatal(err)
	}
	for _, pick := range [][]int{{}, {-1}, {2}} {
		if _, err := st.Select(pick...); err == nil {
			t.Errorf("Select(%v) gives no error", pick)
		}
	}
}

// A run resumed in the middle has no history, so multistep samplers begin again with first order.
func TestResumeBeginsWithFirstOrder(t *testing.T) {
	p := planOf(t, stable(t, "dpmpp-2m", nil), 20, nil)
	for i := range p.Len() {
		first, err := p.Row(i, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(first.Past) != 0 {
			t.Fatalf("step %d of a resumed run looks at %d earlier steps", i, len(first.Past))
		}
		st, err := p.Resume(i, toyStart(), goldenImages)
		if err != nil {
			t.Fatal(err)
		}
		if next, _ := toyStep(t, p, st, nil); next.Calls != 1 || next.Index != i+1 {
			t.Fatalf("state after one step: %+v", next)
		}
	}
	if _, err := p.Resume(p.Len(), toyStart(), 1); err == nil {
		t.Error("resuming behind the last step gives no error")
	}
	prk := planOf(t, stable(t, "pndm", nil), 20, nil)
	if _, err := prk.Resume(3, toyStart(), 1); err == nil {
		t.Error("resuming inside the Runge-Kutta warm-up gives no error")
	}
}

func TestAddNoiseGivesTheLevel(t *testing.T) {
	for name, p := range everySampler(t) {
		clean, noise := []float32{1, 0}, []float32{0, 1}
		for i := range p.Len() {
			dst := make([]float32, 2)
			p.AddNoise(dst, clean, noise, i)
			signal, level := p.Level(i)
			if dst[0] != float32(signal) || dst[1] != float32(level) {
				t.Fatalf("%s step %d: %v, want %v %v", name, i, dst, signal, level)
			}
			if sigma := level / signal; math.Abs(sigma-p.Sigmas[i]) > 1e-6*sigma {
				t.Fatalf("%s step %d: sigma %v, want %v", name, i, p.Sigmas[i], sigma)
			}
		}
	}
}

func TestStepRefusesWrongInput(t *testing.T) {
	plans := everySampler(t)
	p := plans["euler-a"]
	st, err := p.Start(toyStart(), goldenImages)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float32, goldenNumbers)
	cases := map[string]func() error{
		"short output": func() error { _, _, err := p.Step(st, out[:3], out); return err },
		"no noise":     func() error { _, _, err := p.Step(st, out, nil); return err },
		"odd images":   func() error { _, err := p.Start(out, 3); return err },
		"no latents":   func() error { _, err := p.Start(nil, 1); return err },
		"behind the end": func() error {
			end := st
			end.Index = p.Len()
			_, _, err := p.Step(end, out, out)
			return err
		},
		"no history": func() error {
			q := plans["dpmpp-2m"]
			_, _, err := q.Step(sampling.State{Index: 3, Calls: 3, Images: 1, X: out}, out, nil)
			return err
		},
		"no saved latents": func() error {
			q := planOf(t, stable(t, "pndm", map[string]any{"skip_prk_steps": true}), 5, nil)
			st, err := q.Start(out, 1)
			if err != nil {
				t.Fatal(err)
			}
			st, _, err = q.Step(st, out, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = q.Step(sampling.State{Index: 1, Calls: 1, Images: 1, X: st.X}, out, nil)
			return err
		},
	}
	for name, f := range cases {
		if f() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRunStops(t *testing.T) {
	p := everySampler(t)["ddim"]
	x := toyStart()
	t.Run("when the context ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		model := func(_ context.Context, dst, _ []float32, _ float64) error {
			clear(dst)
			if calls++; calls == 3 {
				cancel()
			}
			return nil
		}
		noise := sampling.NewNoise(1)
		if _, err := sampling.Sample(ctx, p, x, goldenImages, model, &sampling.Options{Noise: noise}); !errors.Is(err, context.Canceled) || calls != 3 {
			t.Errorf("error %v after %d calls", err, calls)
		}
	})
	t.Run("when the model fails", func(t *testing.T) {
		boom := errors.New("boom")
		_, err := sampling.Sample(t.Context(), p, x, 1, func(context.Context, []float32, []float32, float64) error { return boom }, nil)
		if !errors.Is(err, boom) || !strings.Contains(err.Error(), "step 1 of 12") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("when the observer wants it", func(t *testing.T) {
		enough := errors.New("enough")
		opt := &sampling.Options{Noise: sampling.NewNoise(1), OnStep: func(s sampling.Step) error {
			if s.Index == 1 {
				return enough
			}
			return nil
		}}
		if _, err := sampling.Sample(t.Context(), p, x, 1, toyNetwork, opt); !errors.Is(err, enough) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("when numbers are no numbers", func(t *testing.T) {
		model := func(_ context.Context, dst, _ []float32, tt float64) error {
			clear(dst)
			if tt < p.Timesteps[4]+1 {
				dst[5] = float32(math.NaN())
			}
			return nil
		}
		_, err := sampling.Sample(t.Context(), p, x, 1, model, &sampling.Options{Noise: sampling.NewNoise(1)})
		bad, ok := errors.AsType[*sampling.NonFiniteError](err)
		if !ok || bad.Step != 4 || bad.Position != 5 || !bad.Output {
			t.Errorf("error %v", err)
		}
	})
	t.Run("without noise where it is needed", func(t *testing.T) {
		if _, err := sampling.Sample(t.Context(), p, x, 1, toyNetwork, nil); err == nil {
			t.Error("no error")
		}
	})
}

// OnStep may change the latents in place; the run goes on from there.
func TestObserverMaySteer(t *testing.T) {
	p := planOf(t, stable(t, "euler", nil), 6, nil)
	opt := &sampling.Options{OnStep: func(s sampling.Step) error {
		clear(s.Next.X)
		return nil
	}}
	inputs := 0
	model := func(ctx context.Context, dst, x []float32, tt float64) error {
		if tt < 999 {
			for _, v := range x {
				if v != 0 {
					return fmt.Errorf("input %v", x)
				}
			}
			inputs++
		}
		return toyNetwork(ctx, dst, x, tt)
	}
	if _, err := sampling.Sample(t.Context(), p, toyStart(), 1, model, opt); err != nil || inputs != 5 {
		t.Errorf("%d inputs, error %v", inputs, err)
	}
}

func TestNoiseStreams(t *testing.T) {
	two, one := make([]float32, 40), make([]float32, 20)
	sampling.NewNoise(5, 6)(two, 0, 0)
	for i, seed := range []uint64{5, 6} {
		rng.New(seed).Normal(one)
		if !slices.Equal(two[20*i:20*i+20], one) {
			t.Errorf("image %d does not come from the stream of seed %d", i, seed)
		}
	}
	rng.New(5).Normal(two)
	single := make([]float32, 40)
	sampling.NewNoise(5)(single, 0, 0)
	if !slices.Equal(single, two) {
		t.Error("one seed does not fill the whole batch from one stream")
	}
}

func BenchmarkStep(b *testing.B) {
	for name, p := range everySampler(b) {
		b.Run("sampler="+name, func(b *testing.B) {
			x := make([]float32, 4*64*64)
			st, err := p.Resume(0, x, 1)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, _, err := p.Step(st, x, x); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
