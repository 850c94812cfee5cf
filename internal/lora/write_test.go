package lora

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// facts are what tests/oracle/lora_write.py found out about the libraries that read adapters.
type facts struct {
	Names  map[string][]string
	SGM    []string
	Saved  map[string][]string
	Hashes []struct {
		Size          int
		DType         string
		Model, Legacy string
	}
}

func readFacts(t *testing.T) facts {
	t.Helper()
	data, err := os.ReadFile("testdata/write.json")
	if err != nil {
		t.Fatal(err)
	}
	var f facts
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// filled is a tensor of the oracle's numbers.
func filled(shape ...int) tensor.Tensor {
	x := tensor.New(tensor.F32, shape...)
	for i := range x.F32() {
		x.F32()[i] = float32(i*7919%1009)/1009 - 0.5
	}
	return x
}

// adapted are adapters of some modules, In and Out being 6 and 5, with different ranks and alphas unless same is set.
func adapted(names []string, same bool) []Factors {
	var out []Factors
	for i, name := range names {
		r, alpha := 4, 0.0
		if !same {
			r, alpha = 2+i%3, float64(i%4)*0.75
		}
		a, b := filled(r, 6), filled(5, r)
		b.F32()[0] = float32(i + 1)
		out = append(out, Factors{Module: name, A: a, B: b, Alpha: alpha})
	}
	return out
}

func textModules(layers int, ends ...string) []string {
	var out []string
	for i := range layers {
		for _, end := range ends {
			out = append(out, "text_model.encoder.layers."+string(rune('0'+i))+"."+end)
		}
	}
	return out
}

var textEnds = []string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"}

func names(t *testing.T, f *File, opt WriteOptions) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.safetensors")
	if err := Write(path, f, opt); err != nil {
		t.Fatal(err)
	}
	s, err := safetensors.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got := s.Names()
	slices.Sort(got)
	return got
}

// The layout of diffusers has the names of its save_lora_weights; text encoders have the level that was there when the layout was made.
func TestWrite_diffusersNames(t *testing.T) {
	for kind, layers := range map[string][]int{"sd15": {2}, "sdxl": {2, 3}} {
		f := &File{Networks: map[string][]Factors{}}
		var targets []string
		for _, m := range List(network(t, kind)) {
			if isAttention(m.Name) {
				targets = append(targets, m.Name)
			}
		}
		f.Networks[UNet] = adapted(targets, false)
		for i, n := range layers {
			f.Networks[[]string{TextEncoder, TextEncoder2}[i]] = adapted(textModules(n, textEnds...), false)
		}
		want := slices.Clone(readFacts(t).Saved[kind])
		for i, key := range want {
			for _, text := range []string{"text_encoder.", "text_encoder_2."} {
				if rest, ok := strings.CutPrefix(key, text); ok && !strings.HasPrefix(rest, "text_model.") {
					want[i] = text + "text_model." + rest
				}
			}
		}
		slices.Sort(want)
		if got := names(t, f, WriteOptions{Layout: Diffusers}); !slices.Equal(got, want) {
			t.Errorf("%s: %d names, want %d:\n%q\n%q", kind, len(got), len(want), got[:3], want[:3])
		}
	}
}

// Stability's names of all modules of SDXL are those that diffusers maps back, with and without a list of the network's modules.
func TestWrite_sgmNames(t *testing.T) {
	facts := readFacts(t)
	all := facts.Names["sdxl"]
	for _, modules := range []map[string][]string{nil, {UNet: all}} {
		n := newNamer(UNet, &File{Networks: map[string][]Factors{UNet: adapted(all[:1], true)}}, &WriteOptions{Layout: KohyaSGM, Modules: modules, Meta: Meta{Base: SDXL}})
		for i, name := range all {
			if k, err := n.keys(name); err != nil || k.a != facts.SGM[i]+".lora_down.weight" {
				t.Errorf("%s is called %q (%v), want %q", name, k.a, err, facts.SGM[i])
			}
		}
	}
}

