package training

import (
	"context"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"winnow/dpo"
	"winnow/internal/monitor"
	"winnow/internal/optim"
)

// pathConfig is a run on paths of four steps.
func pathConfig(method string) Config {
	return Config{
		Method: method, BatchSize: 2, Steps: 100, Rank: 2, Seed: 5, LearningRate: 1e-3, Targets: []string{"attn2.to_v", "attn1.to_out.0"},
		Siblings: Siblings{Prompts: []string{"a red circle", "a blue square", "two green stars"}, Reward: byRedness(), Steps: 4, Paths: 2, Guidance: 3},
	}
}

// negated is a reward with the other sign, that counts the pictures that it is asked about.
func negated(r Reward, asked *int) Reward {
	score := r.Score
	r.Score = func(ctx context.Context, prompts []string, pictures []image.Image) ([]float64, error) {
		*asked += len(pictures)
		out, err := score(ctx, prompts, pictures)
		for i := range out {
			out[i] = -out[i]
		}
		return out, err
	}
	return r
}

// begunOn opens a trainer that makes its own pictures.
func begunOn(t *testing.T, model string, c Config) *Trainer {
	t.Helper()
	tr := openModel(t, model, c)
	if err := tr.Begin(nil); err != nil {
		t.Fatal(err)
	}
	return tr
}

