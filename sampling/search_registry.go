package sampling

import (
	"fmt"
	"slices"
	"strings"
)

// SearchInfo describes a search method that can be named.
type SearchInfo struct {
	Name, About string
	Noisy       bool // needs a sampler that adds noise on the way, such as euler-a, or ddim with eta
	method      func() Method
}

// searches are all methods with their defaults.
var searches = []SearchInfo{
	{"random", "best of N fresh noises", false, RandomSearch},
	{"zero-order", "climbs from noise to the best of its neighbours", false, func() Method { return ZeroOrder(ZeroOrderOptions{}) }},
	{"zero-order-restart", "the same, from fresh noise where no neighbour is better", false, func() Method { return ZeroOrder(ZeroOrderOptions{Restart: true}) }},
	// A small population: budgets of 8 to 16 pictures still see several generations.
	{"evolution", "breeds noises", false, func() Method { return Evolution(EvolutionOptions{Population: 5}) }},
	{"smc", "particles that are resampled on the way (FK steering)", true, func() Method { return SMC(SMCOptions{}) }},
	{"svdd", "the best of several children at every step", true, func() Method { return SVDD(SVDDOptions{}) }},
	{"paths", "noises paths again on the way and keeps the best", false, func() Method { return SearchPaths(PathsOptions{}) }},
	{"rbf", "children until one is better, what is left rolls over to later steps", true, func() Method { return RBF(RBFOptions{}) }},
	{"parm", "stops candidates whose previews promise little", false, func() Method { return PARM(PARMOptions{}) }},
	{"pcn", "draws from prior times exp(score/β) by a Markov chain over noise", false, func() Method { return PCN(PCNOptions{}) }},
	{"suffix", "the same over the noise of all steps, redrawing the last ones", true, func() Method { return Suffix(ChainOptions{}) }},
	// Few directions: small budgets still see several iterations.
	{"spsa", "climbs along gradients estimated from differences of scores", false, func() Method { return SPSA(SPSAOptions{Pairs: 2}) }},
}

// SearchMethods lists the methods.
func SearchMethods() []SearchInfo { return slices.Clone(searches) }

// NewSearch is a method by name, with its defaults.
func NewSearch(name string) (Method, error) {
	var names []string
	for _, s := range searches {
		if s.Name == name {
			return s.method(), nil
		}
		names = append(names, s.Name)
	}
	return nil, fmt.Errorf("sampling: there is no search %q; known are %s", name, strings.Join(names, ", "))
}
