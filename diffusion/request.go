package diffusion

import (
	"fmt"
	"image"
	"math"

	"winnow/sampling"
)

// Request says what to generate. The zero value of every field but Prompts means the model's own default, unless the
// field says otherwise.
type Request struct {
	Prompts []string // one or more prompts
	// PromptSuffix is text behind every prompt that only the text encoders read; pictures are named, ranked and searched by the prompts alone.
	PromptSuffix   string
	NegativePrompt string   // applies to every prompt; "" means none, which XL models treat as zeros
	Height, Width  int      // pixels, multiples of the VAE factor (8 for most models)
	Steps          int      // sampling steps
	GuidanceScale  float64  // 1 or less (above 0) turns guidance off, but that of CHATS; 0 means the model's default
	Seed           uint64   // picture i of a prompt starts from Seed+i; 0 is a seed like any other
	Seeds          []uint64 // one per prompt: picture i of prompt p starts from Seeds[p]+i. It replaces Seed
	Count          int      // pictures per prompt; 0 means 1
	BatchSize      int      // pictures per network call; 0 chooses by size
	Scheduler      string   // diffusers class name or short name such as "euler-a"; "" keeps the model's own
	Sigmas         string   // "", "karras", "exponential" or "beta"
	Eta            float64  // DDIM's share of noise, 0 to 1
	FlowNoise      float64  // of flow-euler, 0 or more: see sampling.PlanOptions

	// Guidance is the rule that makes one prediction of two: "" or "cfg", classifier-free guidance; "chats", the rule of CHATS
	// (arXiv 2502.12579), whose scale s is one less than that of the others; "auto", guidance by a weaker network; "pag",
	// that of the others and away from the network without some self-attentions, see Options.PAGLayers (arXiv 2403.17377).
	Guidance string
	// PAGScale is the strength of "pag" besides GuidanceScale; 0 means 3.
	PAGScale float64
	// GuidanceInterval limits guidance to a part of the run; nil means all of it.
	GuidanceInterval *sampling.Interval
	// CHATSAlpha says how far the proxy prompt of CHATS lies from the prompt; nil means 0.5.
	CHATSAlpha *float64
	// NullPrompt says what stands for no prompt where NegativePrompt is empty: "encoded", the empty string; "zeros"; ""
	// means encoded for CHATS, else what the model's own pipeline does.
	NullPrompt string
	// GuidanceRescale corrects over-exposure under guidance (Lin et al., 2023, section 3.4), 0 (off) to 1.
	GuidanceRescale float64

	Truncate bool // drop the text that a text encoder cannot read instead of failing

	// Latents is the initial noise of unit variance, [pictures, channels, height/factor, width/factor] in order of
	// prompts, then pictures. It replaces the noise that Seed draws; noise inside the sampler still comes from Seed.
	Latents []float32
	// Embeds replaces the text encoders; Prompts then only name the pictures.
	Embeds *PromptEmbeds

	// OnStep is called after each sampling step; an error stops the run and is returned.
	OnStep func(Step) error
}

// PromptEmbeds are text embeddings from elsewhere, float32 and row-major: one row per prompt, and one row for all
// negatives or one per prompt.
type PromptEmbeds struct {
	Tokens, Dim, PooledDim       int
	Prompt, Negative             []float32 // [rows, Tokens, Dim]
	PooledPrompt, PooledNegative []float32 // [rows, PooledDim]; XL and SD3 models only
}

// Step reports progress. X and Denoised are valid during the call only.
type Step struct {
	Batch, Batches  int       // which group of pictures runs
	First, Pictures int       // its first picture and how many it has
	Index, Count    int       // step just done, from 1, of how many
	Timestep        float64   // of the step
	NFE             int       // network evaluations of one picture so far
	X, Denoised     []float32 // latents after the step, and the clean latents it predicted
}

