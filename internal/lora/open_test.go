package lora

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// Names of all modules of Stable Diffusion 1.5 and XL come back from every layout without a list of them.
func TestPlaceOf_all(t *testing.T) {
	facts := readFacts(t)
	for kind, modules := range facts.Names {
		for _, layout := range []string{Kohya, KohyaSGM, Diffusers, PEFT, ComfyUI, OldDiffusers} {
			base := map[string]Base{"sd15": SD1, "sdxl": SDXL}[kind]
			n := newNamer(UNet, &File{Networks: map[string][]Factors{UNet: adapted(modules[:1], true)}}, &WriteOptions{Layout: layout, Meta: Meta{Base: base}})
			for _, m := range modules {
				k, err := n.keys(m)
				if layout == OldDiffusers && !isAttention(m) {
					if err == nil {
						t.Errorf("%s, %s: no error", layout, m)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				name, p, ending, ok := split(k.a)
				s, known := placeOf(name, ending, 2)
				if !ok || p != partA || !known || s != (spot{UNet, m, layout}) {
					t.Fatalf("%s %s: %q is read as %+v (%v, %v), want %s", kind, layout, k.a, s, ok, known, m)
				}
			}
		}
	}
}

// A file comes back from every layout with the products it had, in every type within its precision.
func TestOpen_roundTrips(t *testing.T) {
	facts := readFacts(t)
	var attention, all []string
	for i, m := range facts.Names["sdxl"] {
		if isAttention(m) && i%9 == 0 {
			attention = append(attention, m)
		}
		if i%23 == 0 {
			all = append(all, m)
		}
	}
	text := textModules(3, textEnds...)
	meta := Meta{Base: SDXL}
	for name, c := range map[string]struct {
		f       *File
		layouts []string
	}{
		"attention": {&File{Networks: map[string][]Factors{UNet: adapted(attention, false)}}, Layouts},
		"all":       {&File{Networks: map[string][]Factors{UNet: adapted(all, false)}}, []string{Kohya, KohyaSGM, Diffusers, PEFT, ComfyUI}},
		"texts": {
			&File{Networks: map[string][]Factors{UNet: adapted(attention, false), TextEncoder: adapted(text, false), TextEncoder2: adapted(text, true)}},
			[]string{Kohya, KohyaSGM, Diffusers, ComfyUI},
		},
		"transformer": {&File{Networks: map[string][]Factors{Transformer: adapted([]string{"transformer_blocks.0.attn.to_q", "x_embedder"}, false)}}, []string{Diffusers}},
	} {
		for _, from := range c.layouts {
			for _, to := range c.layouts {
				first, s := stored(t, c.f, WriteOptions{Layout: from, Meta: meta})
				if s.Layout != from || len(s.Layouts) != 1 {
					t.Fatalf("%s as %s: %+v", name, from, s)
				}
				got, _ := stored(t, first, WriteOptions{Layout: to, KeepAlpha: true, Meta: meta})
				same(t, name+" "+from+" "+to, c.f, got, 1e-6)
			}
		}
	}
	for dt, limit := range map[tensor.DType]float64{tensor.F16: 1e-3, tensor.BF16: 1e-2} {
		f := &File{Networks: map[string][]Factors{UNet: adapted(attention, false)}}
		got, s := stored(t, f, WriteOptions{DType: dt})
		if s.DType != dt {
			t.Fatal(s)
		}
		same(t, dt.String(), f, got, limit)
	}
}

// inMemory reads a file's bytes as Open does a file.
func inMemory(data []byte) (*File, *Stored, error) {
	f, err := safetensors.Parse("a.safetensors", data)
	if err != nil {
		return nil, nil, err
	}
	c, err := newContents("a.safetensors", f, &finder{tables: map[string]resolver{}, layers: 2})
	if err != nil {
		return nil, nil, err
	}
	if len(c.lost) > 0 {
		return nil, nil, c.keyError(nil, nil)
	}
	return c.adapters()
}

// stored reads what Write would store.
func stored(t *testing.T, f *File, opt WriteOptions) (*File, *Stored) {
	t.Helper()
	tensors, metadata, err := encode(f, &opt)
	if err != nil {
		t.Fatal(err)
	}
	data, err := safetensors.Encode(tensors, metadata)
	if err != nil {
		t.Fatal(err)
	}
	got, s, err := inMemory(data)
	if err != nil {
		t.Fatal(err)
	}
	return got, s
}

func same(t *testing.T, name string, want, got *File, limit float64) {
	t.Helper()
	d, err := Compare(t.Context(), want, got)
	if err != nil || len(d) != want.Count() || want.Count() != got.Count() {
		t.Fatalf("%s: %d modules compared of %d and %d, %v", name, len(d), want.Count(), got.Count(), err)
	}
	for _, x := range d {
		if x.Missing != "" || x.Shapes || !(x.Rel <= limit) || x.Norm == 0 {
			t.Errorf("%s: %+v", name, x)
		}
	}
}

// Without folding a kohya file keeps its tensors to the bit.
func TestWrite_keepAlpha(t *testing.T) {
	f := &File{Networks: map[string][]Factors{UNet: adapted([]string{toK, toK[:len(toK)-1] + "v"}, true)}}
	for i := range f.Networks[UNet] {
		f.Networks[UNet][i].Alpha = 1.7
	}
	path := filepath.Join(t.TempDir(), "a.safetensors")
	if err := Write(path, f, WriteOptions{KeepAlpha: true}); err != nil {
		t.Fatal(err)
	}
	got, _, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range got.Networks[UNet] {
		if w := f.Networks[UNet][i]; !slices.Equal(m.A.F32(), w.A.F32()) || !slices.Equal(m.B.F32(), w.B.F32()) || math.Abs(m.Alpha-1.7) > 1e-6 {
			t.Errorf("%+v, want %+v", m, w)
		}
	}
}

// Text encoders' names of all layouts, with and without the level text_model.
func TestReadNetworks_text(t *testing.T) {
	graphs := map[string]*graph.Graph{UNet: network(t, "sd15"), TextEncoder: textNetwork(t, "sd15/text_encoder")}
	const want = "text_model.encoder.layers.1.self_attn.out_proj"
	a, b := filled(2, 32), filled(32, 2)
	for down, up := range map[string]string{
		"lora_te_text_model_encoder_layers_1_self_attn_out_proj.lora_down.weight":                       "lora_te_text_model_encoder_layers_1_self_attn_out_proj.lora_up.weight",
		"lora_te1_text_model_encoder_layers_1_self_attn_out_proj.lora_down.weight":                      "lora_te1_text_model_encoder_layers_1_self_attn_out_proj.lora_up.weight",
		"text_encoder.text_model.encoder.layers.1.self_attn.out_proj.lora_linear_layer.down.weight":     "text_encoder.text_model.encoder.layers.1.self_attn.out_proj.lora_linear_layer.up.weight",
		"text_encoder.encoder.layers.1.self_attn.out_proj.lora_linear_layer.down.weight":                "text_encoder.encoder.layers.1.self_attn.out_proj.lora_linear_layer.up.weight",
		"text_encoder.text_model.encoder.layers.1.self_attn.to_out_lora.down.weight":                    "text_encoder.text_model.encoder.layers.1.self_attn.to_out_lora.up.weight",
		"text_encoder.text_model.encoder.layers.1.self_attn.out_proj.lora_A.weight":                     "text_encoder.text_model.encoder.layers.1.self_attn.out_proj.lora_B.weight",
		"base_model.model.text_model.encoder.layers.1.self_attn.out_proj.lora_A.weight":                 "base_model.model.text_model.encoder.layers.1.self_attn.out_proj.lora_B.weight",
		"base_model.model.encoder.layers.1.self_attn.out_proj.lora_A.weight":                            "base_model.model.encoder.layers.1.self_attn.out_proj.lora_B.weight",
		"text_encoders.clip_l.transformer.text_model.encoder.layers.1.self_attn.out_proj.lora_A.weight": "text_encoders.clip_l.transformer.text_model.encoder.layers.1.self_attn.out_proj.lora_B.weight",
	} {
		path := file(t, "a.safetensors", map[string]tensor.Tensor{down: a, up: b}, nil)
		all, err := ReadNetworks(path, graphs)
		if err != nil || len(all) != 1 || all[TextEncoder] == nil || textName(all[TextEncoder].Modules[0]) != want {
			t.Errorf("%s: %+v, %v", down, all, err)
		}
		f, _, err := Open(path, nil)
		if err != nil || f.Count() != 1 || len(f.Networks[TextEncoder]) != 1 || f.Networks[TextEncoder][0].Module != want {
			t.Errorf("%s: without the model: %+v, %v", down, f, err)
		}
	}
}

// Other methods are named, with their tensors, and nothing is left out in silence.
func TestOpen_foreign(t *testing.T) {
	good := pair("unet."+toK+".lora_A.weight", "unet."+toK+".lora_B.weight")
	for key, kind := range map[string]string{
		kohyaToK + ".hada_w1_a": "LoHa", kohyaToK + ".lokr_w1": "LoKr", kohyaToK + ".dora_scale": "DoRA", kohyaToK + ".diff": "full difference",
		kohyaToK + ".diff_b": "full difference", kohyaToK + ".lora_mid.weight": "third factor", kohyaToK + ".oft_blocks": "OFT",
		"unet." + toK + ".lora_magnitude_vector": "DoRA", kohyaToK + ".on_input": "(IA)", "lora_unet_joint_blocks_0_x.lora_down.weight": "--model",
	} {
		_, _, err := Open(file(t, "a.safetensors", with(good, key), nil), nil)
		var lost *KeyError
		if !errors.As(err, &lost) || lost.Count != 1 || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), kind) {
			t.Errorf("%s: error %v, want %q", key, err, kind)
		}
	}
}

