package graph

import (
	"fmt"
	"slices"
)

// pass is one rewrite over the specialised graph. It matches by structure and returns how often it applied.
type pass struct {
	name string
	run  func(p *ir) int
}

// structurePasses run in this order. Later ones rely on earlier ones: activations before the things they are fused into,
// views merged before layouts are looked at. They recognise operators that files spell out, and every one that they make
// has a gradient of its own.
var structurePasses = []pass{
	{"simplify", simplify},
	{"silu", fuseSilu},
	{"gelu", fuseGelu},
	{"geglu", fuseGEGLU},
	{"groupnorm", fuseGroupNorm},
	{"groupnorm activation", fuseNormActivation},
	{"layernorm", fuseLayerNorm},
	{"rmsnorm", fuseRMSNorm},
	{"attention", fuseAttention},
	{"transposes", simplify}, // attention has left transposes that cancel out
	{"heads", fuseHeads},
	{"low rank", fuseLowRank},
	{"linear", fuseLinear},
	{"bias", fuseBias},
	{"scale", fuseScale},
	{"upsampling", fuseUpConv}, // convolutions have their biases
}

// epiloguePasses let products and convolutions do what follows them. A gradient is taken before, because it needs the
// values that vanish here; those that it reads stay, as they have more than one reader.
var epiloguePasses = []pass{
	{"channels-last weights", fuseConvWeights},
	{"activation", fuseActivation},
	{"residual", fuseResidual},
	{"views", simplify},
}

// reversePasses tidy the reverse pass up before the epilogues are looked for in it.
var reversePasses = []pass{
	{"reverse", simplify},
	{"reverse linear", fuseLinear},
	{"reverse scale", fuseScale},
}

// runPasses applies rewrites and counts them by name.
func (p *ir) runPasses(o *Options, counts map[string]int, passes []pass) {
	for _, r := range passes {
		n := r.run(p)
		if n == 0 {
			continue
		}
		counts[r.name] += n
		p.sweep()
		if o.Debug >= 1 {
			fmt.Fprintf(o.Log, "winnow: %s: %s ×%d\n", p.src.Source, r.name, n)
		}
	}
}

// each calls f for every live node of a snapshot of the list and counts how often it returns true; f may rewrite.
func (p *ir) each(f func(n *irNode) bool) int {
	count := 0
	for _, n := range slices.Clone(p.nodes) {
		if !n.dead && f(n) {
			count++
		}
	}
	return count
}
