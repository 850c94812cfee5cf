package optim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"winnow/internal/tensor"
)

// read fills into from a file of tests/oracle/optim.py.
func read(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(name, err)
	}
}

// blob is bytes in base64.
type blob []byte

func (b *blob) UnmarshalText(text []byte) (err error) {
	*b, err = base64.StdEncoding.DecodeString(string(text))
	return err
}

func (b blob) floats() []float32 {
	t := tensor.New(tensor.F32, len(b)/4)
	copy(t.Data, b)
	return t.F32()
}

// noise is the hash of the same name in tests/oracle/optim.py.
func noise(seed, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		h := uint32(i)*2654435761 + uint32(seed*40503+12345)
		h = (h ^ h>>15) * 2246822519
		h = (h ^ h>>13) * 3266489917
		h ^= h >> 16
		if (h>>4)%11 != 0 {
			out[i] = float32(math.Ldexp((float64(h>>16)-32768)/32768, -int(h%8)))
		}
	}
	return out
}

var goldenShapes = [][]int{{}, {5}, {3, 4}, {2, 3, 4}, {4, 3, 3, 3}}

func goldenParams(shapes [][]int) []*Param {
	var out []*Param
	for j, s := range shapes {
		n, _ := tensor.Elems(s)
		out = append(out, &Param{Name: "p" + strconv.Itoa(j), Shape: s, Value: noise(j, n)})
	}
	return out
}

// setGrad sets the gradients of one step.
func setGrad(params []*Param, step int) {
	for j, p := range params {
		p.Grad = noise(step*100+j, len(p.Value))
	}
}

func rate(base float64, step int) float64 { return base * float64(1+step%3) }

func values(params []*Param) []float32 {
	var out []float32
	for _, p := range params {
		out = append(out, p.Value...)
	}
	return out
}

// run takes as many steps as the golden results go, and calls check after each that has one.
func run(o Optimizer, params []*Param, lr float64, from, to int, after func(step int)) {
	for step := from; step <= to; step++ {
		setGrad(params, step)
		o.Step(rate(lr, step))
		after(step)
	}
}

// worst is the largest |got−want| as a share of |want|, or of the root mean square of all where that is larger: a parameter that
// crosses zero keeps the rounding errors of the way there.
func worst(t *testing.T, got, want []float32) float64 {
	t.Helper()
	if len(got) != len(want) || len(got) == 0 {
		t.Fatalf("%d numbers, want %d", len(got), len(want))
	}
	size := 0.0
	for _, x := range want {
		size += float64(x) * float64(x)
	}
	size = math.Sqrt(size / float64(len(want)))
	w := 0.0
	for i := range got {
		e := math.Abs(float64(got[i])-float64(want[i])) / max(math.Abs(float64(want[i])), size)
		if !(e <= w) {
			w = e
		}
	}
	return w
}

func must(t *testing.T, name string, params []*Param, o Options) Optimizer {
	t.Helper()
	opt, err := New(name, params, o)
	if err != nil {
		t.Fatal(err)
	}
	if opt.Name() != name {
		t.Fatalf("name %q, want %q", opt.Name(), name)
	}
	return opt
}

type constants struct {
	Name        string
	LR          float64
	Beta1       float64
	Beta2       float64
	Eps         float64
	WeightDecay float64 `json:"weight_decay"`
}

func (c constants) options() Options {
	return Options{Beta1: c.Beta1, Beta2: c.Beta2, Eps: c.Eps, WeightDecay: c.WeightDecay}
}

// The steps of torch.optim.AdamW: bit for bit where torch's square root is rounded correctly, and within 1e-6 after 150 steps where it
// is MKL's.
func TestAdamWGolden(t *testing.T) {
	var g struct {
		Rows []struct {
			constants
			Params, Foreach, Exact map[int]blob
		}
	}
	read(t, "adamw.json", &g)
	if len(g.Rows) != 3 {
		t.Fatal("rows are missing")
	}
	for _, row := range g.Rows {
		params := goldenParams(goldenShapes)
		seen := 0
		run(must(t, "adamw", params, row.options()), params, row.LR, 1, 150, func(step int) {
			if _, ok := row.Exact[step]; !ok {
				return
			}
			seen++
			got := values(params)
			if want := row.Exact[step].floats(); !slices.Equal(got, want) {
				t.Errorf("%s, step %d: bits differ from torch's with exact roots, worst %.2g", row.Name, step, worst(t, got, want))
			}
			for kind, want := range map[string]blob{"single": row.Params[step], "foreach": row.Foreach[step]} {
				w := worst(t, got, want.floats())
				t.Logf("%s, %s, step %d: %.2g", row.Name, kind, step, w)
				if !(w <= 1e-6) {
					t.Errorf("%s, %s, step %d: %.3g from torch", row.Name, kind, step, w)
				}
			}
		})
		if seen != 3 {
			t.Errorf("%s: %d steps compared", row.Name, seen)
		}
	}
}

