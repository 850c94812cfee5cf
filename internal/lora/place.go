package lora

import (
	"slices"
	"strconv"
	"strings"
)

// spot is what the name of a tensor says about its place.
type spot struct {
	network string // "" for any
	module  string // in the words of the network's own names
	layout  string
}

// prefixes are how the names of tensors begin. The first that fits counts; flat names have _ for the dots, sgm ones are those of
// Stability's code.
var prefixes = []struct {
	text, network, layout string
	flat, sgm             bool
}{
	{"lora_unet_", UNet, Kohya, true, false},
	{"lora_te_", TextEncoder, Kohya, true, false},
	{"lora_te1_", TextEncoder, Kohya, true, false},
	{"lora_te2_", TextEncoder2, Kohya, true, false},
	{"diffusion_model.", UNet, ComfyUI, false, true},
	{"text_encoders.clip_l.transformer.", TextEncoder, ComfyUI, false, false},
	{"text_encoders.clip_h.transformer.", TextEncoder, ComfyUI, false, false},
	{"text_encoders.clip_g.transformer.", TextEncoder2, ComfyUI, false, false},
	{"unet.", UNet, Diffusers, false, false},
	{"transformer.", Transformer, Diffusers, false, false},
	{"text_encoder.", TextEncoder, Diffusers, false, false},
	{"text_encoder_2.", TextEncoder2, Diffusers, false, false},
	{"base_model.model.", "", PEFT, false, false},
}

// placeOf reads a name without its ending, whose layout is ending. Without a list of modules kohya's names are taken apart by the words
// that U-Nets and CLIP's text encoders are made of; layers is the number of ResNets a block that Stability's names count by. ok is false
// for names of no known form.
func placeOf(name, ending string, layers int) (s spot, ok bool) {
	rest := name
	s.layout = ending
	flat, other := false, false
	for _, p := range prefixes {
		if tail, found := strings.CutPrefix(name, p.text); found {
			rest, s.network, s.layout, flat, other = tail, p.network, p.layout, p.flat, p.sgm
			break
		}
	}
	if flat {
		if rest, ok = unflatten(rest); !ok {
			return s, false
		}
	}
	if s.layout == Diffusers && strings.HasSuffix(name, "_lora") {
		s.layout = OldDiffusers
	}
	if s.network == "" {
		s.network = kindOf(rest)
	}
	switch {
	case other || s.network == UNet && isSGM(rest):
		if s.layout == Kohya {
			s.layout = KohyaSGM
		}
		s.module = fromSGM(rest, layers)
	case isText(s.network):
		s.module = textName(oldText(rest))
	default:
		s.module = old(rest)
	}
	return s, s.module != "" && s.network != ""
}

// old translates attn1.processor.to_q_lora; to_out is element 0 of a list.
func old(name string) string {
	head, last, ok := strings.Cut(name, ".processor.")
	if !ok {
		return name
	}
	last = strings.TrimSuffix(last, "_lora")
	if last == "to_out" {
		last = "to_out.0"
	}
	return head + "." + last
}

// oldText translates self_attn.to_q_lora.
func oldText(name string) string {
	head, last := cutLast(name)
	for own, other := range textAttention {
		if last == other+"_lora" {
			return head + "." + own
		}
	}
	return name
}

// kindOf tells the network from a module's name; "" if it says nothing.
func kindOf(module string) string {
	first, _, _ := strings.Cut(module, ".")
	switch first {
	case "down_blocks", "mid_block", "up_blocks", "conv_in", "conv_out", "time_embedding", "add_embedding",
		"input_blocks", "middle_block", "output_blocks":
		return UNet
	case "transformer_blocks", "single_transformer_blocks", "x_embedder", "context_embedder":
		return Transformer
	case "text_model", "encoder":
		return TextEncoder
	}
	return ""
}

// joined are the words of modules' names that have an underscore in them.
var joined = []string{
	"down_blocks", "mid_block", "up_blocks", "transformer_blocks", "to_q", "to_k", "to_v", "to_out", "proj_in", "proj_out", "add_k_proj", "add_v_proj",
	"conv_in", "conv_out", "conv_shortcut", "time_emb_proj", "time_embedding", "add_embedding", "linear_1", "linear_2",
	"input_blocks", "middle_block", "output_blocks", "in_layers", "out_layers", "emb_layers", "skip_connection", "time_embed", "label_emb",
	"text_model", "self_attn", "q_proj", "k_proj", "v_proj", "out_proj", "text_projection",
}

// plainWords are those without one, besides numbers.
var plainWords = []string{
	"attentions", "resnets", "downsamplers", "upsamplers", "conv", "conv1", "conv2", "attn1", "attn2", "ff", "net", "proj", "op", "out",
	"encoder", "layers", "mlp", "fc1", "fc2",
}

// unflatten puts the dots back into one of kohya's names; ok is false when there is a word in it that is not known.
func unflatten(name string) (string, bool) {
	parts := strings.Split(name, "_")
	var out []string
	for len(parts) > 0 {
		n := word(parts)
		if n == 0 {
			return "", false
		}
		out = append(out, strings.Join(parts[:n], "_"))
		parts = parts[n:]
	}
	return strings.Join(out, "."), true
}

// word is the number of parts that the longest known word at the beginning takes.
func word(parts []string) int {
	for n := min(3, len(parts)); n > 1; n-- {
		if slices.Contains(joined, strings.Join(parts[:n], "_")) {
			return n
		}
	}
	if _, err := strconv.Atoi(parts[0]); err == nil || slices.Contains(plainWords, parts[0]) {
		return 1
	}
	return 0
}

func isSGM(name string) bool {
	first, _, _ := strings.Cut(name, ".")
	return slices.Contains([]string{"input_blocks", "middle_block", "output_blocks", "time_embed", "label_emb", "out"}, first)
}

// fromSGM is the inverse of sgmName; "" for what it does not name. Attention and ResNet are elements 1 and 0 of a layer.
func fromSGM(name string, layers int) string {
	for own, other := range sgmTop {
		if other == name {
			return own
		}
	}
	p := strings.Split(name, ".")
	if len(p) < 3 {
		return ""
	}
	at, err := strconv.Atoi(p[1])
	if err != nil || at < 0 {
		return ""
	}
	if p[0] == "middle_block" {
		if at == 1 {
			return "mid_block.attentions.0." + strings.Join(p[2:], ".")
		}
		return "mid_block.resnets." + strconv.Itoa(at/2) + "." + outsideResNet(p[2:])
	}
	if len(p) < 4 || p[0] != "input_blocks" && p[0] != "output_blocks" {
		return ""
	}
	side, rest := "up_blocks", p[3:]
	if p[0] == "input_blocks" {
		side, at = "down_blocks", at-1
		if p[3] == "op" && at >= 0 {
			return side + "." + strconv.Itoa(at/(layers+1)) + ".downsamplers.0.conv"
		}
	}
	if at < 0 {
		return ""
	}
	block, layer := strconv.Itoa(at/(layers+1)), strconv.Itoa(at%(layers+1))
	switch {
	case p[3] == "conv" && len(p) == 4:
		return side + "." + block + ".upsamplers.0.conv"
	case p[2] == "0":
		return side + "." + block + ".resnets." + layer + "." + outsideResNet(rest)
	case p[2] == "1":
		return side + "." + block + ".attentions." + layer + "." + strings.Join(rest, ".")
	}
	return ""
}

func outsideResNet(p []string) string {
	name := strings.Join(p, ".")
	for own, other := range sgmInside {
		if other == name {
			return own
		}
	}
	return name
}
