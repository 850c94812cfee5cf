package diffusion

import (
	"fmt"
	"math"
	"slices"

	"winnow/internal/ldm"
)

// Sides of guidance that an adapter may be limited to, see LoRA.Side.
const (
	PositiveSide = "positive"
	NegativeSide = "negative"
)

var sides = map[string]ldm.Side{"": ldm.Both, PositiveSide: ldm.Positive, NegativeSide: ldm.Negative}

// LoRA is an adapter of the U-Net, the text encoders or both, in the layouts of diffusers, PEFT, kohya's scripts and ComfyUI.
type LoRA struct {
	File  string   // safetensors file, or a folder that holds one under diffusers' or PEFT's name
	Scale *float64 // times the adapter's own alpha/rank; nil means 1
	// Side limits the adapter to one of the two predictions of guidance: "positive", the one for the prompt, which alone
	// counts in steps without guidance; "negative", the one to go away from. "" is both.
	Side string
}

// adapters checks the settings; files are read later.
func adapters(all []LoRA) ([]ldm.AdapterFile, error) {
	var out []ldm.AdapterFile
	for _, l := range all {
		side, known := sides[l.Side]
		scale := 1.0
		if l.Scale != nil {
			scale = *l.Scale
		}
		switch {
		case l.File == "":
			return nil, badValue("lora", `""`, "name the adapter's file")
		case !known:
			return nil, badValue("lora", l.Side, "the side is positive, negative or left out")
		case math.IsNaN(scale) || math.IsInf(scale, 0):
			return nil, badValue("lora", l.File, fmt.Sprintf("scale %v: want a finite number", scale))
		}
		out = append(out, ldm.AdapterFile{Path: l.File, Scale: scale, Side: side})
	}
	return out, nil
}

// AdapterInfo is an adapter as it was loaded.
type AdapterInfo struct {
	File    string  `json:"file"`
	Scale   float64 `json:"scale"`
	Side    string  `json:"side,omitempty"`
	Layout  string  `json:"layout"`  // kohya, kohya-sgm, diffusers, diffusers-old, peft or comfyui
	Modules int     `json:"modules"` // that it changes, in all networks
	Rank    int     `json:"rank"`    // the largest
}

// Adapters lists the adapters in the order of Options.LoRA.
func (p *Pipeline) Adapters() []AdapterInfo {
	var out []AdapterInfo
	for _, a := range p.ldm.Adapters {
		info := AdapterInfo{File: a.Any().File, Scale: a.Scale, Layout: a.Any().Layout, Modules: a.Modules(), Rank: a.MaxRank()}
		for name, side := range sides {
			if side == a.Side {
				info.Side = name
			}
		}
		out = append(out, info)
	}
	return out
}

// oneSided reports whether the two predictions of guidance come from different networks.
func (p *Pipeline) oneSided() bool {
	return slices.ContainsFunc(p.ldm.Adapters, func(a ldm.Adapter) bool { return a.Side != ldm.Both && a.Scale != 0 })
}