// The hashes are those of kohya's scripts, by Python.
func TestWrite_hashes(t *testing.T) {
	seed := uint64(7)
	for _, c := range readFacts(t).Hashes {
		f := &File{Networks: map[string][]Factors{UNet: {{Module: toK, A: filled(2, c.Size), B: filled(3, 2)}}}}
		dt := tensor.F32
		if c.DType == "float16" {
			dt = tensor.F16
		}
		_, metadata, err := encode(f, &WriteOptions{DType: dt, Meta: Meta{Name: "ramp", Seed: &seed}})
		if err != nil {
			t.Fatal(err)
		}
		if metadata["sshs_model_hash"] != c.Model || metadata["sshs_legacy_hash"] != c.Legacy || metadata["modelspec.hash_sha256"] != "0x"+c.Model {
			t.Errorf("size %d, %s: %v, want %v", c.Size, c.DType, metadata, c)
		}
	}
}

func TestWrite_metadata(t *testing.T) {
	seed := uint64(42)
	f := &File{Networks: map[string][]Factors{UNet: {{Module: "mid_block.attentions.0.transformer_blocks.0.attn2.to_k", A: filled(4, 2048), B: filled(1280, 4), Alpha: 2}}}}
	opt := WriteOptions{Meta: Meta{
		Name: "style", Model: "sdxl", Author: "me", License: "MIT", Prediction: "v_prediction", Width: 1024, Height: 768, Started: time.Unix(1000, 5000),
		Finished: time.Unix(2000, 0), Session: "1", Steps: 20, Seed: &seed, Rate: 1e-4, Optimizer: "AdamW", Thumbnail: []byte("\xff\xd8\xff\xe0"),
		More: map[string]string{"winnow.loss": "dpo"},
	}}
	_, got, err := encode(f, &opt)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"ss_network_dim": "4", "ss_network_alpha": "4", "ss_base_model_version": "sdxl_base_v1-0", "ss_v2": "False", "ss_output_name": "style",
		"ss_sd_model_name": "sdxl", "ss_resolution": "(1024, 768)", "ss_seed": "42", "ss_steps": "20", "ss_learning_rate": "0.0001",
		"ss_training_started_at": "1000.000005", "modelspec.architecture": "stable-diffusion-xl-v1-base/lora", "modelspec.prediction_type": "v",
		"modelspec.date": "1970-01-01T00:33:20", "modelspec.thumbnail": "data:image/jpeg;base64,/9j/4A==", "modelspec.resolution": "1024x768",
		"winnow.loss": "dpo", "format": "pt", "modelspec.sai_model_spec": "1.0.1", "modelspec.implementation": "diffusers",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	if _, ok := got[metadataKey]; ok {
		t.Error("a kohya file has diffusers' settings, which diffusers refuses beside alphas")
	}
	opt.Layout = Diffusers
	if _, got, err = encode(f, &opt); err != nil {
		t.Fatal(err)
	}
	s, err := fromMetadata(got[metadataKey], UNet)
	if err != nil || s.alpha(f.Networks[UNet][0].Module, 4) != 4 {
		t.Errorf("settings %+v, %v", s, err)
	}
}

// Folding keeps the product of every module, with one alpha for a network.
func TestWrite_folding(t *testing.T) {
	all := adapted([]string{"a", "b", "c", "d", "e"}, false)
	for name, got := range map[string][]Factors{"folded": folded(all), "baked": baked(all)} {
		for i := range all {
			w, g := &all[i], &got[i]
			for k, x := range g.B.F32() {
				if want := float64(w.B.F32()[k]) * w.Scale(); math.Abs(float64(x)*g.Scale()-want) > 1e-6*math.Abs(want) {
					t.Fatalf("%s: module %s: %v", name, g.Module, g)
				}
			}
			if name == "folded" && g.Alpha != 4 || name == "baked" && g.Alpha != float64(g.Rank()) {
				t.Errorf("%s: module %s: alpha %g", name, g.Module, g.Alpha)
			}
		}
	}
}

