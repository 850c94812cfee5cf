package optim

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/internal/kernel"
	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// mixed has parameters of several pieces, of a ragged last block, and small ones.
var mixed = [][]int{{70, 67}, {8}, {16, 4, 3, 3}, {4096}, {}, {300, 20}}

func defaults(name string, threads int) Options {
	o := DefaultOptions(name)
	o.Threads = threads
	if name == "adafactor" {
		o.Beta1, o.WeightDecay = 0.5, 0.01 // all of the state
	}
	return o
}

func nothing(int) {}

// State → safetensors file → Restore in a fresh optimiser → the same bits as without a stop.
func TestRestoreContinuesBitForBit(t *testing.T) {
	for _, name := range Names() {
		whole := goldenParams(mixed)
		run(must(t, name, whole, defaults(name, 1)), whole, 1e-3, 1, 12, nothing)

		first := goldenParams(mixed)
		o := must(t, name, first, defaults(name, 2))
		run(o, first, 1e-3, 1, 5, nothing)
		path := filepath.Join(t.TempDir(), "state.safetensors")
		if err := safetensors.Write(path, o.State(), nil); err != nil {
			t.Fatal(err)
		}
		f, err := safetensors.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		second := goldenParams(mixed)
		for i, p := range second {
			copy(p.Value, first[i].Value)
		}
		o = must(t, name, second, defaults(name, 3))
		state := map[string]tensor.Tensor{}
		for _, n := range f.Names() {
			state[n], _ = f.Tensor(n)
		}
		if err := o.Restore(state); err != nil {
			t.Fatal(name, err)
		}
		f.Close()
		run(o, second, 1e-3, 6, 12, nothing)
		if !slices.Equal(values(second), values(whole)) {
			t.Errorf("%s: a restored run went another way", name)
		}
	}
}

