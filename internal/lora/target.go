package lora

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// AllLinear as a target means every Linear module, as in PEFT.
const AllLinear = "all-linear"

// chosen returns the modules that an adapter's targets mean, in the network's order. Every target must match a module.
func (a *Adapter) chosen(source string, s *surveyed) ([]*Module, error) {
	var pattern *regexp.Regexp
	if a.Pattern != "" {
		var err error
		if pattern, err = regexp.Compile("^(?:" + a.Pattern + ")$"); err != nil {
			return nil, fmt.Errorf("adapter %q: target pattern: %w", a.Name, err)
		}
	}
	used, named := map[string]bool{}, map[string]bool{}
	for _, name := range a.Modules {
		named[name] = true
	}
	var out []*Module
	for i := range s.modules {
		m := &s.modules[i]
		hit := pattern != nil && pattern.MatchString(m.Name)
		if hit {
			used[a.Pattern] = true
		}
		if named[m.Name] {
			used[m.Name], hit = true, true
		}
		for _, t := range a.Targets {
			if matches(m, t) {
				used[t], hit = true, true
			}
		}
		if hit && !slices.ContainsFunc(a.Exclude, func(t string) bool { return matches(m, t) }) {
			out = append(out, m)
		}
	}
	wanted := slices.Concat(a.Targets, a.Modules)
	if pattern != nil {
		wanted = append(wanted, a.Pattern)
	}
	for _, t := range wanted {
		if !used[t] {
			return nil, s.unmatched(source, a.Name, t)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("adapter %q: no target modules are named, or all are excluded", a.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(a.single())) {
		if !slices.ContainsFunc(out, func(m *Module) bool { return m.Name == name }) {
			return nil, &ModuleError{Adapter: a.Name, Module: name, Modules: len(out)}
		}
	}
	return out, nil
}

// single is the set of modules that Ranks and Alphas name.
func (a *Adapter) single() map[string]bool {
	names := map[string]bool{}
	for name := range a.Ranks {
		names[name] = true
	}
	for name := range a.Alphas {
		names[name] = true
	}
	return names
}

// matches is PEFT's rule: the whole name, or its end after a dot.
func matches(m *Module, target string) bool {
	if target == AllLinear {
		return m.Kind == Linear
	}
	return m.Name == target || strings.HasSuffix(m.Name, "."+target)
}

// TargetError says that a target matches no module of a network.
type TargetError struct {
	Source     string // file
	Adapter    string
	Target     string
	Candidates []string // ends of module names that would match, with how many modules each; most frequent first
	Why        string   // what hides modules in this file, "" if nothing is known to
}

// ModuleError says that a rank or alpha is given for something that is no module of an adapter.
type ModuleError struct {
	Adapter, Module string
	Modules         int // of the adapter
}

func (e *ModuleError) Error() string {
	return fmt.Sprintf("adapter %q: a rank or alpha is given for module %q, which is none of its %d modules", e.Adapter, e.Module, e.Modules)
}

// Error names file, adapter, target and what could be meant.
func (e *TargetError) Error() string {
	var b strings.Builder
	if e.Source != "" {
		b.WriteString(e.Source + ": ")
	}
	fmt.Fprintf(&b, "adapter %q: target %q matches no module", e.Adapter, e.Target)
	if e.Why != "" {
		b.WriteString("; " + e.Why)
	}
	const shown = 24
	if n := len(e.Candidates); n > 0 {
		fmt.Fprintf(&b, "; modules end in %s", strings.Join(e.Candidates[:min(n, shown)], ", "))
		if n > shown {
			fmt.Fprintf(&b, " and %d more", n-shown)
		}
	}
	return b.String()
}

func (s *surveyed) unmatched(source, adapter, target string) error {
	e := &TargetError{Source: source, Adapter: adapter, Target: target}
	count := map[string]int{}
	for i := range s.modules {
		count[ending(s.modules[i].Name)]++
	}
	for name := range count {
		e.Candidates = append(e.Candidates, name)
	}
	slices.SortFunc(e.Candidates, func(a, b string) int {
		if d := count[b] - count[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for i, name := range e.Candidates {
		e.Candidates[i] = fmt.Sprintf("%s (%d)", name, count[name])
	}
	e.Why = s.hidden()
	return e
}

// hidden says what hides modules in the file, "" if nothing is known to.
func (s *surveyed) hidden() string {
	var why []string
	if s.fused > 0 {
		why = append(why, fmt.Sprintf("the file holds %d fused operators of other domains, which hide modules: "+
			"export it without optimisation", s.fused))
	}
	if s.nameless > 0 {
		why = append(why, fmt.Sprintf("%d products in the file have lost their module's name, as optimisers of ONNX files do", s.nameless))
	}
	return strings.Join(why, "; ")
}

// ending is the shortest end of a module's name that says what it is: to_q, to_out.0.
func ending(name string) string {
	parts := strings.Split(name, ".")
	i := len(parts) - 1
	for i > 0 && strings.Trim(parts[i], "0123456789") == "" {
		i--
	}
	return strings.Join(parts[i:], ".")
}
