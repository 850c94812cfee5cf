package sampling

import (
	"fmt"
	"slices"
	"strings"
)

// Info describes a sampler that this package provides.
type Info struct {
	Name    string   // the name of the --scheduler flag
	Class   string   // diffusers' class
	Aliases []string // names elsewhere that Lookup also takes
	Paper   string   // where the method is from

	settings map[string]string // keys that tell this name from others of its class, as JSON
}

var samplers = []Info{
	{Name: "ddim", Class: classDDIM, Paper: "Song, Meng, Ermon 2021, arXiv 2010.02502"},
	{Name: "ddpm", Class: classDDPM, Paper: "Ho, Jain, Abbeel 2020, arXiv 2006.11239"},
	{Name: "pndm", Class: classPNDM, Aliases: []string{"plms"}, Paper: "Liu, Ren, Lin, Zhao 2022, arXiv 2202.09778"},
	{Name: "euler", Class: classEuler, Aliases: []string{"k_euler"}, Paper: "Karras, Aittala, Aila, Laine 2022, arXiv 2206.00364, algorithm 2 without churn"},
	{
		Name: "euler-a", Class: classEulA, Aliases: []string{"euler_a", "k_euler_a", "euler_ancestral"},
		Paper: "Crowson, k-diffusion, sample_euler_ancestral",
	},
	{
		Name: "dpmpp-2m", Class: classDPM, Aliases: []string{"dpmpp_2m", "dpm++2m", "dpm++_2m", "dpm++ 2m"},
		Paper:    "Lu, Zhou, Bao, Chen, Li, Zhu 2022, arXiv 2211.01095, algorithm 2",
		settings: map[string]string{"algorithm_type": `"dpmsolver++"`, "solver_order": "2"},
	},
	{
		Name: "dpmpp-2m-sde", Class: classDPM, Aliases: []string{"dpmpp_2m_sde", "dpm++2m sde", "dpm++ 2m sde"},
		Paper:    "Lu et al. 2022, arXiv 2211.01095; Crowson, k-diffusion, sample_dpmpp_2m_sde",
		settings: map[string]string{"algorithm_type": `"sde-dpmsolver++"`, "solver_order": "2"},
	},
	{
		Name: "dpmpp-3m", Class: classDPM, Aliases: []string{"dpmpp_3m"},
		Paper:    "Lu et al. 2022, arXiv 2211.01095, third-order multistep",
		settings: map[string]string{"algorithm_type": `"dpmsolver++"`, "solver_order": "3"},
	},
	{
		Name: "flow-euler", Class: classFlow, Aliases: []string{"flow_euler", "flow-match-euler", "flowmatch_euler"},
		Paper: "Esser et al. 2024, arXiv 2403.03206; Liu, Gong, Liu 2023, arXiv 2209.03003",
	},
}

// Samplers lists the samplers, in the order of the package documentation.
func Samplers() []Info { return slices.Clone(samplers) }

// Lookup finds a sampler by its name, an alias or its diffusers class name. Case does not matter; a class name that
// several samplers share gives the first. The error lists what is available.
func Lookup(name string) (Info, error) {
	for _, s := range samplers {
		if strings.EqualFold(name, s.Name) || strings.EqualFold(name, s.Class) ||
			slices.ContainsFunc(s.Aliases, func(a string) bool { return strings.EqualFold(name, a) }) {
			return s, nil
		}
	}
	names := make([]string, len(samplers))
	for i, s := range samplers {
		names[i] = s.Name
	}
	return Info{}, &UnknownSamplerError{Name: name, Available: names}
}

// UnknownSamplerError reports a sampler or diffusers class that this package does not provide.
type UnknownSamplerError struct {
	Name      string
	Available []string
}

func (e *UnknownSamplerError) Error() string {
	return fmt.Sprintf("sampling: scheduler %q is not available; available: %s (or their diffusers class names)",
		e.Name, strings.Join(e.Available, ", "))
}
