package monitor

import (
	"fmt"
	"math"
	"strings"
)

// GuardOptions say when a run counts as diverged. The zero value holds the defaults; a negative Spike or Saturated turns that check
// off. Numbers that are not finite always stop a run.
type GuardOptions struct {
	Window         int     // steps that medians look back on; 0: 50, at least 10
	Spike          float64 // spreads above the median from which a loss or gradient norm is a spike; 0: 10
	SpikeSteps     int     // spikes in a row that stop the run; 0: 5
	Saturated      float64 // mean share of saturated pairs that stops the run; 0: 0.9
	SaturatedSteps int     // steps of that mean; 0: 50
	StartLoss      float64 // loss before the first step where the method fixes it (log 2 for DPO); 0: it is taken from the first steps
}

func (o GuardOptions) defaults() GuardOptions {
	set := func(v *int, to, least int) {
		if *v == 0 {
			*v = to
		}
		*v = max(*v, least)
	}
	set(&o.Window, 50, 10)
	set(&o.SpikeSteps, 5, 1)
	set(&o.SaturatedSteps, 50, 1)
	if o.Spike == 0 {
		o.Spike = 10
	}
	if o.Saturated == 0 {
		o.Saturated = 0.9
	}
	return o
}

// Divergence says why a run was stopped.
type Divergence struct {
	Step        int
	Metric      string
	Value       float64
	Cause, Cure string
}

func (d *Divergence) Error() string {
	return fmt.Sprintf("training stopped at step %d: %s is %.6g: %s; %s", d.Step, d.Metric, d.Value, d.Cause, d.Cure)
}

// Warning is a reason to look at a run that goes on.
type Warning struct {
	Step          int
	Title, Detail string
}

// Guard watches the metrics of every step. What it has seen is small and can be kept in a checkpoint; a guard that is restored
// decides as the one that was saved would have. It is not safe for concurrent use.
type Guard struct {
	o GuardOptions
	s GuardState
}

// GuardState is what a guard has seen, for JSON: numbers read back are the same to the last bit.
type GuardState struct {
	Loss      spikes `json:"loss"`
	GradNorm  spikes `json:"grad_norm"`
	Saturated window `json:"saturated"`
	Drift     window `json:"chosen_drift"`
	Margins   window `json:"margins"`
	Warned    bool   `json:"warned"` // of winner degradation
}

// NewGuard returns a guard that has seen nothing.
func NewGuard(o GuardOptions) *Guard {
	g := &Guard{o: o.defaults()}
	g.Restore(GuardState{})
	return g
}

// State returns a copy of what the guard has seen.
func (g *Guard) State() GuardState { return g.s.clone() }

// Restore goes on from a state. Where the options look back on fewer steps than those it was saved under, older ones are dropped.
func (g *Guard) Restore(s GuardState) {
	g.s = s.clone()
	g.s.Loss.Recent.size, g.s.GradNorm.Recent.size = g.o.Window, g.o.Window
	g.s.Saturated.size, g.s.Drift.size, g.s.Margins.size = g.o.SaturatedSteps, 4*g.o.Window, 4*g.o.Window
	for _, w := range g.s.windows() {
		w.trim()
	}
}

func (s *GuardState) windows() []*window {
	return []*window{&s.Loss.Recent, &s.GradNorm.Recent, &s.Saturated, &s.Drift, &s.Margins}
}

func (s GuardState) clone() GuardState {
	for _, w := range s.windows() {
		w.Values = append([]float64{}, w.Values...)
	}
	return s
}

// Observe takes the metrics of the next step. It returns a *Divergence when the run has to stop.
func (g *Guard) Observe(m Metrics) ([]Warning, error) {
	if d := notFinite(m); d != nil {
		return nil, d
	}
	if v, ok := m.Get(Loss); ok {
		if d := g.s.Loss.observe(g.o, v, 0.05); d != nil {
			return nil, d.at(m.Step, Loss)
		}
		if d := g.s.Loss.risen(g.o, v); d != nil {
			return nil, d.at(m.Step, Loss)
		}
	}
	if v, ok := m.Get(GradNorm); ok {
		if d := g.s.GradNorm.observe(g.o, v, 0.5); d != nil {
			return nil, d.at(m.Step, GradNorm)
		}
	}
	if v, ok := m.Get(Saturated); ok && g.o.Saturated > 0 {
		w := &g.s.Saturated
		w.add(v)
		if share := mean(w.Values); w.full() && share > g.o.Saturated {
			return nil, &Divergence{
				Step: m.Step, Metric: Saturated, Value: share,
				Cause: fmt.Sprintf("mean of %d steps; nearly all pairs weigh less than %g in the gradient, so there is nothing left to learn from them but noise", w.size, SaturatedWeight),
				Cure:  "lower beta or the learning rate, train for fewer steps, or take more pairs",
			}
		}
	}
	return g.degraded(m), nil
}

func (d *Divergence) at(step int, metric string) *Divergence {
	d.Step, d.Metric = step, metric
	return d
}

// notFinite looks at everything that training computes; scores of previews may be missing.
func notFinite(m Metrics) *Divergence {
	for _, v := range m.Values {
		if !math.IsNaN(v.Value) && !math.IsInf(v.Value, 0) {
			continue
		}
		switch {
		case v.Name == Loss, v.Name == GradNorm, v.Name == Saturated, v.Name == ChosenDrift, strings.HasPrefix(v.Name, "rewards/"):
			return &Divergence{
				Step: m.Step, Metric: v.Name, Value: v.Value, Cause: "numbers have left the range of float32, and no later step can bring them back",
				Cure: "go on from an earlier checkpoint with a lower learning rate or beta, or clip the gradient; when it is the first step, look for bad values in the model and the data",
			}
		}
	}
	return nil
}

// degraded warns once when the chosen get worse while the margin grows: the policy forgets the rejected faster than the chosen, which
// widens margins and spoils pictures. Both must have risen clearly between the halves of four windows.
func (g *Guard) degraded(m Metrics) []Warning {
	drift, ok := m.Get(ChosenDrift)
	margin, also := m.Get(Margins)
	if !ok || !also {
		return nil
	}
	g.s.Drift.add(drift)
	g.s.Margins.add(margin)
	if g.s.Warned || !g.s.Drift.full() || !g.s.Margins.full() {
		return nil
	}
	now, squared := meanError(g.s.Drift.Values[2*g.o.Window:])
	if !rise(g.s.Drift.Values) || !rise(g.s.Margins.Values) || now <= sure*math.Sqrt(squared) {
		return nil
	}
	g.s.Warned = true
	return []Warning{{
		Step: m.Step, Title: "The chosen pictures get worse (winner degradation)",
		Detail: fmt.Sprintf("Over the last %d steps the margin grew, and so did the error on the chosen: it is %.3g above the reference's. The policy widens margins by forgetting the rejected faster. "+
			"Take a method that holds on to the chosen (a supervised term, SDPO), or lower the learning rate or beta.", 4*g.o.Window, now),
	}}
}

// sure is the number of standard errors that make a change clear, although one is looked for at every step.
const sure = 5

// rise says whether the mean of a series' second half is clearly above that of the first.
func rise(v []float64) bool {
	first, a := meanError(v[:len(v)/2])
	second, b := meanError(v[len(v)/2:])
	return second-first > sure*math.Sqrt(a+b)
}
