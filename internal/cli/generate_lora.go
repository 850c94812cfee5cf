package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"winnow/diffusion"
)

// loraOptions are the flags that name adapters. The rule of guidance says what they are good for.
type loraOptions struct {
	files, chats, weak []string
	parsed             []diffusion.LoRA
}

func (o *loraOptions) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.files, "lora", nil, "adapter: FILE or FILE=SCALE; may be repeated, \"winnow help files\"")
	f.StringSliceVar(&o.chats, "chats-lora", nil, "POSITIVE,NEGATIVE: adapters of the two networks of --guidance chats, each FILE or FILE=SCALE")
	f.StringArrayVar(&o.weak, "weak-lora", nil, "adapter of the weaker network of --guidance auto in place of --lora (default: no adapter)")
}

// check sorts the adapters onto the sides of guidance.
func (o *loraOptions) check(rule string) error {
	o.parsed = nil
	switch {
	case len(o.chats) > 0 && rule != diffusion.CHATS:
		return usagef("--chats-lora needs --guidance chats")
	case len(o.chats) > 0 && len(o.chats) != 2:
		return usagef("--chats-lora %s: want two files, POSITIVE,NEGATIVE", strings.Join(o.chats, ","))
	case len(o.weak) > 0 && rule != diffusion.Auto:
		return usagef("--weak-lora needs --guidance auto")
	case rule == diffusion.Auto && len(o.files)+len(o.weak) == 0:
		return usagef("--guidance auto needs two networks: --lora for the better one, --weak-lora for the weaker one, or both")
	}
	side := ""
	if rule == diffusion.Auto {
		side = diffusion.PositiveSide
	}
	if err := o.add("lora", side, o.files); err != nil {
		return err
	}
	if len(o.chats) == 2 {
		if err := o.add("chats-lora", diffusion.PositiveSide, o.chats[:1]); err != nil {
			return err
		}
		if err := o.add("chats-lora", diffusion.NegativeSide, o.chats[1:]); err != nil {
			return err
		}
	}
	return o.add("weak-lora", diffusion.NegativeSide, o.weak)
}

func (o *loraOptions) add(flag, side string, values []string) error {
	for _, v := range values {
		file, scale := v, 1.0 // a file's own name may hold a =
		if at := strings.LastIndexByte(v, '='); at >= 0 && !exists(v) {
			number, err := strconv.ParseFloat(v[at+1:], 64)
			if err != nil || math.IsNaN(number) || math.IsInf(number, 0) {
				return usagef("--%s %s: %q is no scale; want FILE or FILE=SCALE, as in style.safetensors=0.8", flag, v, v[at+1:])
			}
			file, scale = v[:at], number
		}
		if file == "" {
			return usagef("--%s %s: the file is missing; want FILE or FILE=SCALE", flag, v)
		}
		o.parsed = append(o.parsed, diffusion.LoRA{File: file, Scale: &scale, Side: side})
	}
	return nil
}

// settings are the flags that repeat the run.
func (o *loraOptions) settings(add func(key string, value any, when bool)) {
	add("lora", o.files, len(o.files) > 0)
	add("chats-lora", o.chats, len(o.chats) > 0)
	add("weak-lora", o.weak, len(o.weak) > 0)
}

// showAdapters says how much of the network each adapter changes, as a half-loaded one shows in nothing else. With --json the
// pictures' parameters say it.
func (a *app) showAdapters(all []diffusion.AdapterInfo) {
	if a.quiet || a.json {
		return
	}
	for _, l := range all {
		fmt.Fprintf(a.stderr, "%s: %s layout, rank %d, changes %d modules, scale %g%s\n", l.File, l.Layout, l.Rank, l.Modules, l.Scale, onSide(l.Side))
	}
}

func onSide(side string) string {
	if side == "" {
		return ""
	}
	return ", " + side + " side of guidance"
}