type snapshot8 struct {
	Params, Small, State1, State2, Absmax1, Absmax2 blob
	SHA256                                          string
}

func (s *snapshot8) check(t *testing.T, what string, params []*Param, state map[string]tensor.Tensor, stride int, exact bool) {
	t.Helper()
	var sampled []float32
	var codes [2][]uint8
	for i := 0; i < len(params[0].Value); i += stride {
		sampled = append(sampled, params[0].Value[i])
		codes[0] = append(codes[0], state["p0.state1"].U8()[i])
		codes[1] = append(codes[1], state["p0.state2"].U8()[i])
	}
	if w := worst(t, params[1].Value, s.Small.floats()); !(w <= 1e-6) { // bitsandbytes' 32-bit step: the same algebra in another order
		t.Errorf("%s: small parameter differs by %.2g", what, w)
	}
	if exact {
		ok := slices.Equal(sampled, s.Params.floats()) && bytes.Equal(codes[0], s.State1) && bytes.Equal(codes[1], s.State2) &&
			bytes.Equal(state["p0.absmax1"].Data, s.Absmax1) && bytes.Equal(state["p0.absmax2"].Data, s.Absmax2)
		sum := sha256.New()
		for _, b := range [][]byte{tensor.FromF32(params[0].Value, len(params[0].Value)).Data, state["p0.state1"].Data, state["p0.state2"].Data} {
			sum.Write(b)
		}
		if !ok || hex.EncodeToString(sum.Sum(nil)) != s.SHA256 {
			t.Errorf("%s: bits differ from bitsandbytes' with exact rounding", what)
		}
		return
	}
	// bitsandbytes as it is: two steps of lr at most, after 120 (its table rounds some moments to another code).
	var off []float64
	for i, x := range s.Params.floats() {
		off = append(off, math.Abs(float64(sampled[i]-x)))
	}
	slices.Sort(off)
	at := func(q float64) float64 { return off[int(q*float64(len(off)-1))] }
	w1, w2 := worst(t, state["p0.absmax1"].F32(), s.Absmax1.floats()), worst(t, state["p0.absmax2"].F32(), s.Absmax2.floats())
	if !(at(0.5) < 2e-5 && at(0.9) < 5e-4 && at(1) < 4e-3) || w1 > 0.02 || w2 > 0.02 {
		t.Errorf("%s: further from bitsandbytes than its table explains", what)
	}
	t.Logf("%s: off by %.2g at the median, %.2g at 90 %%, %.2g at most; scales %.2g %.2g", what, at(0.5), at(0.9), at(1), w1, w2)
}

func TestAdamW8bitGolden(t *testing.T) {
	var g struct {
		constants
		Shapes       [][]int
		Stride       int
		Maps         map[string]blob
		Plain, Exact map[int]*snapshot8
	}
	read(t, "adamw8bit.json", &g)
	for name, c := range map[string]*codebook{"signed": signedCodes, "unsigned": unsignedCodes} {
		if want := g.Maps[name].floats(); !slices.Equal(c.value[:], want) {
			t.Errorf("%s map: bits differ from bitsandbytes'", name)
		}
	}
	params := goldenParams(g.Shapes)
	o := must(t, "adamw8bit", params, g.options())
	seen := 0
	run(o, params, g.LR, 1, 120, func(step int) {
		if want, ok := g.Exact[step]; ok {
			seen++
			want.check(t, fmt.Sprintf("exact, step %d", step), params, o.State(), g.Stride, true)
			g.Plain[step].check(t, fmt.Sprintf("plain, step %d", step), params, o.State(), g.Stride, false)
		}
	})
	if seen != 3 {
		t.Errorf("%d steps compared", seen)
	}
}

