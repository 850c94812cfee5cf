package graph

import "math"

// fuseGelu recognises 0.5·x·(1+erf(x/√2)) and its tanh approximation, in whatever order the factors are multiplied, and
// the standard Gelu operator.
func fuseGelu(p *ir) int {
	return p.each(func(n *irNode) bool {
		if n.is("Gelu") {
			attrs := map[string]Attr{"approximate": StringAttr(n.attrString("approximate", "none"))}
			return p.replace(n, spec{op: "winnow.Gelu", attrs: attrs, inputs: n.Inputs})
		}
		if !n.is("Mul") {
			return false
		}
		coef, factors := p.factors(n.Outputs[0], 1, nil)
		if len(factors) != 2 || !near(coef, 0.5) {
			return false
		}
		return p.gelu(n, factors[0], factors[1]) || p.gelu(n, factors[1], factors[0])
	})
}

// factors flattens a product into a constant and the other factors; more than three are not followed.
func (p *ir) factors(id ValueID, coef float64, acc []ValueID) (float64, []ValueID) {
	if v, ok := p.scalar(id); ok {
		return coef * v, acc
	}
	if len(acc) > 3 {
		return coef, acc
	}
	id = p.skipCast(id)
	if n := p.def(id, "Mul"); n != nil {
		coef, acc = p.factors(n.Inputs[0], coef, acc)
		return p.factors(n.Inputs[1], coef, acc)
	}
	if n := p.def(id, "Div"); n != nil {
		if v, ok := p.scalar(n.Inputs[1]); ok && v != 0 {
			return p.factors(n.Inputs[0], coef/v, acc)
		}
	}
	return coef, append(acc, id)
}

// gelu matches the factor 1+f(u) with u a known polynomial of x.
func (p *ir) gelu(root *irNode, x, gate ValueID) bool {
	add := p.def(gate, "Add")
	if add == nil {
		return false
	}
	for i := range 2 {
		one, ok := p.scalar(add.Inputs[1-i])
		if !ok || !near(one, 1) {
			continue
		}
		inner := p.skipCast(add.Inputs[i])
		kind := ""
		if f := p.def(inner, "Erf"); f != nil && p.isErfArgument(f.Inputs[0], x) {
			kind = "none"
		} else if f := p.def(inner, "Tanh"); f != nil && p.isTanhArgument(f.Inputs[0], x) {
			kind = "tanh"
		}
		if kind != "" {
			in := p.withTypeFrom(root, x)
			return p.replace(root, spec{op: "winnow.Gelu", attrs: map[string]Attr{"approximate": StringAttr(kind)}, inputs: []ValueID{in}})
		}
	}
	return false
}

// withTypeFrom finds the form of x (before or after a cast) that has the element type of the root's output. The factors
// were taken behind casts, so a cast reader may have to be found among x's users.
func (p *ir) withTypeFrom(root *irNode, x ValueID) ValueID {
	want := p.val(root.Outputs[0]).typ.DType
	if p.val(x).typ.DType == want {
		return x
	}
	for _, u := range p.users(x) {
		if u.is("Cast") && p.val(u.Outputs[0]).typ.DType == want {
			return u.Outputs[0]
		}
	}
	return x
}

func (p *ir) isErfArgument(u, x ValueID) bool {
	c, ok := p.polynomial(u, x, 8)
	return ok && near(c[1], math.Sqrt2/2) && c[0] == 0 && c[2] == 0 && c[3] == 0
}

func (p *ir) isTanhArgument(u, x ValueID) bool {
	c, ok := p.polynomial(u, x, 12)
	k := math.Sqrt(2 / math.Pi)
	return ok && near(c[1], k) && near(c[3], k*0.044715) && c[0] == 0 && c[2] == 0
}

// cubic holds the coefficients of a polynomial up to the third power.
type cubic [4]float64

// polynomial reads a value as a polynomial of x of at most third degree. depth bounds the expression.
func (p *ir) polynomial(id, x ValueID, depth int) (cubic, bool) {
	if v, ok := p.scalar(id); ok {
		return cubic{v}, true
	}
	if id = p.skipCast(id); id == x {
		return cubic{0, 1}, true
	}
	n := p.val(id).def
	if n == nil || depth == 0 || canonicalDomain(n.Domain) != "" || len(n.Inputs) != 2 {
		return cubic{}, false
	}
	if n.Op == "Pow" {
		return p.power(n, x, depth)
	}
	a, okA := p.polynomial(n.Inputs[0], x, depth-1)
	if !okA {
		return cubic{}, false
	}
	b, okB := p.polynomial(n.Inputs[1], x, depth-1)
	if !okB {
		return cubic{}, false
	}
	switch n.Op {
	case "Add":
		return a.plus(b, 1), true
	case "Sub":
		return a.plus(b, -1), true
	case "Mul":
		return a.times(b)
	case "Div":
		if b[1] == 0 && b[2] == 0 && b[3] == 0 && b[0] != 0 {
			return a.times(cubic{1 / b[0]})
		}
	}
	return cubic{}, false
}

func (p *ir) power(n *irNode, x ValueID, depth int) (cubic, bool) {
	e, ok := p.scalar(n.Inputs[1])
	base, okBase := p.polynomial(n.Inputs[0], x, depth-1)
	if !ok || !okBase || e != 2 && e != 3 {
		return cubic{}, false
	}
	out, ok := base.times(base)
	if ok && e == 3 {
		out, ok = out.times(base)
	}
	return out, ok
}

func (a cubic) plus(b cubic, sign float64) cubic {
	for i := range a {
		a[i] += sign * b[i]
	}
	return a
}

// times multiplies; ok is false when the product exceeds the third degree.
func (a cubic) times(b cubic) (out cubic, ok bool) {
	for i, u := range a {
		for j, v := range b {
			switch {
			case u*v == 0:
			case i+j > 3:
				return out, false
			default:
				out[i+j] += u * v
			}
		}
	}
	return out, true
}
