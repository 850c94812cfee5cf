package ldm

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"winnow/internal/model"
)

// A folder of Stable Diffusion 3 whose parts do not fit is refused, when it is opened or at its first prompt, with a message that names
// the part.
func TestOpen_brokenSD3(t *testing.T) {
	set := func(name, content string) func(fstest.MapFS) {
		return func(f fstest.MapFS) { f[name] = &fstest.MapFile{Data: []byte(content)} }
	}
	drop := func(name string) func(fstest.MapFS) { return func(f fstest.MapFS) { delete(f, name) } }
	swap := func(name, other string) func(fstest.MapFS) { return func(f fstest.MapFS) { f[name] = f[other] } }
	for name, tc := range map[string]struct {
		damage func(fstest.MapFS)
		want   string
	}{
		"no transformer":     {drop("transformer/model.onnx"), "sd3/transformer/model.onnx is missing"},
		"another denoiser":   {swap("transformer/model.onnx", "vae_decoder/model.onnx"), "hidden_states, pooled_projections, timestep"},
		"no second CLIP":     {drop("text_encoder_2/model.onnx"), "sd3/text_encoder_2/model.onnx is missing"},
		"CLIP without head":  {swap("text_encoder/model.onnx", "text_encoder_3/model.onnx"), "hidden_states.N"},
		"no tokenizer of T5": {drop("tokenizer_3/spiece.model"), "sd3/tokenizer_3"},
		"T5 is a CLIP":       {swap("text_encoder_3/model.onnx", "text_encoder/model.onnx"), "width 16, the transformer takes 48"},
		"T5 is a VAE":        {swap("text_encoder_3/model.onnx", "vae_encoder/model.onnx"), `input "input_ids" is missing`},
		"small T5":           {set("text_encoder_3/config.json", `{"vocab_size": 10}`), "vocab_size 10"},
		"negative length":    {set("winnow.json", `{"max_sequence_length": -1}`), "max_sequence_length"},
	} {
		t.Run(name, func(t *testing.T) {
			files := copyFS(t, os.DirFS("../../tests/tiny/sd3"))
			tc.damage(files)
			p, err := Open(t.Context(), model.FSFolder(files, "sd3"), Options{})
			if err == nil {
				_, err = p.Encode(t.Context(), []string{"a star"}, false)
				_ = p.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v does not say %q", err, tc.want)
			}
		})
	}
}

// A prompt that CLIP reads in part is refused before anything runs, and one that T5 does, too.
func TestCheckPrompts_sd3(t *testing.T) {
	files := copyFS(t, os.DirFS("../../tests/tiny/sd3"))
	files["winnow.json"] = &fstest.MapFile{Data: []byte(`{"max_sequence_length": 8}`)}
	p, err := Open(t.Context(), model.FSFolder(files, "sd3"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for prompt, limit := range map[string]string{strings.Repeat("a red circle ", 30): "reads 32", "a big red circle left of a star": "reads 8"} {
		if err := p.CheckPrompts([]string{"a", prompt}); err == nil || !strings.Contains(err.Error(), limit) {
			t.Errorf("%q: error %v", prompt, err)
		}
	}
	if e, err := p.Encode(t.Context(), []string{"a big red circle left of a star"}, true); err != nil || e.Hidden.Shape[1] != 40 {
		t.Errorf("%v, %v", e.Hidden.Shape, err)
	}
}

// What looks into a U-Net is refused by name.
func TestOpen_sd3Options(t *testing.T) {
	folder := model.DirFolder("../../tests/tiny/sd3")
	for want, opt := range map[string]Options{"features": {Features: true}, "perturbed-attention": {Perturb: []string{"attn"}}} {
		p, err := Open(t.Context(), folder, opt)
		if err == nil {
			_ = p.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}
