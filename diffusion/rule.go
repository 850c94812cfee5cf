package diffusion

import (
	"context"
	"fmt"
	"math"
	"slices"

	"winnow/internal/ldm"
	"winnow/sampling"
)

// Rules of guidance, see Request.Guidance.
const (
	CFG   = "cfg"
	CHATS = "chats"
	Auto  = "auto"
	PAG   = "pag"
)

// Values of Request.NullPrompt.
const (
	Encoded = "encoded"
	Zeros   = "zeros"
)

// guided reports whether any step takes two predictions. The scale of CHATS is what comes on top of the prediction for the
// prompt, so that any works; that of the other rules does nothing at 1.
func (r Request) guided() bool {
	switch r.Guidance {
	case CHATS:
		return r.GuidanceScale > 0
	case PAG:
		return true
	}
	return r.GuidanceScale > 1
}

// predictions is how many a guided step takes, if there are any, else any step.
func (r Request) predictions() int {
	switch {
	case !r.guided():
		return 1
	case r.Guidance == PAG && r.needsNull():
		return 3
	}
	return 2
}

// needsNull reports whether the negative prompt, or none, has to be embedded.
func (r Request) needsNull() bool {
	if r.Guidance == PAG {
		return r.GuidanceScale > 1
	}
	return r.guided() && r.Guidance != Auto
}

// guidanceDefaults fills in what the rule leaves open.
func (r *Request) guidanceDefaults() {
	if r.Guidance == PAG && r.PAGScale == 0 {
		r.PAGScale = 3
	}
	if r.Guidance != CHATS {
		return
	}
	if r.CHATSAlpha == nil {
		alpha := 0.5
		r.CHATSAlpha = &alpha
	}
	if r.NullPrompt == "" && r.NegativePrompt == "" && r.Embeds == nil {
		r.NullPrompt = Encoded
	}
}

func (r Request) checkGuidance(oneSided bool, pagLayers []string) error {
	if v := r.GuidanceInterval; v != nil {
		if err := v.Check(); err != nil {
			return badValue("guidance-interval", *v, err.Error())
		}
	}
	switch a := r.CHATSAlpha; {
	case r.Guidance == Auto && !oneSided:
		return badValue("guidance", r.Guidance, "needs two networks: an adapter for one of the predictions (--lora, --weak-lora)")
	case r.Guidance != "" && r.Guidance != CFG && r.Guidance != CHATS && r.Guidance != Auto && r.Guidance != PAG:
		return badValue("guidance", r.Guidance, "want cfg, chats, auto or pag")
	case r.Guidance == PAG && len(pagLayers) == 0:
		return badValue("guidance", r.Guidance, "needs the names of the self-attentions to do without when the model is opened (--pag-layers)")
	case r.Guidance != PAG && r.PAGScale != 0:
		return badValue("pag-scale", r.PAGScale, "is a setting of --guidance pag")
	case !(r.PAGScale >= 0) || math.IsInf(r.PAGScale, 0):
		return badValue("pag-scale", r.PAGScale, "want a finite number, not below 0")
	case a != nil && r.Guidance != CHATS:
		return badValue("chats-alpha", *a, "is a setting of --guidance chats")
	case a != nil && (math.IsNaN(*a) || math.IsInf(*a, 0)):
		return badValue("chats-alpha", *a, "want a finite number")
	case r.NullPrompt != "" && r.NullPrompt != Encoded && r.NullPrompt != Zeros:
		return badValue("null-prompt", r.NullPrompt, "want encoded or zeros")
	case r.NullPrompt != "" && r.NegativePrompt != "":
		return badValue("null-prompt", r.NullPrompt, "the negative prompt stands in its place; give one of them")
	case r.NullPrompt != "" && r.Embeds != nil:
		return badValue("null-prompt", r.NullPrompt, "the embeddings given hold the negative prompt; give one of them")
	case r.NullPrompt != "" && r.Guidance == Auto:
		return badValue("null-prompt", r.NullPrompt, "--guidance auto takes both predictions for the prompt")
	}
	return nil
}

