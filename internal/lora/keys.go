package lora

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// part is what a tensor of an adapter's file is to its module.
type part int

const (
	partA     part = iota // [r, in, kernel…], the half that reads the activation
	partB                 // [out, r, 1…]
	partAlpha             // a number
)

// Layouts of files.
const (
	Kohya     = "kohya"     // lora_unet_down_blocks_0_…_to_q.lora_down.weight
	Diffusers = "diffusers" // unet.down_blocks.0.….to_q.lora.down.weight, also with the older .processor.to_q_lora
	PEFT      = "peft"      // unet.down_blocks.0.….to_q.lora_A.weight, also behind base_model.model.
)

// endings are how the names of tensors end. The first that fits counts.
var endings = []struct {
	text   string
	part   part
	layout string
}{
	{".lora_A.weight", partA, PEFT},
	{".lora_B.weight", partB, PEFT},
	{".lora_A.default.weight", partA, PEFT},
	{".lora_B.default.weight", partB, PEFT},
	{".lora.down.weight", partA, Diffusers},
	{".lora.up.weight", partB, Diffusers},
	{"_lora.down.weight", partA, Diffusers},
	{"_lora.up.weight", partB, Diffusers},
	{".lora_down.weight", partA, Kohya},
	{".lora_up.weight", partB, Kohya},
	{".alpha", partAlpha, ""},
}

// split takes a tensor's name apart; ok is false for what is no part of a LoRA.
func split(key string) (module string, p part, layout string, ok bool) {
	for _, e := range endings {
		if head, found := strings.CutSuffix(key, e.text); found {
			return head, e.part, e.layout, true
		}
	}
	return "", 0, "", false
}

// foreign are parts of the names of tensors that belong to other methods than LoRA.
var foreign = regexp.MustCompile(`hada_w|lokr_w|dora_scale|lora_magnitude_vector|lora_mid|oft_|\.diff(_b)?$`)

// resolver finds modules by the names that files have for them. The names of kohya's files cannot be taken apart, since they
// write a dot as _, so all are made from the network's modules.
type resolver map[string]*Module

func newResolver(modules []Module) resolver {
	r := resolver{}
	names := make([]string, len(modules))
	for i := range modules {
		names[i] = modules[i].Name
	}
	layers, known := layersOf(names), knownIn(names)
	for i := range modules {
		m := &modules[i]
		r[m.Name] = m
		r["lora_unet_"+strings.ReplaceAll(m.Name, ".", "_")] = m
		if other := sgmName(m.Name, layers, known); other != "" {
			r["diffusion_model."+other] = m
			r["lora_unet_"+strings.ReplaceAll(other, ".", "_")] = m
		}
	}
	return r
}

// find returns the module that a name means, nil when there is none.
func (r resolver) find(name string) *Module {
	name = strings.TrimPrefix(name, "base_model.model.")
	name = strings.TrimPrefix(name, "unet.")
	if m := r[name]; m != nil {
		return m
	}
	// Old diffusers: attn1.processor.to_q_lora, whose ending _lora is cut already; to_out is element 0 of a list.
	if head, last, ok := strings.Cut(name, ".processor."); ok {
		if last == "to_out" {
			last = "to_out.0"
		}
		return r[head+"."+last]
	}
	return nil
}

// layersOf is the number of ResNets in each block on the way down, from which the other naming scheme counts.
func layersOf(modules []string) int {
	n := 0
	for _, name := range modules {
		if rest, ok := strings.CutPrefix(name, "down_blocks.0.resnets."); ok {
			number, _, _ := strings.Cut(rest, ".")
			if k, err := strconv.Atoi(number); err == nil {
				n = max(n, k+1)
			}
		}
	}
	return n
}

// knownIn tells whether some module's name begins with a prefix.
func knownIn(modules []string) func(prefix string) bool {
	return func(prefix string) bool {
		return slices.ContainsFunc(modules, func(m string) bool { return strings.HasPrefix(m, prefix) })
	}
}

// usual stands for the modules of a U-Net of Stable Diffusion 1, 2 or XL where they are not known, as far as the names of
// Stability's code depend on them: two ResNets a block, and the blocks on the way up that have attention.
func usual(xl bool) []string {
	names := []string{"down_blocks.0.resnets.0.conv1", "down_blocks.0.resnets.1.conv1"}
	if xl {
		return append(names, "up_blocks.0.attentions.0.proj_in", "up_blocks.1.attentions.0.proj_in")
	}
	return append(names, "up_blocks.1.attentions.0.proj_in", "up_blocks.2.attentions.0.proj_in", "up_blocks.3.attentions.0.proj_in")
}

// sgmTop are modules outside the blocks under the names of Stability's own code, sgmInside those inside a ResNet.
var (
	sgmTop = map[string]string{
		"conv_in": "input_blocks.0.0", "conv_out": "out.2",
		"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
		"add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
	}
	sgmInside = map[string]string{
		"conv1": "in_layers.2", "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
	}
)

// sgmName is what Stability's own code calls a module of diffusers' U-Net; "" when it has no name there. It numbers all layers
// on the way down, and up, in one row, a resampling layer behind those of its block. known tells whether there are modules whose
// names begin so.
func sgmName(name string, layers int, known func(prefix string) bool) string {
	if top, ok := sgmTop[name]; ok {
		return top
	}
	p := strings.Split(name, ".")
	var at []int // the numbers in the name: of the block, but for the middle one, and of the layer
	for _, k := range []int{1, 2, 3} {
		if k < len(p) {
			if n, err := strconv.Atoi(p[k]); err == nil {
				at = append(at, n)
			}
		}
	}
	switch {
	case p[0] == "mid_block" && len(at) > 0 && len(p) > 3 && p[1] == "attentions":
		return "middle_block.1." + strings.Join(p[3:], ".")
	case p[0] == "mid_block" && len(at) > 0 && len(p) > 3 && p[1] == "resnets":
		return "middle_block." + strconv.Itoa(2*at[0]) + "." + insideResNet(p[3])
	case len(at) < 2 || len(p) < 5 || layers == 0:
		return ""
	}
	first := at[0] * (layers + 1)
	number := func(side string, n int, rest ...string) string {
		return side + "." + strconv.Itoa(n) + "." + strings.Join(rest, ".")
	}
	side, n := "output_blocks", first+at[1]
	if p[0] == "down_blocks" {
		side, n = "input_blocks", first+at[1]+1
	} else if p[0] != "up_blocks" {
		return ""
	}
	switch p[2] {
	case "resnets":
		return number(side, n, "0", insideResNet(p[4]))
	case "attentions":
		return number(side, n, append([]string{"1"}, p[4:]...)...)
	case "downsamplers":
		return number(side, first+layers+1, "0.op")
	case "upsamplers":
		place := "1"
		if known(p[0] + "." + p[1] + ".attentions.") {
			place = "2"
		}
		return number(side, first+layers, place, "conv")
	}
	return ""
}

func insideResNet(name string) string {
	if other, ok := sgmInside[name]; ok {
		return other
	}
	return name
}
