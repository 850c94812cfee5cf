package graph

// Embedded is the executor of this package.
type Embedded struct {
	// Options apply to every compilation; nil is ready to use.
	Options *Options
}

// Name is "embedded".
func (e *Embedded) Name() string { return "embedded" }

// Compile is the function Compile of this package.
func (e *Embedded) Compile(g *Graph, inputs map[string]Type) (Runner, error) {
	p, err := Compile(g, inputs, e.Options)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// CompileGradient is the function CompileGradient of this package.
func (e *Embedded) CompileGradient(g *Graph, inputs map[string]Type, spec GradientSpec) (Gradient, error) {
	p, err := CompileGradient(g, inputs, spec, e.Options)
	if err != nil {
		return nil, err
	}
	return p, nil
}
