package sampling

import (
	"fmt"
	"strings"
)

// SearchInfo describes a search method that can be named.
type SearchInfo struct {
	Name, About string
	Noisy       bool // needs a sampler that adds noise on the way, such as euler-a, or ddim with eta
	Gradient    bool // needs Gradients
	method      func(Gradients) Method
}

// plainly is a method that needs no gradients.
func plainly(m Method) func(Gradients) Method { return func(Gradients) Method { return m } }

// searches are all methods with their defaults.
func searches() []SearchInfo {
	return []SearchInfo{
		{"random", "best of N fresh noises", false, false, plainly(RandomSearch())},
		{"zero-order", "climbs from noise to the best of its neighbours", false, false, plainly(ZeroOrder(ZeroOrderOptions{}))},
		{"zero-order-restart", "the same, from fresh noise where no neighbour is better", false, false, plainly(ZeroOrder(ZeroOrderOptions{Restart: true}))},
		// A small population: budgets of 8 to 16 pictures still see several generations.
		{"evolution", "breeds noises", false, false, plainly(Evolution(EvolutionOptions{Population: 5}))},
		{"pcn", "draws from prior times exp(score/β) by a Markov chain over noise", false, false, plainly(PCN(PCNOptions{}))},
		{"suffix", "the same over the noise of all steps, redrawing the last ones", true, false, plainly(Suffix(ChainOptions{}))},
		// Few directions: small budgets still see several iterations.
		{"spsa", "climbs along gradients estimated from differences of scores", false, false, plainly(SPSA(SPSAOptions{Pairs: 2}))},
		{"paths", "noises the best paths again and denoises them otherwise", false, false, plainly(SearchPaths(PathsOptions{}))},
		{"svdd", "the best of several children at every step", true, false, plainly(SVDD(SVDDOptions{}))},
		{"smc", "particles that are resampled on the way (FK steering)", true, false, plainly(SMC(SMCOptions{}))},
		{"rbf", "children at every step until one is better; what is left rolls over", true, false, plainly(RBF(RBFOptions{}))},
		{"parm", "stops candidates whose previews promise little", false, false, plainly(PARM(PARMOptions{}))},
		{"reno", "climbs the reward's gradient in the initial noise; for few-step models", false, true, func(g Gradients) Method { return ReNO(g, ReNOOptions{}) }},
		{"dno", "climbs the gradient in the noise of all steps", true, true, func(g Gradients) Method { return DNO(g, DNOOptions{}) }},
		{"guidance", "follows the gradient at every step", false, true, func(g Gradients) Method { return RewardGuidance(g, GuidanceOptions{}) }},
		{"das", "particles that follow the gradient and are resampled", true, true, func(g Gradients) Method { return DAS(g, DASOptions{}) }},
	}
}

// SearchMethods lists the methods.
func SearchMethods() []SearchInfo { return searches() }

// FindSearch describes a method.
func FindSearch(name string) (SearchInfo, error) {
	var names []string
	for _, s := range searches() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return SearchInfo{}, fmt.Errorf("sampling: there is no search %q; known are %s", name, strings.Join(names, ", "))
}

// Method is the method with its defaults. g is looked at where Gradient is set.
func (i SearchInfo) Method(g Gradients) Method { return i.method(g) }
