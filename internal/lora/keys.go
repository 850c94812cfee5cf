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
	Diffusers = "diffusers" // unet.down_blocks.0.….to_q.lora.down.weight, or ….to_q.lora_A.weight
	PEFT      = "peft"      // base_model.model.down_blocks.0.….to_q.lora_A.weight
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
	{".lora_linear_layer.down.weight", partA, Diffusers},
	{".lora_linear_layer.up.weight", partB, Diffusers},
	{"_lora.down.weight", partA, OldDiffusers},
	{"_lora.up.weight", partB, OldDiffusers},
	{".lora_down.weight", partA, Kohya},
	{".lora_up.weight", partB, Kohya},
	{".alpha", partAlpha, ""},
}

// split takes a tensor's name apart; ok is false for what is no part of a LoRA.
func split(key string) (module string, p part, layout string, ok bool) {
	for _, e := range endings {
		if head, found := strings.CutSuffix(key, e.text); found {
			if e.layout == OldDiffusers {
				head += "_lora" // belongs to the module's name there
			}
			return head, e.part, e.layout, true
		}
	}
	return "", 0, "", false
}

// foreign are the other methods that change weights, by what the names of their tensors contain.
var foreign = []struct {
	kind string
	name *regexp.Regexp
}{
	{"LoHa", regexp.MustCompile(`\.hada_`)},
	{"LoKr", regexp.MustCompile(`\.lokr_`)},
	{"DoRA", regexp.MustCompile(`\.dora_scale|\.lora_magnitude_vector`)},
	{"OFT", regexp.MustCompile(`\.oft_|\.boft_`)},
	{"LoCon with a third factor", regexp.MustCompile(`\.lora_mid`)},
	{"a full difference of weights", regexp.MustCompile(`\.diff(_b)?$|\.set_weight$|\.(w|b)_norm$`)},
	{"(IA)³", regexp.MustCompile(`\.on_input$|\.ia3_`)},
	{"a LoRA with biases", regexp.MustCompile(`\.(lora_B|lora_up|lora\.up)(\.default)?\.bias$`)},
	{"textual inversion", regexp.MustCompile(`^(bundle_)?emb(_params)?[./]|string_to_param`)},
}

// foreignKind is the other method that a tensor belongs to; "" if none is known.
func foreignKind(key string) string {
	for _, f := range foreign {
		if f.name.MatchString(key) {
			return f.kind
		}
	}
	return ""
}

// finder finds modules by the names that files have for them.
type finder struct {
	tables map[string]resolver // of the networks whose modules are known
	closed bool                // there are no networks but these
	layers int                 // ResNets a block of a U-Net that is not known
}

// resolver finds the modules of one network. The names of kohya's files cannot always be taken apart, since they write a dot as _, so
// all are made from the network's modules.
type resolver map[string]*Module

func newResolver(network string, modules []Module) resolver {
	r := resolver{}
	names := make([]string, len(modules))
	for i := range modules {
		names[i] = modules[i].Name
	}
	layers, known := layersOf(names), knownIn(names)
	for i := range modules {
		m := &modules[i]
		if network != UNet {
			r[m.Name] = m
			r[flat(textName(m.Name))], r[flat(m.Name)], r[textName(m.Name)] = m, m, m
			continue
		}
		r[m.Name], r[flat(m.Name)] = m, m
		if other := sgmName(m.Name, layers, known); other != "" {
			r[other], r[flat(other)] = m, m
		}
	}
	return r
}

// flat is a name in kohya's form.
func flat(name string) string { return "_" + strings.ReplaceAll(name, ".", "_") }

// find returns what the name of a tensor without its ending, whose layout is ending, means. m is nil for a network whose modules are not
// known.
func (f *finder) find(name, ending string) (s spot, m *Module, ok bool) {
	network, rest, layout, flattened := "", name, ending, false
	for _, p := range prefixes {
		if tail, found := strings.CutPrefix(name, p.text); found {
			network, rest, layout, flattened = p.network, tail, p.layout, p.flat
			break
		}
	}
	if flattened {
		rest = "_" + rest
	}
	for _, n := range networkOrder {
		if network != "" && n != network {
			continue
		}
		translate := old
		if isText(n) {
			translate = oldText
		}
		if m := f.tables[n][translate(rest)]; m != nil {
			s = spot{network: n, module: m.Name, layout: layout}
			if isText(n) {
				s.module = textName(m.Name)
			}
			if layout == Kohya && n == UNet && rest != flat(m.Name) {
				s.layout = KohyaSGM
			}
			if layout == Diffusers && ending == OldDiffusers {
				s.layout = OldDiffusers
			}
			return s, m, true
		}
	}
	if s, ok = placeOf(name, ending, f.layers); !ok || f.closed || f.tables[s.network] != nil {
		return s, nil, false
	}
	return s, nil, true
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