// Params are the settings that made a picture, enough to make it again. They travel inside the PNG file.
type Params struct {
	Prompt          string  `json:"prompt"`
	PromptSuffix    string  `json:"prompt_suffix,omitempty"`
	NegativePrompt  string  `json:"negative_prompt,omitempty"`
	Model           string  `json:"model"`
	Scheduler       string  `json:"scheduler"` // diffusers class name
	Sigmas          string  `json:"sigmas,omitempty"`
	Eta             float64 `json:"eta,omitempty"`
	FlowNoise       float64 `json:"flow_noise,omitempty"`
	Steps           int     `json:"steps"`
	GuidanceScale   float64 `json:"guidance_scale"`
	GuidanceRescale float64 `json:"guidance_rescale,omitempty"`
	// Guidance is the rule; "" is classifier-free guidance. The fields below it are as in a Request.
	Guidance         string   `json:"guidance,omitempty"`
	GuidanceInterval string   `json:"guidance_interval,omitempty"` // in the form of sampling.ParseInterval
	CHATSAlpha       *float64 `json:"chats_alpha,omitempty"`
	PAGScale         float64  `json:"pag_scale,omitempty"`
	PAGLayers        []string `json:"pag_layers,omitempty"`
	NullPrompt       string   `json:"null_prompt,omitempty"`

	LoRA          []AdapterInfo `json:"lora,omitempty"`
	Seed          uint64        `json:"seed"`
	Height        int           `json:"height"`
	Width         int           `json:"width"`
	NFE           int           `json:"nfe"`
	LatentsGiven  bool          `json:"latents_given,omitempty"` // initial noise came from a file: Seed alone does not make the picture
	EmbedsGiven   bool          `json:"prompt_embeds_given,omitempty"`
	Truncated     bool          `json:"truncated,omitempty"`
	Search        string        `json:"search,omitempty"` // method that found it; Seed is that of its first candidate
	SearchOptions []string      `json:"search_options,omitempty"`
	SearchBudget  int           `json:"search_budget,omitempty"`
	Preview       bool          `json:"preview,omitempty"` // a prediction on the way: the search was stopped before a picture was finished
	Version       string        `json:"winnow_version,omitempty"`
}

// Image is one picture with all that is needed to make it again.
type Image struct {
	*image.NRGBA
	Params  Params
	Latents []float32 // final latents [channels, height/factor, width/factor], before the VAE
}

// RequestError reports a setting that cannot work. It is the caller's mistake, found before any work was done.
type RequestError struct {
	Field string // in the words of the command line: "steps", "guidance-scale", …
	Value string
	Why   string
}

func (e *RequestError) Error() string { return fmt.Sprintf("%s %s: %s", e.Field, e.Value, e.Why) }

func badValue(field string, value any, why string) error {
	return &RequestError{Field: field, Value: fmt.Sprint(value), Why: why}
}

// withDefaults fills zero fields from the model's defaults.
func (p *Pipeline) withDefaults(r Request) Request {
	d := p.ldm.Defaults
	setInt := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	setInt(&r.Height, d.Height)
	setInt(&r.Width, d.Width)
	setInt(&r.Steps, d.Steps)
	setInt(&r.Count, 1)
	if r.GuidanceScale == 0 {
		r.GuidanceScale = d.GuidanceScale
	}
	r.guidanceDefaults()
	if r.BatchSize == 0 {
		r.BatchSize = max(1, autoBatch/(r.Height/p.ldm.Factor*(r.Width/p.ldm.Factor)+1))
	}
	return r
}

// autoBatch is the number of latent positions that a network call takes when no batch size is given: one picture of
// 512×512, or 16 of the embedded model's 64×64.
const autoBatch = 64*64 + 1

