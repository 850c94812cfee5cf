package lora

import (
	"fmt"
	"slices"
	"strings"
)

// Layouts to write, besides Kohya, Diffusers and PEFT.
const (
	KohyaSGM     = "kohya-sgm"     // kohya with the block names of Stability's code: lora_unet_input_blocks_4_1_…
	OldDiffusers = "diffusers-old" // unet.….attn1.processor.to_q_lora.down.weight: attention layers only
	ComfyUI      = "comfyui"       // diffusion_model.input_blocks.4.1.….lora_A.weight
)

// Layouts are all that Write knows.
var Layouts = []string{Kohya, KohyaSGM, Diffusers, OldDiffusers, PEFT, ComfyUI}

// keys are the names of one module's tensors; alpha is "" where the layout has none.
type keys struct{ a, b, alpha string }

// namer names modules in a layout.
type namer struct {
	layout  string
	network string
	xl      bool     // two text encoders: kohya numbers them
	plain   bool     // diffusers: PEFT's endings for all modules
	modules []string // of the network, as far as known: for the numbers of Stability's names
}

// The modules that diffusers and its older layout have endings of their own for.
var (
	unetAttention = []string{"to_q", "to_k", "to_v", "to_out.0"}
	textAttention = map[string]string{"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}
)

func isAttention(module string) bool {
	return slices.ContainsFunc(unetAttention, func(t string) bool { return strings.HasSuffix(module, "."+t) })
}

func isText(network string) bool { return strings.HasPrefix(network, TextEncoder) }

// textName is the name of a text encoder's module as files have it: CLIP's text model had a level more when the layouts were made.
func textName(module string) string {
	if strings.HasPrefix(module, "encoder.layers.") {
		return "text_model." + module
	}
	return module
}

// shortName is a name without that level.
func shortName(module string) string { return strings.TrimPrefix(module, "text_model.") }

// keys names the tensors of a module.
func (n *namer) keys(module string) (keys, error) {
	if isText(n.network) {
		module = textName(module)
	}
	switch n.layout {
	case Kohya, KohyaSGM:
		return n.kohya(module)
	case Diffusers:
		return n.diffusers(module), nil
	case OldDiffusers:
		return n.old(module)
	case PEFT:
		return peftKeys("base_model.model." + module), nil
	case ComfyUI:
		return n.comfy(module)
	}
	return keys{}, fmt.Errorf("there is no layout %q; want one of %s", n.layout, strings.Join(Layouts, ", "))
}

func peftKeys(name string) keys {
	return keys{a: name + ".lora_A.weight", b: name + ".lora_B.weight"}
}

func (n *namer) kohya(module string) (keys, error) {
	prefix := map[string]string{UNet: "lora_unet_", TextEncoder: "lora_te_", TextEncoder2: "lora_te2_"}[n.network]
	if prefix == "" {
		return keys{}, fmt.Errorf("the layout %s has no names for the modules of a %s: write the layout %s", n.layout, n.network, Diffusers)
	}
	if n.network == TextEncoder && n.xl {
		prefix = "lora_te1_"
	}
	if n.layout == KohyaSGM && n.network == UNet {
		other, err := n.sgm(module)
		if err != nil {
			return keys{}, err
		}
		module = other
	}
	name := prefix + strings.ReplaceAll(module, ".", "_")
	return keys{name + ".lora_down.weight", name + ".lora_up.weight", name + ".alpha"}, nil
}

func (n *namer) sgm(module string) (string, error) {
	if name := sgmName(module, layersOf(n.modules), knownIn(n.modules)); name != "" {
		return name, nil
	}
	return "", fmt.Errorf("module %q has no name in the layout %s", module, n.layout)
}

// diffusers is what save_lora_weights writes, but for one thing: as soon as a module is no attention layer, all have PEFT's endings,
// since diffusers decides by the first tensor alone which endings a file has.
func (n *namer) diffusers(module string) keys {
	name := n.network + "." + module
	switch _, last := cutLast(module); {
	case isText(n.network) && textAttention[last] != "":
		return keys{a: name + ".lora_linear_layer.down.weight", b: name + ".lora_linear_layer.up.weight"}
	case n.network == UNet && !n.plain:
		return keys{a: name + ".lora.down.weight", b: name + ".lora.up.weight"}
	}
	return peftKeys(name)
}

func (n *namer) old(module string) (keys, error) {
	name := ""
	switch head, last := cutLast(module); {
	case isText(n.network) && textAttention[last] != "":
		name = head + "." + textAttention[last] + "_lora"
	case n.network == UNet && isAttention(module):
		module = strings.TrimSuffix(module, ".0")
		head, last = cutLast(module)
		name = head + ".processor." + last + "_lora"
	default:
		return keys{}, fmt.Errorf("the layout %s holds attention layers only, not %s.%s: write the layout %s", n.layout, n.network, module, Diffusers)
	}
	name = n.network + "." + name
	return keys{a: name + ".down.weight", b: name + ".up.weight"}, nil
}

// comfy are the names of ComfyUI's own modules. Its transformers have other modules than diffusers', with q, k and v in one.
func (n *namer) comfy(module string) (keys, error) {
	switch n.network {
	case UNet:
		name, err := n.sgm(module)
		return peftKeys("diffusion_model." + name), err
	case TextEncoder:
		return peftKeys("text_encoders.clip_l.transformer." + module), nil
	case TextEncoder2:
		return peftKeys("text_encoders.clip_g.transformer." + module), nil
	}
	return keys{}, fmt.Errorf("the modules of a %s have no counterpart in ComfyUI's network: write the layout %s, which it reads", n.network, Diffusers)
}

// cutLast cuts a name before its last part.
func cutLast(name string) (head, last string) {
	at := strings.LastIndexByte(name, '.')
	if at < 0 {
		return "", name
	}
	return name[:at], name[at+1:]
}
