package lora

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// The tiny U-Net's module that most tests adapt: a Linear of 32 → 8.
const toK = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"

// file writes tensors under a name in a folder of its own.
func file(t *testing.T, name string, tensors map[string]tensor.Tensor, metadata map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := safetensors.Write(path, tensors, metadata); err != nil {
		t.Fatal(err)
	}
	return path
}

// ramp is a float32 tensor of small different numbers.
func ramp(shape ...int) tensor.Tensor {
	x := tensor.New(tensor.F32, shape...)
	for i := range x.F32() {
		x.F32()[i] = float32(i+1) / 64
	}
	return x
}

// pair are the factors of toK under the names of a layout.
func pair(down, up string) map[string]tensor.Tensor {
	return map[string]tensor.Tensor{down: ramp(4, 32), up: ramp(8, 4)}
}

const kohyaToK = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"

// Names of all layouts lead to the module.
func TestRead_layouts(t *testing.T) {
	g := network(t, "sd15")
	for name, c := range map[string]struct {
		down, up, layout string
	}{
		"diffusers":          {"unet." + toK + ".lora.down.weight", "unet." + toK + ".lora.up.weight", Diffusers},
		"without a prefix":   {toK + ".lora.down.weight", toK + ".lora.up.weight", Diffusers},
		"PEFT":               {"unet." + toK + ".lora_A.weight", "unet." + toK + ".lora_B.weight", Diffusers},
		"PEFT alone":         {"base_model.model." + toK + ".lora_A.weight", "base_model.model." + toK + ".lora_B.weight", PEFT},
		"PEFT, named":        {toK + ".lora_A.default.weight", toK + ".lora_B.default.weight", PEFT},
		"kohya":              {kohyaToK + ".lora_down.weight", kohyaToK + ".lora_up.weight", Kohya},
		"kohya, other names": {sgmToK + ".lora_down.weight", sgmToK + ".lora_up.weight", KohyaSGM},
		"old diffusers": {
			"unet." + strings.Replace(toK, ".to_k", ".processor.to_k_lora.down.weight", 1),
			"unet." + strings.Replace(toK, ".to_k", ".processor.to_k_lora.up.weight", 1), OldDiffusers,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := Read(file(t, "a.safetensors", pair(c.down, c.up), nil), g)
			if err != nil {
				t.Fatal(err)
			}
			if len(w.Modules) != 1 || w.Modules[0] != toK || w.Layout != c.layout || w.MaxRank != 4 {
				t.Errorf("%+v", w)
			}
			in, err := Inject(g, w.Adapter("x"))
			if err != nil {
				t.Fatal(err)
			}
			if l := in.Layers; len(l) != 1 || l[0].Scale != 1 || l[0].Rank != 4 {
				t.Errorf("layers %+v", l)
			}
			inputs := w.Inputs(in, "x")
			for key, p := range map[string]Param{c.down: in.Layers[0].A, c.up: in.Layers[0].B} {
				if got, want := inputs[p.Name], pair(c.down, c.up)[key]; difference(got, want) != 0 || len(inputs) != 2 {
					t.Errorf("%s is %v", p.Name, got)
				}
			}
		})
	}
}

const sgmToK = "lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_k"