// What a file of which a process died while writing it would be is never there: a failing Write leaves the old one.
func TestWrite_keepsTheOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	f := &File{Networks: map[string][]Factors{UNet: adapted([]string{toK}, true)}}
	if err := Write(path, f, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f.Networks[UNet][0].B.F32()[0] = float32(math.Inf(1))
	if err := Write(path, f, WriteOptions{}); err == nil {
		t.Error("no error")
	}
	if after, err := os.ReadFile(path); err != nil || !slices.Equal(before, after) {
		t.Errorf("the old file is gone (%v)", err)
	}
}

// Norms and comparisons against products written out.
func TestCompare(t *testing.T) {
	a := Factors{Module: "m", A: filled(2, 3), B: filled(4, 2), Alpha: 3}
	sum := 0.0
	for o := range 4 {
		for i := range 3 {
			v := 0.0
			for r := range 2 {
				v += 1.5 * float64(a.B.F32()[o*2+r]) * float64(a.A.F32()[r*3+i])
			}
			sum += v * v
		}
	}
	if got := a.Norm(); math.Abs(got-math.Sqrt(sum)) > 1e-12 {
		t.Errorf("norm %g, want %g", got, math.Sqrt(sum))
	}
	b := Factors{Module: "m", A: a.A, B: scaled(a.B, 1.5), Alpha: 2.02}
	one := func(all ...Factors) *File { return &File{Networks: map[string][]Factors{UNet: all}} }
	d, err := Compare(t.Context(), one(a), one(b))
	if err != nil || len(d) != 1 || math.Abs(d[0].Rel-0.01) > 1e-6 || math.Abs(d[0].Max-0.01*d[0].Largest) > 1e-6 {
		t.Errorf("%+v, %v", d, err)
	}
	wide := Factors{Module: "m", A: filled(2, 5), B: filled(4, 2)}
	zero := Factors{Module: "n", A: filled(2, 3), B: tensor.New(tensor.F32, 4, 2)}
	if d, err = Compare(t.Context(), one(a), one(wide, zero)); err != nil || len(d) != 2 || !d[0].Shapes || d[1].Missing != "" {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err = Compare(t.Context(), one(a), &File{}); err != nil || d[0].Missing != "second" || d[0].Norm == 0 {
		t.Errorf("%+v, %v", d, err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Compare(stopped, one(a), one(b)); err == nil {
		t.Error("a stopped comparison: no error")
	}
}

// Reading never panics, and what it accepts can be written and read again.
func FuzzOpen(f *testing.F) {
	for _, name := range []string{"sd15-diffusers", "sd15-kohya", "sd15-old", "sdxl-kohya"} {
		data, err := os.ReadFile("../../tests/golden/lora/" + name + ".safetensors")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:min(len(data), 4096)])
	}
	small, err := safetensors.Encode(with3(kohyaToK+".lora_down.weight", kohyaToK+".lora_up.weight", kohyaToK+".alpha", tensor.FromF32([]float32{2})),
		map[string]string{metadataKey: `{"unet.r": 4, "unet.alpha_pattern": {"to_k": 2}}`})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	f.Fuzz(func(t *testing.T, data []byte) {
		got, s, err := inMemory(data)
		if err != nil {
			return
		}
		Readers(got, s)
		tensors, metadata, err := encode(got, &WriteOptions{Layout: Diffusers})
		if err != nil {
			return // for example factors that overflow when alpha is multiplied in
		}
		written, err := safetensors.Encode(tensors, metadata)
		if err == nil {
			_, _, err = inMemory(written)
		}
		if err != nil {
			t.Errorf("what was written cannot be read: %v", err)
		}
	})
}
