package cli

import (
	"github.com/spf13/pflag"

	"winnow/diffusion"
	"winnow/sampling"
)

// guidanceOptions are the flags that say how two predictions of a step become one.
type guidanceOptions struct {
	rule, null, interval string
	alpha, pagScale      float64
	pagLayers            []string
	changed              func(flag string) bool
	parsed               *sampling.Interval
	lora                 loraOptions
}

func (o *guidanceOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.rule, "guidance", diffusion.CFG, "cfg; chats: away from a proxy prompt, its scale one less than that of cfg; auto: away from a weaker network; pag: also away from the network without some self-attentions")
	f.Float64Var(&o.pagScale, "pag-scale", 3, "strength of pag, besides --guidance-scale")
	f.StringSliceVar(&o.pagLayers, "pag-layers", []string{"mid"}, "self-attentions that pag does without: parts of their names, or regular expressions")
	f.Float64Var(&o.alpha, "chats-alpha", 0.5, "how far the proxy prompt of chats lies beyond the null prompt")
	f.StringVar(&o.null, "null-prompt", "", "encoded or zeros: what stands for no prompt (default: encoded with chats, else the model's)")
	f.StringVar(&o.interval, "guidance-interval", "", "guide only at noise levels LOW,HIGH, or from LOW%,HIGH% of the steps")
	o.lora.flags(f)
	o.changed = f.Changed
}

// check reads what can be read without the model.
func (o *guidanceOptions) check() error {
	if err := o.lora.check(o.rule); err != nil {
		return err
	}
	for _, flag := range []string{"pag-scale", "pag-layers"} {
		if o.changed(flag) && o.rule != diffusion.PAG {
			return usagef("--%s is a setting of --guidance pag", flag)
		}
	}
	if o.rule == diffusion.PAG && (!(o.pagScale > 0) || len(o.pagLayers) == 0) {
		return usagef("--guidance pag with scale %v and %d layers does nothing; leave it out", o.pagScale, len(o.pagLayers))
	}
	if o.interval == "" {
		return nil
	}
	v, err := sampling.ParseInterval(o.interval)
	if err != nil {
		return usagef("--guidance-interval %s: %w", o.interval, err)
	}
	o.parsed = &v
	return nil
}

// apply puts the settings into a request.
func (o *guidanceOptions) apply(r diffusion.Request) diffusion.Request {
	r.Guidance, r.NullPrompt, r.GuidanceInterval = o.rule, o.null, o.parsed
	if o.rule == diffusion.PAG {
		r.PAGScale = o.pagScale
	}
	if o.changed("chats-alpha") {
		r.CHATSAlpha = &o.alpha
	}
	return r
}

// layers are those that the model has to be opened with.
func (o *guidanceOptions) layers() []string {
	if o.rule != diffusion.PAG {
		return nil
	}
	return o.pagLayers
}

// settings are the flags that repeat the run.
func (o *guidanceOptions) settings(add func(key string, value any, when bool)) {
	add("guidance", o.rule, o.rule != diffusion.CFG)
	add("chats-alpha", o.alpha, o.rule == diffusion.CHATS)
	add("pag-scale", o.pagScale, o.rule == diffusion.PAG)
	add("pag-layers", o.pagLayers, o.rule == diffusion.PAG)
	add("null-prompt", o.null, o.null != "")
	add("guidance-interval", o.interval, o.interval != "")
	o.lora.settings(add)
}