func TestWrite_bytes(t *testing.T) {
	dir := t.TempDir()
	f := &File{Networks: map[string][]Factors{UNet: adapted([]string{toK, strings.Replace(toK, "to_k", "to_q", 1)}, true)}}
	paths, err := WriteAll(filepath.Join(dir, "new"), "style", f, WriteOptions{DType: tensor.BF16})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{filepath.Join(dir, "new", "style.safetensors"), filepath.Join(dir, "new", "pytorch_lora_weights.safetensors")}; !slices.Equal(paths, want) {
		t.Fatalf("paths %v", paths)
	}
	first := [2][]byte{}
	for range 3 {
		if _, err := WriteAll(filepath.Join(dir, "new"), "style", f, WriteOptions{DType: tensor.BF16}); err != nil {
			t.Fatal(err)
		}
		for i, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if first[i] == nil {
				first[i] = data
			}
			if !bytes.Equal(first[i], data) {
				t.Error("the same adapters give other bytes")
			}
		}
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "new")); err != nil || len(entries) != 2 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestWrite_refusals(t *testing.T) {
	one := func(m Factors) *File { return &File{Networks: map[string][]Factors{UNet: {m}}} }
	good := Factors{Module: toK, A: filled(2, 6), B: filled(5, 2)}
	big := Factors{Module: toK, A: filled(2, 6), B: filled(5, 2)}
	big.B.F32()[3] = 70000
	nan := Factors{Module: toK, A: filled(2, 6), B: filled(5, 2)}
	nan.A.F32()[1] = float32(math.NaN())
	text := &File{Networks: map[string][]Factors{UNet: {good}, TextEncoder: {good}}}
	for name, c := range map[string]struct {
		f    *File
		opt  WriteOptions
		want string
	}{
		"nothing":     {&File{}, WriteOptions{}, "no adapters"},
		"layout":      {one(good), WriteOptions{Layout: "x"}, "no layout \"x\""},
		"type":        {one(good), WriteOptions{DType: tensor.F64}, "float64"},
		"ranks":       {one(Factors{Module: toK, A: filled(2, 6), B: filled(5, 3)}), WriteOptions{}, "do not fit"},
		"twice":       {&File{Networks: map[string][]Factors{UNet: {good, good}}}, WriteOptions{}, "twice"},
		"too large":   {one(big), WriteOptions{DType: tensor.F16}, "beyond float16"},
		"NaN":         {one(nan), WriteOptions{}, "NaN"},
		"old":         {one(Factors{Module: "conv_in", A: filled(2, 6), B: filled(5, 2)}), WriteOptions{Layout: OldDiffusers}, "attention layers only"},
		"PEFT of two": {text, WriteOptions{Layout: PEFT}, "one network"},
		"transformer": {&File{Networks: map[string][]Factors{Transformer: {good}}}, WriteOptions{}, "layout diffusers"},
		"no name":     {one(Factors{Module: "x.y", A: filled(2, 6), B: filled(5, 2)}), WriteOptions{Layout: KohyaSGM}, "no name in the layout"},
	} {
		path := filepath.Join(t.TempDir(), "a.safetensors")
		err := Write(path, c.f, c.opt)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: a file was left", name)
		}
	}
}

// Adapters of a transformer and CLIPs have the names of diffusers' save_lora_weights, in both files, and claim no base model of U-Nets.
func TestWrite_transformer(t *testing.T) {
	f := &File{Networks: map[string][]Factors{
		Transformer:  adapted([]string{"transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn.add_k_proj", "transformer_blocks.0.attn.to_out.0"}, false),
		TextEncoder2: adapted([]string{"text_model.encoder.layers.0.self_attn.q_proj"}, false),
	}}
	if b := f.Guess(); b != (Base{}) {
		t.Errorf("taken for %s", b.Name)
	}
	dir := t.TempDir()
	paths, err := WriteAll(dir, "a", f, WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		got, s, err := Open(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.Layout != Diffusers || len(got.Networks[Transformer]) != 3 || len(got.Networks[TextEncoder2]) != 1 {
			t.Errorf("%s: layout %s, networks %v", path, s.Layout, got.Names())
		}
		for _, key := range []string{
			"transformer.transformer_blocks.0.attn.to_q.lora_A.weight", "transformer.transformer_blocks.0.attn.add_k_proj.lora_B.weight",
			"transformer.transformer_blocks.0.attn.to_out.0.lora_A.weight",
		} {
			if !slices.Contains(s.Keys, key) {
				t.Errorf("%s lacks %s", path, key)
			}
		}
	}
	if err := Write(filepath.Join(dir, "k.safetensors"), f, WriteOptions{Layout: Kohya}); err == nil || !strings.Contains(err.Error(), "write the layout diffusers") {
		t.Errorf("kohya's layout: %v", err)
	}
}
