package minibench

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/goccy/go-yaml"
)

// Protocol is the plan of a comparison of training methods at equal cost, as its YAML file says it.
type Protocol struct {
	// Evaluations are the evaluations of the denoiser that each training may ask for: a row forwards is one, with the way back three.
	Evaluations int `yaml:"unet-evaluations"`
	// Probe is the number of updates that a training of each configuration is tried for, to find out what one costs.
	Probe int      `yaml:"probe-updates"`
	Seeds []uint64 `yaml:"seeds"` // of the trainings that are compared; the search has seed 0

	Steps    int       `yaml:"steps"` // of the sampler, in comparisons
	Guidance []float64 `yaml:"guidance-scales"`
	// Prompts: those that are learnt from, of the validation set for the search, and of the held-out set for the comparison.
	Training   int `yaml:"training-prompts"`
	Validation int `yaml:"validation-prompts"`
	HeldOut    int `yaml:"heldout-prompts"`

	Reward string        `yaml:"reward"` // that labels the pairs and that methods ask which make their own pictures
	Make   yaml.MapSlice `yaml:"make"`   // flags of winnow label about pictures
	Label  yaml.MapSlice `yaml:"label"`  // and about pairs
	Train  yaml.MapSlice `yaml:"train"`  // flags of every training
	Trials int           `yaml:"trials"` // configurations that are tried of each method

	Methods []ProtocolMethod `yaml:"methods"`
	Orders  []Order          `yaml:"orders"` // what papers find
}

// ProtocolMethod is one row of the comparison.
type ProtocolMethod struct {
	Name   string          `yaml:"name"`
	Method string          `yaml:"method"` // of winnow train
	Data   string          `yaml:"data"`   // pairs, which "" means, or groups: the same pictures as rankings
	Set    yaml.MapSlice   `yaml:"set"`    // flags of its trainings
	Trials []yaml.MapSlice `yaml:"trials"` // what they differ in
}

// What Data may say.
const (
	DataPairs  = "pairs"
	DataGroups = "groups"
)

// ReadProtocol reads a protocol and refuses one that would not compare like with like.
func ReadProtocol(data []byte) (*Protocol, error) {
	p := &Protocol{}
	if err := yaml.UnmarshalWithOptions(data, p, yaml.Strict()); err != nil {
		return nil, err
	}
	return p, p.check()
}

// methodName is what a folder may be called everywhere.
var methodName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)

func (p *Protocol) check() error {
	var errs []error
	for _, v := range []struct {
		name  string
		value int
	}{
		{"unet-evaluations", p.Evaluations},
		{"probe-updates", p.Probe},
		{"steps", p.Steps},
		{"training-prompts", p.Training},
		{"validation-prompts", p.Validation},
		{"heldout-prompts", p.HeldOut},
		{"trials", p.Trials},
		{"seeds", len(p.Seeds)},
		{"guidance-scales", len(p.Guidance)},
		{"methods", len(p.Methods)},
	} {
		if v.value < 1 {
			errs = append(errs, fmt.Errorf("%s: want at least 1", v.name))
		}
	}
	if slices.Contains(p.Seeds, 0) {
		errs = append(errs, errors.New("seeds: 0 is that of the search"))
	}
	seen := map[string]bool{}
	for i, m := range p.Methods {
		if err := m.check(p.Trials); err != nil {
			errs = append(errs, fmt.Errorf("method %d (%s): %w", i+1, m.Name, err))
		}
		if seen[m.Name] {
			errs = append(errs, fmt.Errorf("method %d: the name %s comes twice", i+1, m.Name))
		}
		seen[m.Name] = true
	}
	for i := range p.Orders {
		if err := p.Orders[i].check(func(name string) bool { return seen[name] }); err != nil {
			errs = append(errs, fmt.Errorf("order %d (%s): %w", i+1, p.Orders[i].Paper, err))
		}
	}
	return errors.Join(errs...)
}

func (m *ProtocolMethod) check(trials int) error {
	switch {
	case !methodName.MatchString(m.Name):
		return errors.New("name: want small letters, digits, dots and dashes")
	case m.Data != "" && m.Data != DataPairs && m.Data != DataGroups:
		return fmt.Errorf("data: want %s or %s", DataPairs, DataGroups)
	case m.Method == "":
		return errors.New("method: name one of winnow train --list")
	case len(m.Trials) != trials:
		return fmt.Errorf("trials: there are %d, want %d as for every method", len(m.Trials), trials)
	}
	return nil
}

// Settings are the flags of a trial: those of every training, of the method, and of the trial; of a flag that comes twice the later counts.
func (p *Protocol) Settings(m ProtocolMethod, trial int) yaml.MapSlice {
	var out yaml.MapSlice
	for _, part := range []yaml.MapSlice{p.Train, m.Set, m.Trials[trial]} {
		for _, item := range part {
			at := slices.IndexFunc(out, func(have yaml.MapItem) bool { return fmt.Sprint(have.Key) == fmt.Sprint(item.Key) })
			if at < 0 {
				out = append(out, item)
			} else {
				out[at] = item
			}
		}
	}
	return out
}
