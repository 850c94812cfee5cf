package monitor

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// curve makes the metrics of a step.
type curve func(step int, rng *rand.Rand) Metrics

func lossAndNorm(loss, norm float64) Metrics {
	return Metrics{Values: []Value{{Loss, loss}, {GradNorm, norm}}}
}

// preferences is real preference learning on made-up pairs of eight features: a logistic loss over margins z = β·w·x, plain
// gradient steps, labels of which some are wrong. Margins of pairs differ in scale by exp(uneven·normal), as those of timesteps do.
func preferences(batch int, beta, rate, wrong, uneven float64) curve {
	w := make([]float64, 8)
	return func(_ int, rng *rand.Rand) Metrics {
		grad := make([]float64, len(w))
		var loss, accuracy, saturated, margins float64
		for range batch {
			x := make([]float64, len(w))
			scale := math.Exp(uneven * rng.NormFloat64())
			truth := 0.0
			for i := range x {
				x[i] = scale * rng.NormFloat64()
				truth += x[i] * float64(i%3)
			}
			if (truth < 0) != (rng.Float64() < wrong) {
				for i := range x {
					x[i] = -x[i]
				}
			}
			z := 0.0
			for i := range x {
				z += beta * w[i] * x[i]
			}
			weight := 1 / (1 + math.Exp(z))
			loss += max(-z, 0) + math.Log1p(math.Exp(-math.Abs(z)))
			margins += z
			if z > 0 {
				accuracy++
			}
			if weight < SaturatedWeight {
				saturated++
			}
			for i := range x {
				grad[i] -= beta * weight * x[i] / float64(batch)
			}
		}
		norm := 0.0
		for i, g := range grad {
			norm += g * g
			w[i] -= rate * g
		}
		n := float64(batch)
		return Metrics{Values: []Value{{Loss, loss / n}, {GradNorm, math.Sqrt(norm)}, {Margins, margins / n}, {Accuracy, accuracy / n}, {Saturated, saturated / n}}}
	}
}

// drive feeds a guard and returns the step at which it stopped, or 0.
func drive(t *testing.T, g *Guard, c curve, from, to int, rng *rand.Rand) (stopped int, why *Divergence, warnings []Warning) {
	t.Helper()
	for step := from; step <= to; step++ {
		m := c(step, rng)
		m.Step = step
		w, err := g.Observe(m)
		warnings = append(warnings, w...)
		if err == nil {
			continue
		}
		if !errors.As(err, &why) || why.Step != step || why.Cause == "" || why.Cure == "" || !strings.Contains(err.Error(), why.Metric) {
			t.Fatalf("error %v", err)
		}
		return step, why, warnings
	}
	return 0, nil, warnings
}