// batchGradient is the derivative of the first batch of a run.
func batchGradient(t *testing.T, tr *Trainer) ([]float32, Metrics) {
	t.Helper()
	var m Metrics
	optim.ZeroGrad(tr.params)
	s, err := tr.source.batch(t.Context(), 0)
	if err == nil {
		err = tr.learn(t.Context(), s, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.mean(1)
	var all []float32
	for _, p := range tr.params {
		all = append(all, p.Grad...)
	}
	return all, m
}

// Where the policy is still the one that drew the paths, every density ratio is 1 and the loss minus the mean advantage, but there is
// something to learn; and flipped rewards teach the opposite.
func TestPaths_fresh(t *testing.T) {
	for _, method := range []string{"ddpo", "flow-grpo", "d3po"} {
		c := pathConfig(method)
		there, m := batchGradient(t, begunOn(t, Mini, c))
		want := 0.0
		if method == "d3po" {
			want = math.Ln2
		}
		if math.Abs(m.Loss-want) > 1e-6 || math.Abs(m.Chosen) > 1e-6 || m.Saturated != 0 {
			t.Errorf("%s: loss %v, want %v; log ratio %v, clipped %v", method, m.Loss, want, m.Chosen, m.Saturated)
		}
		if m.Samples != 4 || !(m.Spread > 0) {
			t.Errorf("%s: %d samples with spread %v", method, m.Samples, m.Spread)
		}
		asked := 0
		c.Siblings.Reward = negated(c.Siblings.Reward, &asked)
		back, _ := batchGradient(t, begunOn(t, Mini, c))
		for i := range back {
			back[i] = -back[i]
		}
		if d := apart(back, there); !(d < 1e-5) || asked != 4 {
			t.Errorf("%s: flipped rewards are off by %.1e of the opposite; %d pictures scored", method, d, asked)
		}
	}
}

// Two paths that are one teach nothing.
func TestPaths_same(t *testing.T) {
	tr := begunOn(t, Mini, pathConfig("d3po"))
	p := tr.source.(*paths)
	if _, err := p.batch(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	gradient := func(rejected int) []float32 {
		d := &deeds{pairs: true, of: 1}
		for _, i := range []int{0, rejected} {
			one, err := p.act(&p.held[0], i, 1)
			if err != nil {
				t.Fatal(err)
			}
			d.acts = append(d.acts, one)
		}
		if err := d.ready(t.Context(), tr); err != nil {
			t.Fatal(err)
		}
		all, m := gradientOf(t, tr, d)
		if math.Abs(m.Loss-math.Ln2) > 1e-9 {
			t.Errorf("loss %v", m.Loss)
		}
		return all
	}
	size := func(v []float32) float64 { return math.Sqrt(dot(v, v)) }
	if same, other := size(gradient(0)), size(gradient(1)); same > 1e-6*other || other == 0 {
		t.Errorf("one path twice: gradient %g, two paths %g", same, other)
	}
}

// The derivative is that of the loss, with the divergence from the reference and away from the policy that drew the paths.
func TestPaths_differences(t *testing.T) {
	for _, method := range []string{"flow-grpo", "ddpo", "d3po"} {
		t.Run(method, func(t *testing.T) {
			c := pathConfig(method)
			c.Settings = dpo.Settings{Clip: 0.9}
			if method == "flow-grpo" {
				c.Settings.KL = 0.7
			}
			c.Siblings.First = 3 // the last step has little noise, and densities that bend
			tr := begunOn(t, Mini, c)
			s, err := tr.source.batch(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			one := s.(*parts).rest[0]
			r := rand.New(rand.NewPCG(1, 2))
			for _, p := range tr.params {
				for i := range p.Value {
					p.Value[i] += float32(0.03 * r.NormFloat64())
				}
			}
			one.(*deeds).of = 1
			grad, m := gradientOf(t, tr, one)
			if m.Saturated > 0.5 {
				t.Fatalf("%v of the steps are clipped", m.Saturated)
			}
			length := math.Sqrt(dot(grad, grad))
			difference := func(h float64) float64 {
				return (lossAt(t, tr, one, grad, h/length) - lossAt(t, tr, one, grad, -h/length)) / (2 * h)
			}
			if got := (4*difference(0.02) - difference(0.04)) / 3; math.Abs(got-length) > 1e-3*length {
				t.Errorf("along the gradient the derivative is %v, differences say %v", length, got)
			}
		})
	}
}

// A run that goes on from a checkpoint behind any update ends with the same bytes, and asks no reward about pictures that had theirs.
func TestPaths_resume(t *testing.T) {
	for _, method := range []string{"ddpo", "d3po"} {
		t.Run(method, func(t *testing.T) {
			const last = 6
			asked := 0
			c := pathConfig(method)
			c.Accumulation, c.Siblings.Inner, c.Siblings.Learn, c.Steps = 2, 2, 3, last // four updates a round
			c.Siblings.Reward = negated(c.Siblings.Reward, &asked)
			folder := t.TempDir()
			tr := begunOn(t, Mini, c)
			for range last {
				step(t, tr)
				if _, err := tr.save(folder, monitor.GuardState{}); err != nil {
					t.Fatal(err)
				}
			}
			if asked != 2*8 {
				t.Errorf("%d pictures scored in two rounds", asked)
			}
			for from := 1; from < last; from++ {
				asked = 0
				again := begunOn(t, Mini, c)
				if err := again.Resume(folder, fmt.Sprint("checkpoint-", from)); err != nil {
					t.Fatal(err)
				}
				for again.done < last {
					step(t, again)
				}
				for i, p := range tr.params {
					if !slices.Equal(p.Value, again.params[i].Value) {
						t.Fatalf("from step %d on: %s differs", from, p.Name)
					}
				}
				if want := map[bool]int{true: 8}[from <= 4]; asked != want {
					t.Errorf("from step %d on: %d pictures scored, want %d", from, asked, want)
				}
				if a, b := tr.source.(*paths).last, again.source.(*paths).last; fmt.Sprint(a) != fmt.Sprint(b) {
					t.Errorf("from step %d on: last rewards %v, want %v", from, b, a)
				}
			}
		})
	}
}

func step(t *testing.T, tr *Trainer) Metrics {
	t.Helper()
	m, err := tr.Step(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// DDPO measures rewards by the last ones of their prompt where there are enough, else by all of the round; groups by themselves alone.
func TestPaths_advantages(t *testing.T) {
	method := func(name string) *paths {
		m, err := dpo.FindMethod(name)
		if err != nil {
			t.Fatal(err)
		}
		return &paths{t: &Trainer{method: m}, last: map[int][]float64{}}
	}
	near := func(what string, got, want []float64) {
		t.Helper()
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-3 {
				t.Errorf("%s: %v, want %v", what, got, want)
				return
			}
		}
	}
	p := method("ddpo")
	near("few", p.advantages(7, []float64{3, 5}, []float64{1, 3}), []float64{1, 3}) // mean 2, deviation 1
	for k := range 7 {
		p.advantages(7, []float64{float64(k % 2), float64(k % 2)}, []float64{0, 1})
	}
	if n := len(p.last[7]); n != 16 {
		t.Fatalf("%d rewards are kept", n)
	}
	rewards := []float64{2, 4}
	last := append(slices.Clone(p.last[7]), rewards...)
	near("enough", p.advantages(7, rewards, []float64{100, 200}), dpo.Advantages(rewards, last, 1e-8))
	for range 20 {
		p.advantages(7, rewards, nil)
	}
	if n := len(p.last[7]); n != dpo.BufferedRewards {
		t.Errorf("%d rewards are kept", n)
	}
	near("group", method("flow-grpo").advantages(7, []float64{3, 5}, []float64{1, 3}), []float64{-0.9999, 0.9999})
}

// Flows are sampled with noise, so that all methods learn from their steps.
func TestPaths_flow(t *testing.T) {
	dir := withScheduler(t, "sd2", []byte(shifted))
	for _, method := range []string{"flow-grpo", "ddpo", "d3po", "tailorpo", "spo"} {
		c := pathConfig(method)
		c.Size, c.Siblings.Learn, c.Siblings.Skip, c.Siblings.Threshold = Size{32, 32}, 2, -1, -1
		if method == "flow-grpo" {
			c.Settings.KL = 0.04
		}
		tr := begunOn(t, dir, c)
		for range 3 {
			if m := step(t, tr); m.GradNorm == 0 || math.IsNaN(m.Loss) {
				t.Errorf("%s: %+v", method, m)
			}
		}
	}
}