// combine makes one prediction of the parts of a batch of n pictures, in the order of run.parts.
func (r Request) combine(dst []float32, parts [][]float32, n int) {
	positive, rescale := parts[1], r.GuidanceRescale
	switch {
	case r.Guidance == CHATS:
		sampling.Contrast(dst, parts[1], parts[0], r.GuidanceScale)
	case r.Guidance == PAG && len(parts) == 3:
		sampling.GuidePerturbed(dst, parts[0], parts[1], parts[2], r.GuidanceScale, r.PAGScale)
	case r.Guidance == PAG: // rescaling corrects the other guidance, as in diffusers
		positive, rescale = parts[0], 0
		sampling.GuidePerturbed(dst, nil, parts[0], parts[1], 1, r.PAGScale)
	default:
		sampling.Guide(dst, parts[0], parts[1], r.GuidanceScale)
	}
	sampling.Rescale(dst, positive, n, rescale)
}

// embed gives one row of text embeddings per prompt, and those of the negative half with one row, or one per prompt.
// Without guidance there is no negative half.
func (p *Pipeline) embed(ctx context.Context, req Request) (cond, negative ldm.Embeds, err error) {
	var null ldm.Embeds
	if req.Embeds != nil {
		cond, null = req.Embeds.rows(req.needsNull())
	} else if cond, err = p.ldm.Encode(ctx, req.texts(), req.Truncate); err == nil && req.needsNull() {
		null, err = p.embedNull(ctx, req)
	}
	switch {
	case err != nil:
		return cond, null, err
	case req.guided() && req.Guidance == CHATS:
		return cond, cond.Proxy(null, *req.CHATSAlpha), nil
	case req.guided() && req.Guidance == Auto:
		return cond, cond, nil
	}
	return cond, null, nil
}

// embedNull embeds the negative prompt, or what stands for none.
func (p *Pipeline) embedNull(ctx context.Context, req Request) (ldm.Embeds, error) {
	switch {
	case req.NegativePrompt != "":
		return p.ldm.Encode(ctx, []string{req.NegativePrompt}, req.Truncate)
	case req.NullPrompt == "":
		return p.ldm.EncodeEmpty(ctx)
	}
	return p.ldm.EncodeNull(ctx, req.NullPrompt == Zeros)
}

// guidedSteps says which steps of a run take two predictions.
type guidedSteps struct {
	alone map[float64]bool // timesteps that take one although the run is guided
	nfe   []int            // evaluations of one picture after each step
}

// each is the number of evaluations of each step; nil where they are equal.
func (s guidedSteps) each() []int {
	out := make([]int, len(s.nfe))
	before := 0
	for i, n := range s.nfe {
		out[i], before = n-before, n
	}
	if slices.Min(out) == slices.Max(out) {
		return nil
	}
	return out
}

// stepsOf looks at the noise level of every step. A sampler asks by timestep; PNDM asks for one of them twice and is answered
// twice alike.
func stepsOf(req Request, plan *sampling.Plan) (guidedSteps, error) {
	s := guidedSteps{alone: map[float64]bool{}, nfe: make([]int, plan.Len())}
	total, some := 0, false
	for i, t := range plan.Timesteps {
		if _, seen := s.alone[t]; !seen {
			s.alone[t] = !req.guided() || req.GuidanceInterval != nil && !req.GuidanceInterval.Contains(plan, i)
		}
		total++
		if !s.alone[t] {
			total, some = total+req.predictions()-1, true
		}
		s.nfe[i] = total
	}
	if req.guided() && !some {
		return s, badValue("guidance-interval", *req.GuidanceInterval,
			fmt.Sprintf("none of the %d steps lies in it; noise levels go from %.4g down to %.4g", plan.Len(), plan.Sigmas[0], plan.Sigmas[plan.Len()-1]))
	}
	return s, nil
}

// rule names the rule for Params: "" is classifier-free guidance, as in files from before there were others.
func (r Request) rule() string {
	if r.Guidance == CFG || !r.guided() {
		return ""
	}
	return r.Guidance
}

// pagLayers are those of the pipeline, where the request does without them.
func (r Request) pagLayers(layers []string) []string {
	if r.Guidance != PAG {
		return nil
	}
	return layers
}

func (r Request) interval() string {
	if r.GuidanceInterval == nil || !r.guided() {
		return ""
	}
	return r.GuidanceInterval.String()
}

func (r Request) alpha() *float64 {
	if r.rule() != CHATS {
		return nil
	}
	return r.CHATSAlpha
}
