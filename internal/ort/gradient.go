package ort

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// cotangentPrefix begins the names of the inputs of a reverse graph that take cotangents, see graph.SplitVJP.
const cotangentPrefix = "cotangent/"

// CompileGradient makes two sessions, see graph.SplitVJP: what the reverse session reads of the forward session stays
// with ONNX Runtime between the two.
func (e *Executor) CompileGradient(g *graph.Graph, inputs map[string]graph.Type, spec graph.GradientSpec) (graph.Gradient, error) {
	forward, reverse, err := graph.SplitVJP(g, inputs, spec)
	if err != nil {
		return nil, err
	}
	f, err := e.compile(forward, declared(forward))
	if err != nil {
		return nil, err
	}
	r, err := e.compile(reverse, declared(reverse))
	if err != nil {
		f.Close()
		return nil, err
	}
	d := &gradient{forward: f, reverse: r, cotangents: map[string]graph.Type{}}
	reads := map[string]bool{}
	for name, typ := range r.in {
		if o, ok := strings.CutPrefix(name, cotangentPrefix); ok {
			d.cotangents[o] = typ
		} else {
			reads[name] = true
		}
	}
	own := len(g.Outputs) // those of the graph come first, the saved values behind
	for i := range f.s.outputs {
		f.s.outputs[i].keep = i >= own
	}
	for name := range reads {
		_, input := f.in[name]
		if !input && !slices.ContainsFunc(f.s.outputs, func(o output) bool { return o.name == name }) {
			d.Close()
			return nil, fmt.Errorf("%s: the reverse pass reads %q, which the forward pass does not have", g.Source, name)
		}
	}
	d.reads, d.own = reads, own
	return d, nil
}

// declared collects the static types that a graph of graph.SplitVJP declares for its inputs.
func declared(g *graph.Graph) map[string]graph.Type {
	out := make(map[string]graph.Type, len(g.Inputs))
	for _, id := range g.Inputs {
		v := g.Value(id)
		t := graph.Type{DType: v.DType, Shape: make([]int, len(v.Dims))}
		for i, d := range v.Dims {
			t.Shape[i] = d.Size
		}
		out[v.Name] = t
	}
	return out
}

// gradient is a pair of sessions as graph.Gradient.
type gradient struct {
	forward, reverse *program
	cotangents       map[string]graph.Type // by output
	reads            map[string]bool       // inputs of reverse that are inputs or outputs of forward
	own              int                   // outputs of forward that the caller gets

	mu    sync.Mutex
	saved map[string]value // of the last Forward; nil: there is nothing to go back through
}

// Forward implements graph.Gradient.
func (d *gradient) Forward(ctx context.Context, in map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop()
	s := d.forward.s
	in, err := checked(s.g, d.forward.in, in)
	if err != nil {
		return nil, err
	}
	values, free, err := s.newValues(in)
	defer free()
	if err != nil {
		return nil, err
	}
	results, err := s.run(ctx, values)
	if err != nil {
		return nil, err
	}
	d.saved = map[string]value{}
	for name, v := range values {
		if d.reads[name] {
			d.saved[name] = v
			delete(values, name)
		}
	}
	return d.divide(results)
}

// divide reads the caller's outputs and keeps what the reverse pass needs.
func (d *gradient) divide(results []value) (map[string]tensor.Tensor, error) {
	s := d.forward.s
	outs := make(map[string]tensor.Tensor, d.own)
	var failed error
	for i, v := range results {
		name := s.outputs[i].name
		if i < d.own {
			t, err := s.lib.read(v)
			if err != nil && failed == nil {
				failed = err
			}
			outs[name] = t
		}
		if d.reads[name] {
			d.saved[name] = v
		} else {
			s.lib.free(v)
		}
	}
	if failed != nil {
		d.drop()
		return nil, failed
	}
	return outs, nil
}

// Backward implements graph.Gradient. As under the embedded executor each forward pass serves one reverse pass, whose
// memory is free afterwards.
func (d *gradient) Backward(ctx context.Context, cotangents map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.saved == nil {
		return nil, graph.ErrNoForward
	}
	s := d.reverse.s
	in, err := d.complete(cotangents)
	if err != nil {
		return nil, err
	}
	values, free, err := s.newValues(in)
	defer free()
	if err != nil {
		return nil, err
	}
	defer d.drop()
	all := maps.Clone(d.saved)
	maps.Copy(all, values)
	results, err := s.run(ctx, all)
	if err != nil {
		return nil, err
	}
	return s.collect(results)
}

// complete checks cotangents, adds zeros for those left out, and names them as the reverse session does.
func (d *gradient) complete(given map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
	full := maps.Clone(given)
	if full == nil {
		full = map[string]tensor.Tensor{}
	}
	for name, typ := range d.cotangents {
		if _, ok := full[name]; !ok {
			full[name] = tensor.New(typ.DType, typ.Shape...)
		}
	}
	full, err := checked(d.reverse.s.g, d.cotangents, full)
	if err != nil {
		return nil, err
	}
	in := make(map[string]tensor.Tensor, len(full))
	for name, t := range full {
		in[cotangentPrefix+name] = t
	}
	return in, nil
}

// drop frees what the last Forward left.
func (d *gradient) drop() {
	d.forward.s.lib.freeAll(d.saved)
	d.saved = nil
}

// Close implements graph.Gradient.
func (d *gradient) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop()
	d.forward.Close()
	d.reverse.Close()
}