// Where alpha comes from, and what is the default. The last column is alpha/r for rank 4.
func TestRead_alpha(t *testing.T) {
	g := network(t, "sd15")
	down, up := "unet."+toK+".lora_A.weight", "unet."+toK+".lora_B.weight"
	half := tensor.FromF16([]uint16{tensor.F32ToF16(6)})
	for name, c := range map[string]struct {
		alpha  *tensor.Tensor
		header string
		want   float64
	}{
		"none":            {nil, "", 1},
		"a tensor":        {ptr(tensor.FromF32([]float32{2})), "", 0.5},
		"a list of one":   {ptr(tensor.FromF32([]float32{2}, 1)), "", 0.5},
		"half precision":  {&half, "", 1.5},
		"zero":            {ptr(tensor.FromF32([]float32{0})), "", 1},
		"metadata":        {nil, `{"unet.lora_alpha": 8, "unet.r": 4, "text_encoder.lora_alpha": 99}`, 2},
		"tensor first":    {ptr(tensor.FromF32([]float32{2})), `{"unet.lora_alpha": 8}`, 0.5},
		"pattern":         {nil, `{"unet.lora_alpha": 8, "unet.alpha_pattern": {"attn2.to_k": 1, "to_k": 5}}`, 0.25},
		"another pattern": {nil, `{"unet.lora_alpha": 8, "unet.alpha_pattern": {"o_k": 1}}`, 2},
		"rooted":          {nil, `{"unet.lora_alpha": 8, "unet.use_rslora": true}`, 4},
		"rooted, none":    {nil, `{"unet.use_rslora": true}`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			tensors := pair(down, up)
			if c.alpha != nil {
				tensors["unet."+toK+".alpha"] = *c.alpha
			}
			var metadata map[string]string
			if c.header != "" {
				metadata = map[string]string{"lora_adapter_metadata": c.header}
			}
			w, err := Read(file(t, "a.safetensors", tensors, metadata), g)
			if err != nil {
				t.Fatal(err)
			}
			in, err := Inject(g, w.Adapter("x"))
			if err != nil {
				t.Fatal(err)
			}
			if got := in.Layers[0].Scale; math.Abs(got-c.want) > 1e-12 {
				t.Errorf("alpha/r is %g, want %g", got, c.want)
			}
		})
	}
}

func ptr(t tensor.Tensor) *tensor.Tensor { return &t }