func TestGuard_letsHealthyRunsGoOn(t *testing.T) {
	for name, make := range map[string]func() curve{
		"flat": func() curve {
			return func(_ int, rng *rand.Rand) Metrics {
				return lossAndNorm(math.Ln2+1e-4*rng.NormFloat64(), 1e-3*(1+0.1*rng.NormFloat64()))
			}
		},
		"constant": func() curve { return func(int, *rand.Rand) Metrics { return lossAndNorm(math.Ln2, 0) } },
		"slow decay with noise": func() curve {
			return func(step int, rng *rand.Rand) Metrics {
				return lossAndNorm(0.7*math.Exp(-float64(step)/400)+0.05*math.Abs(rng.NormFloat64()), 0.3+0.1*rng.Float64())
			}
		},
		"single outliers": func() curve {
			return func(step int, rng *rand.Rand) Metrics {
				m := lossAndNorm(0.69+0.02*rng.NormFloat64(), 1+0.1*rng.NormFloat64())
				if step%37 < 2 {
					m = lossAndNorm(50, 1e4)
				}
				return m
			}
		},
		"warm-up: the gradient of an adapter that starts at zero grows a thousandfold": func() curve {
			return func(step int, rng *rand.Rand) Metrics {
				return lossAndNorm(0.69+0.1*rng.NormFloat64()*min(1, float64(step)/300), 1e-3*math.Pow(1000, min(1, float64(step)/500))*(1+0.3*rng.Float64()))
			}
		},
		"noise that grows out of nothing": func() curve {
			return func(step int, rng *rand.Rand) Metrics {
				z := rng.NormFloat64()*min(3, float64(step)/50) + min(1.5, float64(step)/300)
				return lossAndNorm(math.Log1p(math.Exp(-z)), math.Abs(rng.NormFloat64())*min(3, 0.01+float64(step)/50))
			}
		},
		"errors of single timesteps, spread over two powers of ten": func() curve {
			return func(_ int, rng *rand.Rand) Metrics {
				return lossAndNorm(0.05*math.Exp(1.2*rng.NormFloat64()), math.Exp(1.5*rng.NormFloat64()))
			}
		},
		"converged, with hard pairs in a row": func() curve {
			return func(step int, rng *rand.Rand) Metrics {
				loss := max(0.69*math.Exp(-float64(step)/50), 1e-4) * (1 + 0.1*rng.NormFloat64())
				if step%100 < 6 && step > 500 {
					loss = 0.05
				}
				return lossAndNorm(loss, loss)
			}
		},
		"preferences without a known start":        func() curve { return preferences(2, 3, 0.1, 0.4, 0) },
		"preferences, timesteps of unequal weight": func() curve { return preferences(2, 1, 0.01, 0.35, 1.2) },
		"preferences, batch of 1":                  func() curve { return preferences(1, 1, 0.05, 0.3, 0) },
		"preferences, batch of 4":                  func() curve { return preferences(4, 1, 0.1, 0.3, 0) },
		"preferences, batch of 2, few wrong":       func() curve { return preferences(2, 1, 0.1, 0.1, 0) },
	} {
		for seed := range uint64(6) {
			if at, why, warnings := drive(t, NewGuard(GuardOptions{StartLoss: start(name)}), make(), 1, 1200, rand.New(rand.NewPCG(seed, 1))); at != 0 || len(warnings) != 0 {
				t.Errorf("%s, seed %d: %v %v", name, seed, why, warnings)
			}
		}
	}
}

// start is the loss that is known before the first step, for half of the runs.
func start(name string) float64 {
	if strings.HasPrefix(name, "preferences,") || strings.Contains(name, "noise") {
		return math.Ln2
	}
	return 0
}

func TestGuard_stopsDivergedRuns(t *testing.T) {
	healthy := func(rng *rand.Rand) Metrics {
		return lossAndNorm(0.69+0.02*rng.NormFloat64(), 1+0.1*rng.NormFloat64())
	}
	from200 := func(change func(m *Metrics, since float64)) func() curve {
		return func() curve {
			return func(step int, rng *rand.Rand) Metrics {
				m := healthy(rng)
				if step >= 200 {
					change(&m, float64(step-200))
				}
				return m
			}
		}
	}
	for name, c := range map[string]struct {
		curve            func() curve
		earliest, latest int
		metric, cause    string
	}{
		"NaN": {from200(func(m *Metrics, _ float64) { m.Values[0].Value = math.NaN() }), 200, 200, Loss, "float32"},
		"Inf": {from200(func(m *Metrics, _ float64) { m.Values[1].Value = math.Inf(1) }), 200, 200, GradNorm, "float32"},
		"NaN margin at the first step": {func() curve {
			return func(int, *rand.Rand) Metrics { return Metrics{Values: []Value{{Loss, 1}, {Margins, math.NaN()}}} }
		}, 1, 1, Margins, "float32"},
		"loss jumps and stays": {from200(func(m *Metrics, _ float64) { m.Values[0].Value += 5 }), 204, 204, Loss, "for 5 steps"},
		"loss explodes":        {from200(func(m *Metrics, s float64) { m.Values[0].Value *= math.Pow(1.2, s) }), 204, 220, Loss, "for 5 steps"},
		"norm explodes":        {from200(func(m *Metrics, s float64) { m.Values[1].Value *= math.Pow(1.3, s) }), 204, 220, GradNorm, "for 5 steps"},
		"loss climbs too slowly for a spike": {
			from200(func(m *Metrics, s float64) { m.Values[0].Value *= 1 + s/300 }), 300, 700, Loss, "at the start",
		},
		"a rate far too high from the first step": {func() curve { return preferences(2, 1, 30, 0.5, 0) }, 20, 100, Loss, ""},
		"margins saturate": {func() curve {
			return func(step int, rng *rand.Rand) Metrics {
				share := 0.0
				for range 4 {
					if rng.Float64() < min(0.98, float64(step)/200) {
						share += 0.25
					}
				}
				return Metrics{Values: []Value{{Loss, 0.01}, {Saturated, share}}}
			}
		}, 190, 300, Saturated, "50 steps"},
	} {
		for seed := range uint64(6) {
			at, why, _ := drive(t, NewGuard(GuardOptions{StartLoss: math.Ln2}), c.curve(), 1, 1200, rand.New(rand.NewPCG(seed, 2)))
			if at < c.earliest || at > c.latest || why.Metric != c.metric || !strings.Contains(why.Cause, c.cause) {
				t.Errorf("%s, seed %d: stopped at %d, want %d to %d for %s: %v", name, seed, at, c.earliest, c.latest, c.metric, why)
			}
		}
	}
}