func TestThreadsAndKernelsDoNotMatter(t *testing.T) {
	defer kernel.Select(kernel.Selected())
	for _, name := range Names() {
		var want []float32
		for _, level := range kernel.Available() {
			kernel.Select(level)
			for _, threads := range []int{1, 2, 7} {
				params := goldenParams(mixed)
				run(must(t, name, params, defaults(name, threads)), params, 1e-3, 1, 5, nothing)
				if want == nil {
					want = values(params)
				} else if !slices.Equal(values(params), want) {
					t.Errorf("%s: %d threads with %s kernels gave other bits", name, threads, level)
				}
			}
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	for _, name := range Names() {
		params := goldenParams(mixed)
		o := must(t, name, params, defaults(name, 1))
		run(o, params, 1e-3, 1, 2, nothing)
		good := map[string]tensor.Tensor{}
		for k, v := range o.State() {
			good[k] = v.Clone()
		}
		cases := map[string]func(map[string]tensor.Tensor){
			"no step":       func(s map[string]tensor.Tensor) { delete(s, "step") },
			"negative step": func(s map[string]tensor.Tensor) { s["step"] = tensor.FromI64([]int64{-1}) },
			"float step":    func(s map[string]tensor.Tensor) { s["step"] = tensor.FromF32([]float32{1}) },
			"extra tensor":  func(s map[string]tensor.Tensor) { s["p9.exp_avg"] = tensor.FromF32([]float32{1}, 1) },
		}
		if len(good) > 1 {
			last := slices.Sorted(maps.Keys(good))[len(good)-2] // before "step"
			cases["lacks "+last] = func(s map[string]tensor.Tensor) { delete(s, last) }
			cases["shape of "+last] = func(s map[string]tensor.Tensor) { s[last] = s[last].Reshaped(1, s[last].Elems()) }
			cases["type of "+last] = func(s map[string]tensor.Tensor) { s[last] = tensor.New(tensor.I32, s[last].Shape...) }
			for _, other := range Names() {
				if other != name {
					cases["state of "+other] = func(s map[string]tensor.Tensor) {
						clear(s)
						maps.Copy(s, must(t, other, goldenParams(mixed), defaults(other, 1)).State())
					}
				}
			}
		}
		for what, spoil := range cases {
			bad := maps.Clone(good)
			spoil(bad)
			if err := o.Restore(bad); err == nil || !strings.HasPrefix(err.Error(), "state: ") {
				t.Errorf("%s, %s: %v", name, what, err)
			}
			for k, v := range o.State() {
				if !v.Equal(good[k]) || !bytes.Equal(v.Data, good[k].Data) {
					t.Errorf("%s, %s: a refused state changed %s", name, what, k)
				}
			}
		}
		if err := o.Restore(good); err != nil {
			t.Error(err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	ok := func() []*Param { return []*Param{{Name: "a", Shape: []int{2}, Value: make([]float32, 2)}} }
	adafactor := func(change func(*AdafactorOptions)) Options {
		o := DefaultOptions("adafactor")
		change(&o.Adafactor)
		return o
	}
	for i, c := range []struct {
		name   string
		params []*Param
		o      Options
		want   string
	}{
		{"adam", ok(), Options{}, "adamw, adamw8bit, adafactor, sgd"},
		{"sgd", nil, Options{}, "no parameters"},
		{"sgd", append(ok(), ok()...), Options{}, `two parameters are called "a"`},
		{"sgd", []*Param{{Shape: []int{1}, Value: make([]float32, 1)}}, Options{}, "no name"},
		{"sgd", []*Param{{Name: "a", Shape: []int{3}, Value: make([]float32, 1)}}, Options{}, "has 1 values"},
		{"sgd", []*Param{{Name: "a", Shape: []int{0}}}, Options{}, "no elements"},
		{"sgd", []*Param{{Name: "a", Shape: []int{-1}}}, Options{}, "a"},
		{"adamw", ok(), Options{}, "DefaultOptions"},
		{"adamw8bit", ok(), Options{Beta2: 1, Eps: 1}, "below 1"},
		{"adamw", ok(), Options{Beta1: math.NaN(), Beta2: 0.9, Eps: 1}, "beta1"},
		{"adafactor", ok(), Options{}, "clip_threshold"},
		{"adafactor", ok(), adafactor(func(a *AdafactorOptions) { a.DecayRate = 0.8 }), "decay_rate"},
		{"adafactor", ok(), adafactor(func(a *AdafactorOptions) { a.Eps1 = 1e-60 }), "eps"},
		{"adafactor", ok(), adafactor(func(a *AdafactorOptions) { a.WarmupInit = true }), "relative_step"},
	} {
		if _, err := New(c.name, c.params, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("case %d: %v, want %q", i, err, c.want)
		}
	}
}

// Parameters whose gradient is zero (the A factors of a fresh LoRA) stay what they are, but for the decay, which is off here.
func TestZeroGradientMovesNothing(t *testing.T) {
	for _, name := range Names() {
		params := goldenParams(mixed)
		before := values(params)
		o := DefaultOptions(name)
		o.WeightDecay = 0
		opt := must(t, name, params, o)
		for _, p := range params {
			p.Grad = make([]float32, len(p.Value))
		}
		for range 3 {
			opt.Step(0.1)
		}
		if !slices.Equal(values(params), before) {
			t.Errorf("%s moved parameters without gradients", name)
		}
	}
}

// The 8-bit run stays within a share of the way that AdamW goes, also where gradients within a block span eight binary orders
// and some are zero; and it never takes a step of another order than AdamW's.
func Test8bitStaysNearAdamW(t *testing.T) {
	shapes := [][]int{{64, 70}, {5000}}
	const lr, steps = 1e-3, 200
	exact, eight := goldenParams(shapes), goldenParams(shapes)
	start := values(exact)
	o := DefaultOptions("adamw")
	o.WeightDecay = 0
	run(must(t, "adamw", exact, o), exact, lr, 1, steps, nothing)
	before := slices.Clone(start)
	largest := 0.0
	run(must(t, "adamw8bit", eight, o), eight, lr, 1, steps, func(step int) {
		for i, x := range values(eight) {
			largest = max(largest, math.Abs(float64(x-before[i]))/rate(lr, step))
			before[i] = x
		}
	})
	var way, off float64
	for i, x := range values(exact) {
		way += math.Pow(float64(x-start[i]), 2)
		off += math.Pow(float64(x-before[i]), 2)
	}
	share := math.Sqrt(off / way)
	t.Logf("off by %.3f of the way; largest step %.2f lr", share, largest)
	if !(share < 0.05) || !(largest < 3) {
		t.Errorf("off by %.3f of the way, largest step %.2f lr", share, largest)
	}
}

// Codes are the nearest values: an exhaustive search agrees for magnitudes of all orders, and the codes' own values are kept.
func TestCodebookFindsTheNearest(t *testing.T) {
	for name, c := range map[string]*codebook{"signed": signedCodes, "unsigned": unsignedCodes} {
		if !slices.IsSorted(c.value[:]) {
			t.Errorf("%s: values are not in order", name)
		}
		src := make([]float32, quantBlock)
		codes, scales := make([]uint8, quantBlock), make([]float32, 1)
		check := func() {
			t.Helper()
			z := slices.Clone(src)
			c.write(codes, scales, z, make([]float32, quantBlock))
			for i, k := range codes {
				best, dist := 0, math.Inf(1)
				for j, v := range c.value {
					if d := math.Abs(float64(src[i]) - float64(v)); d < dist {
						best, dist = j, d
					}
				}
				if name == "unsigned" && src[i] > 0 {
					best = max(best, 1)
				}
				if int(k) != best {
					t.Fatalf("%s: %v has code %d (%v), nearest is %d (%v)", name, src[i], k, c.value[k], best, c.value[best])
				}
			}
		}
		copy(src, c.value[:])
		check()
		for round := range 200 {
			for i, x := range noise(round, quantBlock) {
				if src[i] = float32(math.Ldexp(float64(x), -round%24)); name == "unsigned" {
					src[i] = float32(math.Abs(float64(src[i])))
				}
			}
			src[0] = 1
			check()
		}
		for i := range 255 { // right at, below and above each middle
			copy(src, []float32{1, c.mid[i], math.Nextafter32(c.mid[i], -2), math.Nextafter32(c.mid[i], 2)})
			if name == "unsigned" {
				src[2] = max(src[2], 0)
			}
			check()
		}
	}
}

func TestNonFiniteGradientsShow(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		params := goldenParams(mixed)
		setGrad(params, 1)
		params[0].Grad[700] = bad
		before := slices.Clone(params[0].Grad)
		if norm := ClipGradNorm(params, 1); !math.IsNaN(norm) && !math.IsInf(norm, 0) {
			t.Errorf("norm %v of a gradient of %v", norm, bad)
		}
		if before[700] = 0; params[0].Grad[1] != before[1] {
			t.Error("gradients were scaled by a norm that is not finite")
		}
		for _, name := range []string{"adamw", "adamw8bit", "adafactor"} {
			params := goldenParams(mixed)
			o := must(t, name, params, DefaultOptions(name))
			setGrad(params, 1)
			params[0].Grad[700] = bad
			o.Step(1e-3)
			setGrad(params, 2)
			o.Step(1e-3)
			if x := float64(params[0].Value[700]); !math.IsNaN(x) {
				t.Errorf("%s: %v two steps after a gradient of %v", name, x, bad)
			}
			if x := float64(params[1].Value[0]); math.IsNaN(x) {
				t.Errorf("%s: another parameter became NaN", name)
			}
		}
	}
}

func TestEMASwapAndState(t *testing.T) {
	params := goldenParams(mixed)
	e, err := NewEMA(params, EMAOptions{Decay: 0.9})
	if err != nil {
		t.Fatal(err)
	}
	move := func(e *EMA, params []*Param, step int) {
		for j, p := range params {
			for i, x := range noise(step*100+j, len(p.Value)) {
				p.Value[i] += x
			}
		}
		e.Update()
	}
	for step := range 6 {
		move(e, params, step)
	}
	trained, average := values(params), slices.Concat(e.average...)
	if slices.Equal(trained, average) {
		t.Fatal("the average is no average")
	}
	e.Swap()
	if !slices.Equal(values(params), average) {
		t.Error("Swap did not put the average in")
	}
	for what, f := range map[string]func(){"Update": e.Update, "State": func() { e.State() }, "Restore": func() { _ = e.Restore(nil) }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of swapped parameters was let through", what)
				}
			}()
			f()
		}()
	}
	e.Swap()
	if !slices.Equal(values(params), trained) {
		t.Error("a second Swap did not put the parameters back")
	}

	other := goldenParams(mixed)
	for i, p := range other {
		copy(p.Value, params[i].Value)
	}
	f, _ := NewEMA(other, EMAOptions{Decay: 0.9})
	if err := f.Restore(e.State()); err != nil {
		t.Fatal(err)
	}
	for step := 6; step < 9; step++ {
		move(e, params, step)
		move(f, other, step)
	}
	if !slices.Equal(slices.Concat(e.average...), slices.Concat(f.average...)) {
		t.Error("a restored average went another way")
	}
	if g, _ := NewEMA(goldenParams(mixed[:2]), EMAOptions{}); g.Restore(e.State()) == nil {
		t.Error("an average of other parameters was restored")
	}
	for _, o := range []EMAOptions{{Decay: 1.1}, {Decay: -1}, {Decay: 0.5, MinDecay: 0.6}, {UpdateAfterStep: -1}, {Power: -1}, {Decay: math.NaN()}} {
		if _, err := NewEMA(params, o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestScheduleRefuses(t *testing.T) {
	for i, f := range []func() (Schedule, error){
		func() (Schedule, error) { return NewSchedule("cosin", 0, 1, ScheduleOptions{}) },
		func() (Schedule, error) { return NewSchedule("cosine", -1, 1, ScheduleOptions{}) },
		func() (Schedule, error) { return NewSchedule("linear", 0, -1, ScheduleOptions{}) },
		func() (Schedule, error) { return NewSchedule("polynomial", 0, 1, ScheduleOptions{}) },
		func() (Schedule, error) { return NewSchedule("polynomial", 0, 1, ScheduleOptions{LR: 1e-8}) },
		func() (Schedule, error) { return NewSchedule("polynomial", 0, 1, ScheduleOptions{LR: math.NaN()}) },
	} {
		if _, err := f(); err == nil {
			t.Errorf("case %d was accepted", i)
		}
	}
}

func BenchmarkStep(b *testing.B) {
	for _, name := range Names() {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s-1M-%d", name, threads), func(b *testing.B) {
				params := goldenParams([][]int{{1024, 512}, {512, 1024}})
				setGrad(params, 1)
				o := DefaultOptions(name)
				o.Threads = threads
				opt, _ := New(name, params, o)
				for b.Loop() {
					opt.Step(1e-6)
				}
			})
		}
	}
}
