package diffusion

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Adapters of U-Net and text encoders against diffusers: final latents of tests/oracle/lora_text.py, in the layout that diffusers read.
func TestGenerate_loraText(t *testing.T) {
	data, err := os.ReadFile("../tests/golden/lora/text.json")
	if err != nil {
		t.Fatal(err)
	}
	var set guidedSet
	var golden struct{ Latents map[string]string }
	if err := errors.Join(json.Unmarshal(data, &set), json.Unmarshal(data, &golden)); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"sd15", "sdxl"} {
		p := openAdapted(t, kind, &Options{LoRA: []LoRA{{File: adapterFile(kind, "text")}}})
		c := guidedCase{Guidance: "cfg", Scale: 5, NFE: 20, Latents: golden.Latents[kind]}
		images, err := p.Generate(t.Context(), c.request(&set))
		if err != nil {
			t.Fatal(err)
		}
		c.equals(t, images)
		// A scale counts for the text encoders too: half of it is another picture than none and all of it.
		half := 0.5
		other, err := openAdapted(t, kind, &Options{LoRA: []LoRA{{File: adapterFile(kind, "text"), Scale: &half}}}).Generate(t.Context(), c.request(&set))
		if err != nil {
			t.Fatal(err)
		}
		if e := relative(t, other[0].Latents, images[0].Latents); e < 0.01 {
			t.Errorf("%s: half the scale differs by %g only", kind, e)
		}
		_, err = Open(t.Context(), filepath.Join("../tests/tiny", kind), &Options{LoRA: []LoRA{{File: adapterFile(kind, "text"), Side: PositiveSide}}})
		if err == nil || !strings.Contains(err.Error(), "text encoders") {
			t.Errorf("%s: one side: error %v", kind, err)
		}
	}
}