func TestGuard_offAndOptions(t *testing.T) {
	wild := func(step int, _ *rand.Rand) Metrics {
		return Metrics{Values: []Value{{Loss, math.Pow(1.1, float64(step))}, {Saturated, 1}}}
	}
	if at, why, _ := drive(t, NewGuard(GuardOptions{Spike: -1, Saturated: -1}), wild, 1, 500, nil); at != 0 {
		t.Errorf("checks that are off: %v", why)
	}
	if at, _, _ := drive(t, NewGuard(GuardOptions{Spike: -1, SaturatedSteps: 7}), wild, 1, 500, nil); at != 7 {
		t.Errorf("stopped at %d, want 7", at)
	}
}

func drifting(drift, margin float64) curve {
	return func(step int, rng *rand.Rand) Metrics {
		return Metrics{Values: []Value{
			{Loss, 0.6 + 0.01*rng.NormFloat64()},
			{ChosenDrift, 1e-3 * (drift*float64(step)/100 + rng.NormFloat64())},
			{Margins, margin*float64(step)/100 + rng.NormFloat64()},
		}}
	}
}

func TestGuard_winnerDegradation(t *testing.T) {
	for name, c := range map[string]struct {
		drift, margin float64
		warns         bool
	}{
		"chosen worse, margin wider":  {1.5, 1.5, true},
		"chosen better, margin wider": {-1.5, 1.5, false},
		"chosen worse, margin flat":   {1.5, 0, false},
		"noise":                       {0, 0, false},
	} {
		for seed := range uint64(6) {
			_, _, warnings := drive(t, NewGuard(GuardOptions{}), drifting(c.drift, c.margin), 1, 600, rand.New(rand.NewPCG(seed, 3)))
			want := 0
			if c.warns {
				want = 1
			}
			if len(warnings) != want {
				t.Errorf("%s, seed %d: warnings %v", name, seed, warnings)
			}
		}
	}
}

// A guard that went through JSON at any step decides as the one that did not.
func TestGuard_stateResumes(t *testing.T) {
	steps := func(step int, rng *rand.Rand) Metrics {
		m := drifting(1, 1)(step, rng)
		m.Values = append(m.Values, Value{GradNorm, math.Exp(rng.NormFloat64())}, Value{Saturated, rng.Float64()})
		if step > 380 {
			m.Values[0].Value = 9
		}
		return m
	}
	var rows []Metrics
	rng := rand.New(rand.NewPCG(5, 5))
	for step := 1; step <= 400; step++ {
		m := steps(step, rng)
		m.Step = step
		rows = append(rows, m)
	}
	replay := func(step int, _ *rand.Rand) Metrics { return rows[step-1] }
	wantAt, wantWhy, wantWarnings := drive(t, NewGuard(GuardOptions{}), replay, 1, 400, nil)
	if wantAt != 385 || len(wantWarnings) != 1 {
		t.Fatalf("stopped at %d with %d warnings", wantAt, len(wantWarnings))
	}
	for _, cut := range []int{1, 19, 20, 77, 200, 383} {
		first := NewGuard(GuardOptions{})
		_, _, warnings := drive(t, first, replay, 1, cut, nil)
		data := must[[]byte](t)(json.Marshal(first.State()))
		var state GuardState
		if err := json.Unmarshal(data, &state); err != nil {
			t.Fatal(err)
		}
		second := NewGuard(GuardOptions{})
		second.Restore(state)
		at, why, more := drive(t, second, replay, cut+1, 400, nil)
		if at != wantAt || !reflect.DeepEqual(why, wantWhy) || !reflect.DeepEqual(append(warnings, more...), wantWarnings) {
			t.Errorf("cut at %d: %d %v %v", cut, at, why, more)
		}
		if len(data) > 16000 {
			t.Errorf("state of %d bytes", len(data))
		}
	}
}
