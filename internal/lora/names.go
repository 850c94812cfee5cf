package lora

import (
	"regexp"
	"slices"
	"strings"

	"winnow/internal/graph"
)

// moduleName is the path of the module that a node belongs to, as named_modules() of the exported torch module gives it;
// "" if the file does not say. weight is the name of the constant that the node reads.
//
// The TorchScript exporter calls values by their path (/mid_block/attn1/to_q/MatMul_output_0), the dynamo exporter keeps
// the path in the node's scope, and both name convolution weights and Gemm weights by their parameters. Optimisers rename
// nodes more often than values and values more often than weights.
func (c *constants) moduleName(n *graph.Node, weight string) string {
	own, _ := strings.CutSuffix(weight, ".weight")
	if own == weight {
		own = ""
	}
	path := c.pathOf(c.g.Value(n.Outputs[0]).Name)
	if path == "" {
		path = c.pathOf(n.Name)
	}
	switch {
	case path != "" && own != "" && again(path, own):
		return own
	case path != "":
		return path
	case n.Scope != "":
		return n.Scope
	}
	return own
}

// opOf matches the last part of a TorchScript value or node name.
var opOf = regexp.MustCompile(`^(MatMul|Gemm|Conv)(_\d+)?(_output_0)?$`)

// pathOf turns /down_blocks.0/attn1/to_q/MatMul_output_0 into down_blocks.0.attn1.to_q; "" for names of another form.
//
// The exporter calls element 0 of mlp, a Sequential, /mlp/mlp.0, as it calls element 0 of the list mlp in a module mlp. It
// is the latter if some weight lies under mlp.mlp.
func (c *constants) pathOf(name string) string {
	rest, ok := strings.CutPrefix(name, "/")
	cut := strings.LastIndexByte(rest, '/')
	if !ok || cut < 0 || !opOf.MatchString(rest[cut+1:]) {
		return ""
	}
	parts := strings.Split(rest[:cut], "/")
	path := parts[0]
	for i, part := range parts[1:] {
		last := parts[i]
		if element, ok := strings.CutPrefix(part, last+"."); ok && !c.below(path+"."+last+".") {
			path += "." + element
		} else {
			path += "." + part
		}
	}
	return path
}

// below reports whether the name of a constant begins with prefix.
func (c *constants) below(prefix string) bool {
	i, _ := slices.BinarySearch(c.names, prefix)
	return i < len(c.names) && strings.HasPrefix(c.names[i], prefix)
}

// repeat is what the TorchScript exporter adds to the path of a module's second and later calls.
var repeat = regexp.MustCompile(`^_\d+$`)

// again reports whether path is own or a later call of own.
func again(path, own string) bool {
	rest, ok := strings.CutPrefix(path, own)
	return ok && (rest == "" || repeat.MatchString(rest))
}

// wrappers are attribute names under which export scripts commonly hold the network that they export.
var wrappers = map[string]bool{
	"m": true, "model": true, "module": true, "net": true, "network": true, "unet": true, "transformer": true,
	"wrapped": true, "_orig_mod": true,
}

// unwrap drops the first part of all names when it is an exporter's wrapper: the same for all, and either known as such
// or missing from the names of the weights.
func unwrap(found []found) {
	if len(found) < 2 {
		return
	}
	first, _, ok := strings.Cut(found[0].module, ".")
	known := wrappers[first]
	for _, f := range found {
		head, rest, more := strings.Cut(f.module, ".")
		if !ok || !more || head != first {
			return
		}
		known = known || f.weight == rest+".weight"
	}
	if !known {
		return
	}
	for i := range found {
		found[i].module = found[i].module[len(first)+1:]
	}
}
