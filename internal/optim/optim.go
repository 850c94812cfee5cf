package optim

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"

	"winnow/internal/tensor"
)

// Param is one tensor to train. Value is changed by Step; Grad is read by it, never kept, and must be as long as Value by then: Step
// panics otherwise.
type Param struct {
	Name        string
	Shape       []int
	Value, Grad []float32
}

// Optimizer updates the parameters that it was made for.
type Optimizer interface {
	// Step is one update of all parameters from their gradients at learning rate lr. Gradients are left as they are. A gradient that
	// is not finite makes its parameters so: look at the norm (ClipGradNorm) and leave the step out.
	Step(lr float64)
	// State returns everything that Step remembers, as tensors that a safetensors file holds bit for bit. They alias the
	// optimiser's memory, since moments can be twice as large as the network: write them before the next Step.
	State() map[string]tensor.Tensor
	// Restore copies a state in. One of other parameters, shapes or of another optimiser is refused, and then nothing has changed.
	Restore(state map[string]tensor.Tensor) error
	// Name is the name that New knows.
	Name() string
}

// Options are the constants of all optimisers; each reads its own. Start from DefaultOptions: zero means zero here.
type Options struct {
	Beta1       float64 // decay of the first moment, in [0, 1); 0 switches it off in adafactor
	Beta2       float64 // decay of the second moment, in (0, 1); not read by adafactor, see DecayRate
	Eps         float64 // added to the root of the second moment, > 0
	WeightDecay float64 // decoupled: a step multiplies a parameter by 1 − lr·WeightDecay; sgd adds it to the gradient

	Adafactor AdafactorOptions

	// Threads is the number of goroutines in a step; 0 means GOMAXPROCS. Results do not depend on it.
	Threads int
}

// makers lists the optimisers.
var makers = map[string]struct {
	defaults Options
	make     func(params []*Param, o Options) (Optimizer, error)
}{
	"adamw":     {Options{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 1e-2}, newAdamW},
	"adamw8bit": {Options{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 1e-2}, newAdamW8bit},
	"adafactor": {Options{Adafactor: AdafactorOptions{ClipThreshold: 1, DecayRate: -0.8, Eps1: 1e-30, Eps2: 1e-3}}, newAdafactor},
	"sgd":       {Options{}, newSGD},
}

// Names lists the optimisers that New knows.
func Names() []string { return []string{"adamw", "adamw8bit", "adafactor", "sgd"} }

// DefaultOptions are the constants that trainers of diffusion models use: torch's for AdamW (bitsandbytes' 8-bit class has the same
// but for its decay, also 1e-2), and for Adafactor those of Diffusion-DPO, transformers' with scale_parameter and relative_step off.
// An unknown name has none; New says so.
func DefaultOptions(name string) Options { return makers[name].defaults }

// New makes an optimiser with an empty state: "adamw", "adamw8bit", "adafactor" or "sgd". It keeps params and reads Value and Grad
// at each step.
func New(name string, params []*Param, o Options) (Optimizer, error) {
	m, ok := makers[name]
	if !ok {
		return nil, fmt.Errorf("optimizer %q is unknown; there are %s", name, strings.Join(Names(), ", "))
	}
	if err := checkParams(params); err != nil {
		return nil, fmt.Errorf("optimizer %s: %w", name, err)
	}
	for _, v := range []struct {
		name  string
		value float64
	}{{"beta1", o.Beta1}, {"beta2", o.Beta2}, {"eps", o.Eps}, {"weight_decay", o.WeightDecay}} {
		if !(v.value >= 0) || math.IsInf(v.value, 0) {
			return nil, fmt.Errorf("optimizer %s: %s is %v and must not be negative", name, v.name, v.value)
		}
	}
	if o.Beta1 >= 1 || o.Beta2 >= 1 {
		return nil, fmt.Errorf("optimizer %s: beta1 %v and beta2 %v must be below 1", name, o.Beta1, o.Beta2)
	}
	if o.Threads <= 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	opt, err := m.make(slices.Clone(params), o)
	if err != nil {
		return nil, fmt.Errorf("optimizer %s: %w", name, err)
	}
	return opt, nil
}

func checkParams(params []*Param) error {
	if len(params) == 0 {
		return fmt.Errorf("there are no parameters")
	}
	seen := map[string]bool{}
	for i, p := range params {
		n, err := tensor.Elems(p.Shape)
		switch {
		case p.Name == "":
			return fmt.Errorf("parameter %d has no name", i)
		case seen[p.Name]:
			return fmt.Errorf("two parameters are called %q", p.Name)
		case err != nil:
			return fmt.Errorf("parameter %q: %w", p.Name, err)
		case n == 0:
			return fmt.Errorf("parameter %q of shape %v has no elements", p.Name, p.Shape)
		case n != len(p.Value):
			return fmt.Errorf("parameter %q of shape %v has %d values", p.Name, p.Shape, len(p.Value))
		}
		seen[p.Name] = true
	}
	return nil
}

// mustHaveGradients stops a caller that forgot some, before anything has changed.
func mustHaveGradients(params []*Param) {
	for _, p := range params {
		if len(p.Grad) != len(p.Value) {
			panic(fmt.Sprintf("optim: parameter %q has %d values and %d gradients", p.Name, len(p.Value), len(p.Grad)))
		}
	}
}

// ZeroGrad sets the gradients to zero.
func ZeroGrad(params []*Param) {
	for _, p := range params {
		clear(p.Grad)
	}
}
