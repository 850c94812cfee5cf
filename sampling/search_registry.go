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
	options     any  // the defaults, a struct
	method      func(Gradients, any) Method
}

// searches are all methods with their defaults.
func searches() []SearchInfo {
	return []SearchInfo{
		plainly("random", "best of N fresh noises", false, struct{}{}, func(struct{}) Method { return RandomSearch() }),
		plainly("zero-order", "climbs from noise to the best of its neighbours", false, ZeroOrderOptions{}, ZeroOrder),
		plainly("zero-order-restart", "the same, from fresh noise where no neighbour is better", false, ZeroOrderOptions{Restart: true}, ZeroOrder),
		// A small population: budgets of 16 pictures still see several generations.
		plainly("evolution", "breeds noises", false, EvolutionOptions{Population: 8}, Evolution),
		plainly("pcn", "draws from prior times exp(score/β) by a Markov chain over noise", false, PCNOptions{}, PCN),
		plainly("suffix", "the same over the noise of all steps, redrawing the last ones", true, SuffixOptions{}, Suffix),
		// Few directions: small budgets still see several iterations.
		plainly("spsa", "climbs along gradients estimated from differences of scores", false, SPSAOptions{Pairs: 2}, SPSA),
		plainly("paths", "noises the best paths again and denoises them otherwise", false, PathsOptions{}, SearchPaths),
		plainly("svdd", "the best of several children at every step", true, SVDDOptions{}, SVDD),
		plainly("smc", "particles that are resampled on the way (FK steering)", true, SMCOptions{}, SMC),
		plainly("rbf", "children at every step until one is better; what is left rolls over", true, RBFOptions{}, RBF),
		plainly("parm", "stops candidates whose previews promise little", false, PARMOptions{Checks: []float64{0.5, 0.7}, Keep: 0.6}, PARM),
		climber("reno", "climbs the reward's gradient in the initial noise; for few-step models", false, ReNOOptions{}, ReNO),
		climber("dno", "climbs the gradient in the noise of all steps", true, DNOOptions{}, DNO),
		// Where it begins, previews say something.
		climber("guidance", "follows the gradient at every step", false, GuidanceOptions{Begin: 0.3}, RewardGuidance),
		climber("das", "particles that follow the gradient and are resampled", true, DASOptions{}, DAS),
	}
}

func plainly[O any](name, about string, noisy bool, defaults O, m func(O) Method) SearchInfo {
	return SearchInfo{name, about, noisy, false, defaults, func(_ Gradients, o any) Method { return m(o.(O)) }}
}

func climber[O any](name, about string, noisy bool, defaults O, m func(Gradients, O) Method) SearchInfo {
	return SearchInfo{name, about, noisy, true, defaults, func(g Gradients, o any) Method { return m(g, o.(O)) }}
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

// Method is the method with its settings. g is looked at where Gradient is set.
func (i SearchInfo) Method(g Gradients) Method { return i.method(g, i.options) }