// check reports the first setting that cannot work. It expects defaults to be filled in.
func (p *Pipeline) check(r Request) error {
	f := p.ldm.Multiple
	switch {
	case len(r.Prompts) == 0:
		return badValue("prompt", `""`, "give at least one prompt")
	case r.Steps < 1 || r.Steps > 1000:
		return badValue("steps", r.Steps, "want 1 to 1000")
	case r.GuidanceScale < 0 || math.IsNaN(r.GuidanceScale) || math.IsInf(r.GuidanceScale, 0):
		return badValue("guidance-scale", r.GuidanceScale, "want a number that is not negative; 1 turns guidance off")
	case r.GuidanceRescale < 0 || r.GuidanceRescale > 1 || math.IsNaN(r.GuidanceRescale):
		return badValue("guidance-rescale", r.GuidanceRescale, "want 0 to 1")
	case r.Eta < 0 || r.Eta > 1 || math.IsNaN(r.Eta):
		return badValue("eta", r.Eta, "want 0 to 1")
	case r.FlowNoise < 0 || math.IsNaN(r.FlowNoise) || math.IsInf(r.FlowNoise, 0):
		return badValue("flow-noise", r.FlowNoise, "want 0, for none, or more; Flow-GRPO has 0.7")
	case r.Height < f || r.Height%f != 0 || r.Height > maxSide:
		return badValue("height", r.Height, fmt.Sprintf("want a multiple of %d from %d to %d", f, f, maxSide))
	case r.Width < f || r.Width%f != 0 || r.Width > maxSide:
		return badValue("width", r.Width, fmt.Sprintf("want a multiple of %d from %d to %d", f, f, maxSide))
	case r.Count < 1:
		return badValue("num-images", r.Count, "want at least 1")
	case r.BatchSize < 1:
		return badValue("batch-size", r.BatchSize, "want at least 1")
	case r.Seeds != nil && len(r.Seeds) != len(r.Prompts):
		return badValue("seeds", fmt.Sprintf("(%d numbers)", len(r.Seeds)), fmt.Sprintf("want one for each of %d prompts", len(r.Prompts)))
	}
	if err := r.checkGuidance(p.oneSided(), p.pagLayers); err != nil {
		return err
	}
	return p.checkArrays(r)
}

// maxSide bounds a picture's side in pixels; a larger one is a typing error, and its activations would not fit.
const maxSide = 8192

func (p *Pipeline) checkArrays(r Request) error {
	total := len(r.Prompts) * r.Count
	if want := total * p.latentSize(r); r.Latents != nil && len(r.Latents) != want {
		return badValue("latents", fmt.Sprintf("(%d numbers)", len(r.Latents)),
			fmt.Sprintf("want %d: [%d %d %d %d]", want, total, p.ldm.LatentChannels, r.Height/p.ldm.Factor, r.Width/p.ldm.Factor))
	}
	for _, v := range r.Latents {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return badValue("latents", v, "want finite numbers")
		}
	}
	if e := r.Embeds; e != nil {
		return e.check(len(r.Prompts), p.ldm.HasPooled(), r.needsNull())
	}
	return nil
}

func (e *PromptEmbeds) check(prompts int, pooled, guided bool) error {
	if e.Tokens < 1 || e.Dim < 1 || len(e.Prompt) != prompts*e.Tokens*e.Dim {
		return badValue("prompt-embeds", fmt.Sprintf("(%d numbers)", len(e.Prompt)),
			fmt.Sprintf("prompt_embeds must be [%d prompts, tokens, dim]", prompts))
	}
	one, all := e.Tokens*e.Dim, len(e.Prompt)
	if guided && len(e.Negative) != one && len(e.Negative) != all {
		return badValue("prompt-embeds", fmt.Sprintf("(%d numbers)", len(e.Negative)),
			"negative_prompt_embeds must have one row, or one per prompt, of the same size as prompt_embeds")
	}
	if !pooled {
		return nil
	}
	if e.PooledDim < 1 || len(e.PooledPrompt) != prompts*e.PooledDim ||
		(guided && len(e.PooledNegative)*one != len(e.Negative)*e.PooledDim) {
		return badValue("prompt-embeds", fmt.Sprintf("(%d pooled numbers)", len(e.PooledPrompt)),
			"this model also needs pooled_prompt_embeds and negative_pooled_prompt_embeds with the same rows")
	}
	return nil
}

// seed is that of picture i of the request.
func (r *Request) seed(i int) uint64 {
	base := r.Seed
	if r.Seeds != nil {
		base = r.Seeds[i/r.Count]
	}
	return base + uint64(i%r.Count)
}

// latentSize is the number of latents of one picture.
func (p *Pipeline) latentSize(r Request) int {
	return p.ldm.LatentChannels * (r.Height / p.ldm.Factor) * (r.Width / p.ldm.Factor)
}

// texts are what the text encoders read.
func (r *Request) texts() []string {
	if r.PromptSuffix == "" {
		return r.Prompts
	}
	out := make([]string, len(r.Prompts))
	for i, p := range r.Prompts {
		out[i] = p + r.PromptSuffix
	}
	return out
}
