package training

import (
	"errors"
	"math"
	"slices"
	"strings"

	"winnow/dpo"
)

// Siblings are the settings of methods that learn from siblings: samples of one step of the policy's own sampler. Zero values are the
// method's defaults.
type Siblings struct {
	Steps    int     // of the sampler
	Learn    int     // steps of each path that are learnt from; 0: all that there are
	First    int     // they are among so many first ones of the path; 0: among all
	Skip     int     // and behind so many first ones; −1: none
	Guidance float64 // guidance scale in paths and in training
	Count    int     // siblings of a step, of which the best and the worst are learnt from
	// Threshold is how far the shares of the best and the worst in the softmax of the siblings' scores must be apart for these to be
	// learnt from, from 0 to below 1; −1: whenever scores differ.
	Threshold float64
	Continue  string  // "random" (default), "chosen" or "rejected" sibling is where a path goes on
	Gradient  float64 // TailorPO-G: the better sibling moves by this times the step's variance along the gradient of the reward; 0: none
	// Paths are those of a prompt, for methods that learn from whole paths, and Inner the passes over a batch of them before new ones
	// are drawn.
	Paths, Inner int
	FlowNoise    float64 // of flow models: see sampling.PlanOptions; 0.7
	Prompts      []string
	Reward       Reward `json:"-"`
}

// defaults are those of a method.
func (c *Siblings) defaults(own dpo.Own) {
	for _, v := range []struct {
		to    *int
		value int
	}{{&c.Steps, own.Steps}, {&c.Learn, own.Learn}, {&c.Skip, own.Skip}, {&c.Count, own.Count}, {&c.Paths, own.Paths}, {&c.Inner, own.Inner}} {
		if *v.to == 0 {
			*v.to = v.value
		}
	}
	if c.Guidance == 0 {
		c.Guidance = own.Guidance
	}
	if c.Threshold == 0 {
		c.Threshold = own.Threshold
	}
	if c.FlowNoise == 0 {
		c.FlowNoise = 0.7
	}
	if c.Continue == "" {
		c.Continue = "random"
	}
}

// check refuses what cannot work.
func (c *Siblings) check(m dpo.Method) error {
	for i, p := range c.Prompts {
		if strings.TrimSpace(p) == "" {
			return setting("prompts", "", "prompt %d is empty", i+1)
		}
	}
	if !m.OwnPictures() {
		return nil
	}
	errs := []error{checkCounts(c.counts(m.Kind))}
	if !(c.Guidance >= 1 && c.Guidance <= math.MaxFloat32) {
		errs = append(errs, setting("sibling-guidance", c.Guidance, "want 1, for no guidance, or more"))
	}
	if !(math.Abs(c.Gradient) <= math.MaxFloat32) {
		errs = append(errs, setting("sibling-gradient", c.Gradient, "want a number"))
	}
	if !(c.FlowNoise > 0 && c.FlowNoise <= 100) {
		errs = append(errs, setting("flow-noise", c.FlowNoise, "want a number above 0, at most 100"))
	}
	if !(c.Threshold == -1 || c.Threshold >= 0 && c.Threshold < 1) {
		errs = append(errs, setting("sibling-threshold", c.Threshold, "want 0 to below 1"))
	}
	if known := []string{"random", "chosen", "rejected"}; !slices.Contains(known, c.Continue) {
		errs = append(errs, setting("sibling-continue", c.Continue, "is not known; there are %s", strings.Join(known, ", ")))
	}
	return errors.Join(errs...)
}

func (c *Siblings) counts(kind string) []count {
	all := []count{
		{"sibling-steps", c.Steps, 1, 1000},
		{"sibling-learn", c.Learn, 0, c.Steps},
		{"sibling-first", c.First, 0, c.Steps},
		{"sibling-skip", c.Skip, -1, max(0, c.Steps-2)},
	}
	if kind == dpo.KindPaths {
		return append(all, count{"path-count", c.Paths, 2, 1 << 10}, count{"inner-epochs", c.Inner, 1, 1 << 10})
	}
	return append(all, count{"sibling-count", c.Count, 2, 1 << 10})
}
