package minibench

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// MethodRun is one training and what its adapter does, as it is kept beside the run.
type MethodRun struct {
	Settings    string  `json:"settings,omitempty"` // method, data and flags; none: the base
	Updates     int     `json:"updates"`
	Evaluations float64 `json:"unet_evaluations"` // that the training asked for
	Seconds     float64 `json:"processor_seconds"`
	Memory      float64 `json:"memory_bytes"` // most that its process held
	// Scores are those of pictures by guidance scale, as its text.
	Scores map[string]Scores `json:"scores"`
}

// MethodReport is a method of a comparison at one guidance scale.
type MethodReport struct {
	Name     string  `json:"name"`
	Method   string  `json:"method"`
	Guidance float64 `json:"guidance_scale"`
	Prompts  int     `json:"prompts"`
	Seeds    int     `json:"seeds"`
	Trial    int     `json:"trial"` // the chosen one, from 1; 0 for the base
	Setting  string  `json:"setting,omitempty"`

	Figures  map[string]Figure     `json:"figures"`
	OverBase map[string]Difference `json:"over_base,omitempty"`
	OverDPO  map[string]Difference `json:"over_dpo,omitempty"`
	WinsBase map[string]Figure     `json:"wins_over_base,omitempty"`
	WinsDPO  map[string]Figure     `json:"wins_over_dpo,omitempty"`

	Updates     float64 `json:"updates,omitempty"` // means over seeds
	Evaluations float64 `json:"unet_evaluations,omitempty"`
	Seconds     float64 `json:"processor_seconds,omitempty"`
	Memory      float64 `json:"memory_bytes,omitempty"` // the largest
}

// Contender is a method with its runs, one for each seed, and for the base one for each noise.
type Contender struct {
	ProtocolMethod
	Trial   int
	Setting string
	Runs    []MethodRun
}

// ScaleName is how Scores names a guidance scale.
func ScaleName(w float64) string { return fmt.Sprint(w) }

// CompareMethods holds every method against the base and against Diffusion-DPO, which are the contenders of those names; without the latter,
// against the base alone. Base and methods have as many runs.
func CompareMethods(contenders []Contender, guidance []float64) []MethodReport {
	at := func(name string) int {
		return slices.IndexFunc(contenders, func(c Contender) bool { return c.Name == name })
	}
	base, dpo := at(BaseName), at(DPOName)
	var out []MethodReport
	for _, w := range guidance {
		scores := make([][]Scores, len(contenders))
		for i, c := range contenders {
			for _, r := range c.Runs {
				scores[i] = append(scores[i], r.Scores[ScaleName(w)])
			}
		}
		for i, c := range contenders {
			r := MethodReport{
				Name: c.Name, Method: c.Method, Guidance: w, Seeds: len(c.Runs), Trial: c.Trial, Setting: c.Setting,
				Prompts: len(scores[i][0]["score"]), Figures: map[string]Figure{},
			}
			for name, v := range MeanScores(scores[i]) {
				r.Figures[name] = Interval(v)
			}
			if i != base {
				r.OverBase, r.WinsBase = Against(scores[i], scores[base])
			}
			if i != dpo && i != base && dpo >= 0 {
				r.OverDPO, r.WinsDPO = Against(scores[i], scores[dpo])
			}
			r.cost(c.Runs)
			out = append(out, r)
		}
	}
	return out
}

// Names of the contenders that others are held against.
const (
	BaseName = "base"
	DPOName  = "dpo"
)

func (r *MethodReport) cost(runs []MethodRun) {
	n := float64(len(runs))
	for _, run := range runs {
		r.Updates += float64(run.Updates) / n
		r.Evaluations += run.Evaluations / n
		r.Seconds += run.Seconds / n
		r.Memory = max(r.Memory, run.Memory)
	}
}

// Kinds are the sorts of prompts that scores have figures of, without the prefix.
func (r *MethodReport) Kinds() []string {
	var out []string
	for name := range r.Figures {
		if kind, ok := strings.CutPrefix(name, "strict."); ok {
			out = append(out, kind)
		}
	}
	slices.Sort(out)
	return out
}

// MeanOf is the mean of a figure over the prompts of a run at a guidance scale; NaN without it.
func (r *MethodRun) MeanOf(w float64, figure string) float64 {
	v := r.Scores[ScaleName(w)][figure]
	if len(v) == 0 {
		return math.NaN()
	}
	var sum float64
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}