// PEFT's folder carries alpha in adapter_config.json; a broken one is an error that names it.
func TestRead_config(t *testing.T) {
	g := network(t, "sd15")
	path := file(t, "adapter_model.safetensors", pair("base_model.model."+toK+".lora_A.weight", "base_model.model."+toK+".lora_B.weight"), nil)
	config := filepath.Join(filepath.Dir(path), "adapter_config.json")
	for text, want := range map[string]float64{`{"lora_alpha": 12, "r": 4}`: 12, `{"lora_alpha": 12, "use_rslora": true}`: 24} {
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := Read(filepath.Dir(path), g)
		if err != nil || w.alphas[toK] != want {
			t.Errorf("%s: alpha %v, %v; want %g", text, w, err, want)
		}
	}
	if err := os.WriteFile(config, []byte(`{"lora_alpha": "much"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path, g); err == nil || !strings.Contains(err.Error(), config) {
		t.Errorf("error %v, want one that names %s", err, config)
	}
}

// Every tensor must fit; the error counts and lists them, ten at most, and says what may be the matter.
func TestRead_lost(t *testing.T) {
	g := network(t, "sd15")
	good := pair("unet."+toK+".lora_A.weight", "unet."+toK+".lora_B.weight")
	many := map[string]tensor.Tensor{}
	for i := range 12 {
		many[fmt.Sprintf("unet.down_blocks.%02d.x.lora_A.weight", i+20)] = ramp(4, 4)
	}
	for name, c := range map[string]struct {
		tensors map[string]tensor.Tensor
		count   int
		why     string
	}{
		"another network": {many, 12, "another kind of network"},
		"another variant": {with(good, "unet.down_blocks.3.attentions.0.proj_in.lora_A.weight"), 1, "another variant"},
		"text encoder":    {with(good, "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight"), 1, "text encoders"},
		"DoRA":            {with(good, "unet."+toK+".lora_magnitude_vector"), 1, "DoRA"},
		"LoHa":            {with(good, kohyaToK+".hada_w1_a"), 1, "LoHa"},
		"full difference": {with(good, kohyaToK+".diff"), 1, "LoRA alone"},
		"bias":            {with(good, "unet."+toK+".lora_B.bias"), 1, "biases"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(file(t, "a.safetensors", c.tensors, nil), g)
			var lost *KeyError
			if !errors.As(err, &lost) || lost.Count != c.count || lost.Total != len(c.tensors) || len(lost.Keys) != min(10, c.count) {
				t.Fatalf("error %v", err)
			}
			if !strings.Contains(lost.Why, c.why) || !strings.Contains(err.Error(), lost.Keys[0]) {
				t.Errorf("error %v, want %q in it", err, c.why)
			}
			if c.count > 10 && !strings.Contains(err.Error(), "and 2 more") {
				t.Errorf("error %v does not count the rest", err)
			}
		})
	}
}

func with(m map[string]tensor.Tensor, key string) map[string]tensor.Tensor {
	out := maps.Clone(m)
	out[key] = ramp(4, 4)
	return out
}

func TestRead_broken(t *testing.T) {
	g := network(t, "sd15")
	down, up, alpha := "unet."+toK+".lora_A.weight", "unet."+toK+".lora_B.weight", "unet."+toK+".alpha"
	conv := "unet.down_blocks.0.downsamplers.0.conv" // 8 → 8, 3×3
	bad := ramp(4, 32)
	bad.F32()[7] = float32(math.Inf(1))
	for name, c := range map[string]struct {
		tensors map[string]tensor.Tensor
		want    string
	}{
		"empty":          {map[string]tensor.Tensor{}, "holds no tensors"},
		"half of a pair": {map[string]tensor.Tensor{down: ramp(4, 32)}, "stands alone"},
		"alpha alone":    {map[string]tensor.Tensor{alpha: tensor.FromF32([]float32{1})}, "stands alone"},
		"width":          {map[string]tensor.Tensor{down: ramp(4, 31), up: ramp(8, 4)}, "shape [4 31]"},
		"output":         {map[string]tensor.Tensor{down: ramp(4, 32), up: ramp(9, 4)}, "shape [9 4]"},
		"ranks":          {map[string]tensor.Tensor{down: ramp(4, 32), up: ramp(8, 3)}, "does not fit the rank 4"},
		"rank 0":         {map[string]tensor.Tensor{down: ramp(0, 32), up: ramp(8, 0)}, "rank 0"},
		"a vector":       {map[string]tensor.Tensor{down: ramp(32), up: ramp(8, 4)}, "is no factor"},
		"integers":       {map[string]tensor.Tensor{down: tensor.New(tensor.I32, 4, 32), up: ramp(8, 4)}, "is no factor"},
		"infinite":       {map[string]tensor.Tensor{down: bad, up: ramp(8, 4)}, "element 7"},
		"kernel":         {map[string]tensor.Tensor{conv + ".lora_A.weight": ramp(2, 8, 1, 9), conv + ".lora_B.weight": ramp(8, 2, 1, 1)}, "shape [2 8 1 9]"},
		"alpha NaN":      {with3(down, up, alpha, tensor.FromF32([]float32{float32(math.NaN())})), "alpha is NaN"},
		"alphas":         {with3(down, up, alpha, ramp(2)), "is no alpha"},
		"twice":          {with3(down, up, toK+".lora_A.weight", ramp(4, 32)), "as \""},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, "a.safetensors", c.tensors, nil)
			if _, err := Read(path, g); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want the path and %q in it", err, c.want)
			}
		})
	}
	if _, err := Read(file(t, "a.safetensors", pair(down, up), map[string]string{"lora_adapter_metadata": "{"}), g); err == nil {
		t.Error("broken metadata: no error")
	}
}

func with3(down, up, key string, t tensor.Tensor) map[string]tensor.Tensor {
	m := pair(down, up)
	m[key] = t
	return m
}

// A 1×1 convolution takes factors with and without a kernel, a Linear too.
func TestRead_ones(t *testing.T) {
	g := network(t, "sd15")
	conv := "mid_block.attentions.0.proj_in" // 16 → 16, 1×1
	for name, tensors := range map[string]map[string]tensor.Tensor{
		"conv":   {conv + ".lora_A.weight": ramp(2, 16), conv + ".lora_B.weight": ramp(16, 2)},
		"linear": {toK + ".lora_A.weight": ramp(2, 32, 1, 1), toK + ".lora_B.weight": ramp(8, 2, 1, 1)},
	} {
		w, err := Read(file(t, "a.safetensors", tensors, nil), g)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		in, err := Inject(g, w.Adapter("x"))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range in.Params("x") {
			if got := w.Inputs(in, "x")[p.Name].Shape; fmt.Sprint(got) != fmt.Sprint(p.Shape) {
				t.Errorf("%s: %s has shape %v, the input %v", name, p.Name, got, p.Shape)
			}
		}
	}
}

// Names of Stability's code, with the two ResNets a block that Stable Diffusion 1 and XL have.
func TestSGMName(t *testing.T) {
	modules := []Module{
		{Name: "down_blocks.0.resnets.0.conv1"},
		{Name: "down_blocks.0.resnets.1.conv1"},
		{Name: "down_blocks.0.downsamplers.0.conv"},
		{Name: "up_blocks.0.attentions.2.proj_in"},
		{Name: "up_blocks.0.upsamplers.0.conv"},
		{Name: "up_blocks.2.resnets.0.conv1"},
	}
	names := []string{}
	for _, m := range modules {
		names = append(names, m.Name)
	}
	layers := layersOf(names)
	if layers != 2 {
		t.Fatalf("%d layers per block, want 2", layers)
	}
	for name, want := range map[string]string{
		"conv_in":                           "input_blocks.0.0",
		"conv_out":                          "out.2",
		"time_embedding.linear_2":           "time_embed.2",
		"add_embedding.linear_1":            "label_emb.0.0",
		"down_blocks.0.resnets.1.conv1":     "input_blocks.2.0.in_layers.2",
		"down_blocks.0.downsamplers.0.conv": "input_blocks.3.0.op",
		"down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q":   "input_blocks.4.1.transformer_blocks.0.attn1.to_q",
		"down_blocks.1.attentions.1.proj_in":                           "input_blocks.5.1.proj_in",
		"down_blocks.2.resnets.0.conv_shortcut":                        "input_blocks.7.0.skip_connection",
		"down_blocks.2.resnets.1.time_emb_proj":                        "input_blocks.8.0.emb_layers.1",
		"mid_block.resnets.1.conv2":                                    "middle_block.2.out_layers.3",
		"mid_block.attentions.0.transformer_blocks.9.ff.net.0.proj":    "middle_block.1.transformer_blocks.9.ff.net.0.proj",
		"up_blocks.0.attentions.2.transformer_blocks.0.attn2.to_out.0": "output_blocks.2.1.transformer_blocks.0.attn2.to_out.0",
		"up_blocks.0.upsamplers.0.conv":                                "output_blocks.2.2.conv",
		"up_blocks.1.upsamplers.0.conv":                                "output_blocks.5.1.conv",
		"up_blocks.2.resnets.0.conv1":                                  "output_blocks.6.0.in_layers.2",
		"something.else":                                               "", "down_blocks": "", "down_blocks.x.resnets.0.conv1": "", "mid_block.attentions": "",
	} {
		if got := sgmName(name, layers, knownIn(names)); got != want {
			t.Errorf("%s is called %q, want %q", name, got, want)
		}
	}
}

// No two modules of a network share a name in files.
func TestResolver_unique(t *testing.T) {
	for _, kind := range []string{"sd15", "sdxl"} {
		modules := List(network(t, kind))
		seen := map[*Module]int{}
		r := newResolver(UNet, modules)
		for _, m := range r {
			seen[m]++
		}
		for i := range modules {
			if n := seen[&modules[i]]; n != 4 {
				t.Errorf("%s: %s is found under %d names, want 4", kind, modules[i].Name, n)
			}
		}
	}
}