func TestAdafactorGolden(t *testing.T) {
	var g struct {
		Rows []struct {
			constants
			ScaleParameter bool    `json:"scale_parameter"`
			RelativeStep   bool    `json:"relative_step"`
			WarmupInit     bool    `json:"warmup_init"`
			ClipThreshold  float64 `json:"clip_threshold"`
			DecayRate      float64 `json:"decay_rate"`
			Eps1, Eps2     float64
			Params         map[int]blob
		}
	}
	read(t, "adafactor.json", &g)
	if len(g.Rows) != 5 {
		t.Fatal("rows are missing")
	}
	for _, row := range g.Rows {
		params := goldenParams(goldenShapes)
		o := row.options()
		o.Adafactor = AdafactorOptions{row.ClipThreshold, row.DecayRate, row.Eps1, row.Eps2, row.ScaleParameter, row.RelativeStep, row.WarmupInit}
		seen := 0
		run(must(t, "adafactor", params, o), params, row.LR, 1, 150, func(step int) {
			if want, ok := row.Params[step]; ok {
				seen++
				w := worst(t, values(params), want.floats())
				t.Logf("%s, step %d: %.2g", row.Name, step, w)
				if !(w <= 1e-6) {
					t.Errorf("%s, step %d: %.3g from transformers", row.Name, step, w)
				}
			}
		})
		if seen != 3 {
			t.Errorf("%s: %d steps compared", row.Name, seen)
		}
	}
}

func TestSGDGolden(t *testing.T) {
	var g struct {
		constants
		Params map[int]blob
	}
	read(t, "sgd.json", &g)
	params := goldenParams(goldenShapes)
	run(must(t, "sgd", params, g.options()), params, g.LR, 1, 150, func(step int) {
		if want, ok := g.Params[step]; ok && !slices.Equal(values(params), want.floats()) {
			t.Errorf("step %d: bits differ from torch's, worst %.2g", step, worst(t, values(params), want.floats()))
		}
	})
}

func TestClipGolden(t *testing.T) {
	var g struct {
		Step int
		Rows []struct {
			Limit, Norm float64
			Grads       blob
		}
	}
	read(t, "clip.json", &g)
	for _, row := range g.Rows {
		params := goldenParams(goldenShapes)
		setGrad(params, g.Step)
		if norm := ClipGradNorm(params, row.Limit); !(math.Abs(norm/row.Norm-1) < 2e-7) { // torch's norm is float32
			t.Errorf("norm %v, want %v", norm, row.Norm)
		}
		var got []float32
		for _, p := range params {
			got = append(got, p.Grad...)
		}
		if w := worst(t, got, row.Grads.floats()); !(w < 2e-7) {
			t.Errorf("limit %v: gradients differ by %.2g", row.Limit, w)
		}
	}
}

func TestSchedulesGolden(t *testing.T) {
	var g struct {
		Rows []struct {
			Name          string
			Warmup, Total int
			LR            float64
			NumCycles     int `json:"num_cycles"`
			Power         float64
			Factors       []float64
		}
	}
	read(t, "schedules.json", &g)
	names := map[string]int{}
	for _, row := range g.Rows {
		names[row.Name]++
		s, err := NewSchedule(row.Name, row.Warmup, row.Total, ScheduleOptions{NumCycles: row.NumCycles, Power: row.Power, LR: row.LR})
		if err != nil {
			t.Fatal(err)
		}
		for step, want := range row.Factors {
			if got := s(step); !(math.Abs(got-want) < 1e-9) {
				t.Errorf("%s %d/%d: factor %v at step %d, want %v", row.Name, row.Warmup, row.Total, got, step, want)
			}
		}
	}
	for _, name := range ScheduleNames() {
		if names[name] != 5 {
			t.Errorf("%s: %d rows", name, names[name])
		}
	}
}

func TestEMAGolden(t *testing.T) {
	var g struct {
		Rows []struct {
			Decay           float64
			MinDecay        float64 `json:"min_decay"`
			UpdateAfterStep int     `json:"update_after_step"`
			UseEMAWarmup    bool    `json:"use_ema_warmup"`
			InvGamma        float64 `json:"inv_gamma"`
			Power           float64
			Decays          []float64
			Average         map[int]blob
		}
	}
	read(t, "ema.json", &g)
	for _, row := range g.Rows {
		params := goldenParams(goldenShapes)
		e, err := NewEMA(params, EMAOptions{row.Decay, row.MinDecay, row.UpdateAfterStep, row.UseEMAWarmup, row.InvGamma, row.Power})
		if err != nil {
			t.Fatal(err)
		}
		for step, decay := range row.Decays {
			step++
			setGrad(params, step)
			for _, p := range params {
				for i, x := range p.Grad {
					p.Value[i] -= x * 0.125
				}
			}
			e.Update()
			if got := e.Decay(step); !(math.Abs(got-decay) < 1e-9) {
				t.Errorf("%+v: decay %v at step %d, want %v", e.o, got, step, decay)
			}
			if want, ok := row.Average[step]; ok && !slices.Equal(slices.Concat(e.average...), want.floats()) {
				t.Errorf("%+v, step %d: bits differ, worst %.2g", e.o, step, worst(t, slices.Concat(e.average...), want.floats()))
			}
		}
	}
}
