package sampling_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"winnow/sampling"
)

// invertGolden is tests/golden/invert.json, written by tests/oracle/invert.py, which describes it.
type invertGolden struct {
	Trajectories, Averages []struct {
		Config           string
		Levels           int
		Timesteps        []float64
		Method           string
		Iterations, From int
		X                string
	}
	RoundTrips []struct {
		Levels    int
		Method    string
		Top, Back float64
	}
	Flow []struct {
		Sigmas           []float64
		Method           string
		Iterations, From int
		X, Back          string
	}
}

func readInvertGolden(t *testing.T) invertGolden {
	t.Helper()
	data, err := os.ReadFile("../tests/golden/invert.json")
	if err != nil {
		t.Fatal(err)
	}
	var g invertGolden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func inversionGrid(t *testing.T, config string, levels int) *sampling.InversionGrid {
	t.Helper()
	s, err := sampling.ReadScheduler(strings.NewReader(config))
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.InversionGrid(levels)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// rowToy is toyNetwork for chosen rows.
func rowToy(ctx context.Context, dst, x []float32, _ []int, t float64) error {
	return toyNetwork(ctx, dst, x, t)
}

// climbed inverts two images to the top and compares every step.
func climbed(t *testing.T, name string, g *sampling.InversionGrid, o sampling.InvertOptions, want []float64) sampling.Inverted {
	t.Helper()
	steps := 0
	o.OnStep = func(level int, rows []int, x []float32) error {
		w := make([]float32, goldenNumbers)
		for i := range w {
			w[i] = float32(want[(level-1)*goldenNumbers+i])
		}
		if e := relativeError(x, w); e > trajectoryTolerance {
			t.Errorf("%s: level %d of %d: %v, want %v (deviation %.2g)", name, level, g.Len(), x, w, e)
		}
		steps++
		return nil
	}
	top := slices.Repeat([]int{g.Len()}, goldenImages)
	got, err := g.Invert(context.Background(), rowToy, toyStart(), top, o)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if steps != g.Len() || steps*goldenNumbers != len(want) {
		t.Errorf("%s: %d steps, want %d", name, steps, len(want)/goldenNumbers)
	}
	for _, nfe := range got.NFE {
		if nfe != o.NFE(g.Len()) {
			t.Errorf("%s: NFE %d, want %d", name, nfe, o.NFE(g.Len()))
		}
	}
	return got
}

func TestInversionsEqualDiffusers(t *testing.T) {
	golden := readInvertGolden(t)
	for _, c := range golden.Trajectories {
		g := inversionGrid(t, c.Config, c.Levels)
		if !reflect.DeepEqual(g.Timesteps, c.Timesteps) {
			t.Fatalf("%s, %d levels: timesteps %v, diffusers has %v", c.Config, c.Levels, g.Timesteps, c.Timesteps)
		}
		climbed(t, c.Config, g, sampling.InvertOptions{}, decode64(t, c.X))
	}
	for _, c := range golden.Averages {
		o := sampling.InvertOptions{Method: c.Method, Iterations: c.Iterations}
		if c.Method == sampling.InvertReNoise {
			o.AverageFrom = c.From
		}
		climbed(t, c.Method+" "+c.Config, inversionGrid(t, c.Config, c.Levels), o, decode64(t, c.X))
	}
	if len(golden.Trajectories) < 30 || len(golden.Averages) < 20 {
		t.Errorf("%d and %d cases", len(golden.Trajectories), len(golden.Averages))
	}
}

func TestFlowInversions(t *testing.T) {
	for _, c := range readInvertGolden(t).Flow {
		timesteps := make([]float64, len(c.Sigmas))
		for i, s := range c.Sigmas {
			timesteps[i] = 1000 * s
		}
		g, err := sampling.FlowInversionGrid(c.Sigmas, timesteps)
		if err != nil {
			t.Fatal(err)
		}
		o := sampling.InvertOptions{Method: c.Method, Iterations: c.Iterations}
		got := climbed(t, "flow "+c.Method, g, o, decode64(t, c.X))
		back, err := g.Reconstruct(context.Background(), rowToy, got.X, slices.Repeat([]int{g.Len()}, goldenImages))
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float32, goldenNumbers)
		for i, v := range decode64(t, c.Back) {
			want[i] = float32(v)
		}
		if e := relativeError(back, want); e > trajectoryTolerance {
			t.Errorf("%s, %d levels: back at %v, want %v", c.Method, g.Len(), back, want)
		}
	}
}

const sdOffset1 = `{"_class_name":"DDIMScheduler","beta_start":0.00085,"beta_end":0.012,"beta_schedule":"scaled_linear",` +
	`"steps_offset":1,"set_alpha_to_one":false,"clip_sample":false}`

// The table of round trips: x = 1, network 0.5·x.
func TestRoundTripErrors(t *testing.T) {
	half := func(_ context.Context, dst, x []float32, _ []int, _ float64) error {
		for i, v := range x {
			dst[i] = v / 2
		}
		return nil
	}
	misses := map[string][]float64{}
	for _, c := range readInvertGolden(t).RoundTrips {
		g, levels := inversionGrid(t, sdOffset1, c.Levels), []int{c.Levels}
		up, err := g.Invert(context.Background(), half, []float32{1}, levels, sampling.InvertOptions{Method: c.Method})
		if err != nil {
			t.Fatal(err)
		}
		back, err := g.Reconstruct(context.Background(), half, up.X, levels)
		if err != nil {
			t.Fatal(err)
		}
		if d := math.Abs(float64(up.X[0]) - c.Top); d > 3e-6 {
			t.Errorf("%s, %d levels: top %v, want %v", c.Method, c.Levels, up.X[0], c.Top)
		}
		if d := math.Abs(float64(back[0]) - c.Back); d > 3e-6 {
			t.Errorf("%s, %d levels: back at %v, want %v", c.Method, c.Levels, back[0], c.Back)
		}
		misses[c.Method] = append(misses[c.Method], math.Abs(float64(back[0])-1))
	}
	// From 50 to 100 levels the error of the first two halves, that of the third falls to a quarter.
	for method, order := range map[string]float64{sampling.InvertDDIM: 1, sampling.InvertReNoise: 1, sampling.InvertFixedPoint: 2} {
		m := misses[method]
		if got := math.Log2(m[3] / m[4]); math.Abs(got-order) > 0.15 {
			t.Errorf("%s: errors %.5f fall with order %.2f, want %v", method, m, got, order)
		}
	}
}

// One scalar by hand-checked numbers: leading, offset 1, five levels.
func TestInvertScalar(t *testing.T) {
	network := func(_ context.Context, dst, x []float32, _ []int, ts float64) error {
		dst[0] = float32(0.5*float64(x[0]) + 0.1*math.Sin(ts/100))
		return nil
	}
	want := []float64{1.005653, 1.147043, 1.052185, 0.871235, 0.706930}
	_, err := inversionGrid(t, sdOffset1, 5).Invert(context.Background(), network, []float32{1}, []int{5}, sampling.InvertOptions{
		OnStep: func(level int, _ []int, x []float32) error {
			if d := math.Abs(float64(x[0]) - want[level-1]); d > 1.5e-6 {
				t.Errorf("level %d: %v, want %v", level, x[0], want[level-1])
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// With noise that does not depend on x every method is the exact inverse of DDIM, and of PNDM, whose multistep rule averages equal
// numbers.
func TestConstantNoiseInvertsExactly(t *testing.T) {
	constant := func(_ context.Context, dst, _ []float32, _ []int, _ float64) error {
		for i := range dst {
			dst[i] = float32(math.Cos(float64(3 * i)))
		}
		return nil
	}
	x := toyStart()
	for _, class := range []string{"DDIMScheduler", "PNDMScheduler"} {
		text := strings.Replace(sdOffset1, "DDIMScheduler", class, 1)
		text = strings.Replace(text, `"clip_sample"`, `"skip_prk_steps":true,"clip_sample"`, 1)
		s, err := sampling.ReadScheduler(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		g, err := s.InversionGrid(20)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := s.Plan(20, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, method := range sampling.InvertMethods() {
			up, err := g.Invert(context.Background(), constant, x, []int{20, 20}, sampling.InvertOptions{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			// Steps of the sampler that lead to the levels below: PNDM's grid has one call more at the noisy end.
			back, err := sampling.Sample(context.Background(), plan, up.X, 2, func(ctx context.Context, dst, x []float32, t float64) error {
				return constant(ctx, dst, x, nil, t)
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if e := relativeError(back, x); e > 2e-5 {
				t.Errorf("%s by %s: the sampler comes back to %v from %v (%.2g)", class, method, back, x, e)
			}
			again, err := g.Reconstruct(context.Background(), constant, up.X, []int{20, 20})
			if err != nil {
				t.Fatal(err)
			}
			if e := relativeError(again, x); e > 2e-5 {
				t.Errorf("%s by %s: reconstruction %v of %v (%.2g)", class, method, again, x, e)
			}
		}
	}
}

// Reconstruct is the DDIM sampler: same latents from the same start, for every prediction type, even from pure noise.
func TestReconstructEqualsSampler(t *testing.T) {
	for _, c := range readInvertGolden(t).Trajectories {
		if c.Levels != 8 {
			continue
		}
		s, err := sampling.ReadScheduler(strings.NewReader(c.Config))
		if err != nil {
			t.Fatal(err)
		}
		plan, err := s.Plan(8, nil)
		if err != nil {
			t.Fatal(err)
		}
		want, err := sampling.Sample(context.Background(), plan, toyStart(), goldenImages, toyNetwork, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := inversionGrid(t, c.Config, 8).Reconstruct(context.Background(), rowToy, toyStart(), []int{8, 8})
		if err != nil {
			t.Fatal(err)
		}
		if e := relativeError(got, want); e > 1e-6 {
			t.Errorf("%s: %v, the sampler gives %v", c.Config, got, want)
		}
		// From a level in the middle, where the run stands before the step of that number.
		st, err := plan.Resume(3, toyStart(), goldenImages)
		if err != nil {
			t.Fatal(err)
		}
		if st, err = sampling.Run(context.Background(), plan, st, toyNetwork, nil); err != nil {
			t.Fatal(err)
		}
		if got, err = inversionGrid(t, c.Config, 8).Reconstruct(context.Background(), rowToy, toyStart(), []int{5, 5}); err != nil {
			t.Fatal(err)
		}
		if e := relativeError(got, st.X); e > 1e-6 {
			t.Errorf("%s from level 5: %v, the sampler gives %v", c.Config, got, st.X)
		}
	}
}

// Every image of a batch ends as it would alone, and those that have arrived cost nothing.
func TestInvertRows(t *testing.T) {
	const images, size = 4, 3
	x := make([]float32, images*size)
	for i := range x {
		x[i] = float32(math.Sin(float64(1 + i)))
	}
	g := inversionGrid(t, sdOffset1, 10)
	levels, calls := []int{3, 0, 10, 7}, 0
	network := func(_ context.Context, dst, x []float32, rows []int, ts float64) error {
		calls += len(rows)
		if len(x) != size*len(rows) || len(dst) != len(x) {
			t.Fatalf("%d numbers for rows %v", len(x), rows)
		}
		for i, row := range rows {
			for k := range size {
				dst[i*size+k] = x[i*size+k]*0.4 + float32(row) + float32(ts/1000) // depends on the image, as prompts do
			}
		}
		return nil
	}
	o := sampling.InvertOptions{Method: sampling.InvertFixedPoint, Iterations: 2}
	got, err := g.Invert(context.Background(), network, x, levels, o)
	if err != nil {
		t.Fatal(err)
	}
	if calls != 3*(3+10+7) || !slices.Equal(got.NFE, []int{9, 0, 30, 21}) {
		t.Errorf("%d evaluations, per image %v", calls, got.NFE)
	}
	back, err := g.Reconstruct(context.Background(), network, got.X, levels)
	if err != nil {
		t.Fatal(err)
	}
	for i, level := range levels {
		part := func(v []float32) []float32 { return v[i*size : (i+1)*size] }
		only := func(ctx context.Context, dst, x []float32, _ []int, ts float64) error {
			return network(ctx, dst, x, []int{i}, ts)
		}
		alone, err := g.Invert(context.Background(), only, part(x), []int{level}, o)
		if err != nil {
			t.Fatal(err)
		}
		down, err := g.Reconstruct(context.Background(), only, alone.X, []int{level})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(alone.X, part(got.X)) || !slices.Equal(down, part(back)) {
			t.Errorf("image %d: %v and %v in the batch, %v and %v alone", i, part(got.X), part(back), alone.X, down)
		}
	}
	errs, err := sampling.RootMeanSquare(x, back, images)
	if err != nil || errs[1] != 0 || !(errs[2] > 0) {
		t.Errorf("root mean squares %v, %v", errs, err)
	}
}

// Enough fixed-point iterations give the exact inverse.
func TestFixedPointConverges(t *testing.T) {
	g := inversionGrid(t, sdOffset1, 20)
	levels := []int{20, 20}
	o := sampling.InvertOptions{Method: sampling.InvertFixedPoint, Iterations: 60}
	up, err := g.Invert(context.Background(), rowToy, toyStart(), levels, o)
	if err != nil {
		t.Fatal(err)
	}
	back, err := g.Reconstruct(context.Background(), rowToy, up.X, levels)
	if err != nil {
		t.Fatal(err)
	}
	if e := relativeError(back, toyStart()); e > 2e-5 {
		t.Errorf("60 iterations miss by %.2g", e)
	}
}

// A network that answers with the target explains x as coming from the clean latents it was inverted from, in one step.
func TestInversionTargets(t *testing.T) {
	var flows []float64
	for k := range 10 {
		flows = append(flows, float64(k+1)/10)
	}
	grids := map[string]*sampling.InversionGrid{}
	for _, p := range []string{"epsilon", "v_prediction", "sample"} {
		grids[p] = inversionGrid(t, strings.Replace(sdOffset1, "{", `{"prediction_type":"`+p+`",`, 1), 10)
	}
	grids["flow"], _ = sampling.FlowInversionGrid(flows, flows)
	for name, g := range grids {
		clean, levels := toyStart(), []int{2, 9}
		up, err := g.Invert(context.Background(), rowToy, clean, levels, sampling.InvertOptions{Method: sampling.InvertReNoise})
		if err != nil {
			t.Fatal(err)
		}
		target := make([]float32, len(clean))
		if err := g.Target(target, up.X, clean, levels); err != nil {
			t.Fatal(err)
		}
		for i, level := range []int{2, 2, 2, 2, 9, 9, 9, 9} {
			a, s := g.Signal[level], g.Noise[level]
			x, o := float64(up.X[i]), float64(target[i])
			data := map[string]float64{"epsilon": (x - s*o) / a, "v_prediction": a*x - s*o, "sample": o, "flow": x - s*o}[name]
			if math.Abs(data-float64(clean[i])) > 2e-5 {
				t.Errorf("%s: target %v at level %d means %v, want %v", name, o, level, data, clean[i])
			}
		}
		if err := g.Target(target, up.X, clean, []int{0, 1}); err == nil {
			t.Errorf("%s: target of a clean image", name)
		}
	}
}

func TestInvertRefuses(t *testing.T) {
	ctx, g := context.Background(), inversionGrid(t, sdOffset1, 5)
	for name, o := range map[string]sampling.InvertOptions{
		"method": {Method: "edict"}, "iterations": {Method: "renoise", Iterations: -1}, "window": {Method: "renoise", AverageFrom: 2},
		"too many": {Method: "fixed-point", Iterations: 1 << 20},
	} {
		if _, err := g.Invert(ctx, rowToy, toyStart(), []int{5, 5}, o); err == nil || o.Check() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, levels := range [][]int{nil, {6, 1}, {-1, 1}, {1, 1, 1}} {
		if _, err := g.Invert(ctx, rowToy, toyStart(), levels, sampling.InvertOptions{}); err == nil {
			t.Errorf("levels %v: no error", levels)
		}
	}
	for _, sigmas := range [][]float64{nil, {0.5, 0.5}, {0, 1}, {0.5, 1.5}, {math.NaN()}} {
		if _, err := sampling.FlowInversionGrid(sigmas, sigmas); err == nil {
			t.Errorf("sigmas %v: no error", sigmas)
		}
	}
	broken := func(_ context.Context, dst, _ []float32, _ []int, _ float64) error {
		dst[len(dst)-1] = float32(math.NaN())
		return nil
	}
	var nan *sampling.NonFiniteError
	_, err := g.Invert(ctx, broken, toyStart(), []int{0, 5}, sampling.InvertOptions{})
	if !errors.As(err, &nan) || !nan.Output || !strings.Contains(err.Error(), "image 1") {
		t.Errorf("NaN: %v", err)
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := g.Invert(stopped, rowToy, toyStart(), []int{1, 1}, sampling.InvertOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
