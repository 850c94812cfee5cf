package diffusion

import (
	"fmt"
	"runtime/debug"

	"winnow/internal/ldm"
)

// images turns decoded pixels of a batch into pictures. A picture with a non-finite pixel is an error that names it.
func (r *run) images(first, n int, latents, pixels []float32) ([]Image, error) {
	size := len(latents) / n
	area := 3 * r.req.Height * r.req.Width
	out := make([]Image, n)
	for i := range out {
		img, err := ldm.ToImage(pixels[i*area:(i+1)*area], r.req.Height, r.req.Width)
		if err != nil {
			return nil, fmt.Errorf("picture %d: %w", first+i+1, err)
		}
		out[i] = Image{
			NRGBA:   img,
			Params:  r.params(first + i),
			Latents: append([]float32(nil), latents[i*size:(i+1)*size]...),
		}
	}
	return out, nil
}

// params are the settings of picture i.
func (r *run) params(i int) Params {
	cfg := r.plan.Scheduler().Config()
	return Params{
		Prompt: r.req.Prompts[i/r.req.Count], PromptSuffix: r.req.PromptSuffix, NegativePrompt: r.req.NegativePrompt, Model: r.p.name,
		Scheduler: cfg.Class, Sigmas: r.req.Sigmas, Eta: r.req.Eta, FlowNoise: r.req.FlowNoise, Steps: r.req.Steps,
		GuidanceScale: r.req.GuidanceScale, GuidanceRescale: r.req.GuidanceRescale,
		Guidance: r.req.rule(), GuidanceInterval: r.req.interval(), CHATSAlpha: r.req.alpha(), NullPrompt: r.req.NullPrompt, LoRA: r.p.Adapters(),
		PAGScale: r.req.PAGScale, PAGLayers: r.req.pagLayers(r.p.pagLayers),
		Seed: r.req.seed(i), Height: r.req.Height, Width: r.req.Width,
		NFE: r.steps.nfe[r.plan.Len()-1], LatentsGiven: r.req.Latents != nil, EmbedsGiven: r.req.Embeds != nil,
		Truncated: r.req.Truncate, Version: Version(),
	}
}

// Version is the module version that the binary was built from: a tag, a commit, or "devel".
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
