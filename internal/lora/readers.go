package lora

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Verdicts on whether a tool loads a file.
const (
	Loads  = "yes"
	Partly = "partly"
	Fails  = "no"
)

// Reader is what one tool is expected to do with a file. These are predictions from the rules of the tools' sources, as of late 2026.
type Reader struct {
	Tool  string `json:"tool"`
	Loads string `json:"loads"` // Loads, Partly or Fails
	Why   string `json:"why,omitempty"`
}

// subject is a file to be judged.
type subject struct {
	*File
	*Stored
	base Base
}

// Readers predicts which tools load a file, and why others do not.
func Readers(f *File, s *Stored) []Reader {
	x := &subject{f, s, f.Guess()}
	return []Reader{
		x.byDiffusers(), x.byPEFT(), x.byComfyUI(), x.byWebUI(), x.byForge(), x.byInvokeAI(), x.bySDCpp(),
	}
}

// is reports whether the file is in one of the layouts and no other.
func (x *subject) is(layouts ...string) bool {
	return !slices.ContainsFunc(x.Layouts, func(l string) bool { return !slices.Contains(layouts, l) })
}

func (x *subject) kohyas() bool { return x.is(Kohya) || x.is(KohyaSGM) }

func (x *subject) has(network string) bool { return len(x.Networks[network]) > 0 }

// visible is the rule by which A1111's family lists files: what is known of the base model counts, and nothing known is Stable
// Diffusion 1.
func (x *subject) visible() bool {
	return x.base.Name != SDXL.Name || len(x.Metadata) == 0 || strings.HasPrefix(x.Metadata["ss_base_model_version"], "sdxl_")
}

const hiddenBy = "hidden while an SDXL model is loaded: the metadata do not name SDXL (ss_base_model_version)"

func (x *subject) byDiffusers() Reader {
	r := Reader{Tool: "diffusers", Loads: Loads}
	no := func(format string, args ...any) Reader { return Reader{r.Tool, Fails, fmt.Sprintf(format, args...)} }
	plain, endings := 0, 0
	for _, key := range x.Keys {
		if strings.HasPrefix(key, "unet.") {
			endings++
			if strings.Contains(key, ".lora_A.") || strings.Contains(key, ".lora_B.") {
				plain++
			}
		}
	}
	switch {
	case len(x.Layouts) > 1 && !x.is(Diffusers, OldDiffusers):
		return no("it mixes the layouts %s", strings.Join(x.Layouts, ", "))
	case x.is(PEFT):
		return no("load_lora_weights looks for names with unet. or text_encoder. ahead; PEFT loads the folder")
	case x.is(ComfyUI):
		return no("it does not know ComfyUI's names of U-Nets")
	case x.is(KohyaSGM) && x.base.Name != SDXL.Name && x.base != (Base{}):
		return no("it translates the block names of Stability's code for SDXL only")
	case x.kohyas() && x.Metadata[metadataKey] != "":
		return no("it refuses .alpha and lora_adapter_metadata together")
	case x.is(Kohya) && !x.translates():
		return no("it does not find add_embedding under kohya's names")
	case x.kohyas() && !x.oneAlpha():
		return Reader{r.Tool, Partly, "alphas differ, and it loses those of single attention layers: they count wrongly"}
	case plain > 0 && plain < endings && firstIsPEFT(x.Keys):
		return no("it goes by the first tensor, lora_A, and does not find those that end in lora.down")
	}
	return r
}

// firstIsPEFT tells which ending comes first in the order of names, in which diffusers meets them.
func firstIsPEFT(keys []string) bool {
	own := slices.Sorted(slices.Values(slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !strings.HasPrefix(k, "unet.") })))
	return strings.Contains(own[0], "lora_A")
}

func (x *subject) translates() bool {
	return !slices.ContainsFunc(x.Networks[UNet], func(m Factors) bool { return strings.HasPrefix(m.Module, "add_embedding.") })
}

func (x *subject) oneAlpha() bool {
	for _, all := range x.Networks {
		if !alike(all) {
			return false
		}
	}
	return true
}

func (x *subject) byPEFT() Reader {
	r := Reader{Tool: "PEFT", Loads: Loads}
	switch {
	case !x.is(PEFT):
		r.Loads, r.Why = Fails, "PeftModel.from_pretrained reads names behind base_model.model. alone"
	case filepath.Base(x.Path) != folderNames[1]:
		r.Loads, r.Why = Fails, "the file must be "+folderNames[1]+" beside "+configName
	}
	return r
}

// byComfyUI: ComfyUI logs names that it does not know and goes on without them.
func (x *subject) byComfyUI() Reader {
	r := Reader{Tool: "ComfyUI", Loads: Loads}
	switch {
	case x.has(Transformer):
		if !x.is(Diffusers, PEFT) {
			r.Loads, r.Why = Fails, "it does not know these names of a transformer"
		}
	case x.kohyas(), x.is(ComfyUI), x.is(OldDiffusers):
	case x.is(PEFT):
		r.Loads, r.Why = Fails, "it does not know base_model.model. for U-Nets; nothing but a log line says so"
	default:
		lost := 0
		for i := range x.Networks[UNet] {
			if isAttention(x.Networks[UNet][i].Module) {
				lost++
			}
		}
		if lost > 0 {
			r.Loads, r.Why = Partly, fmt.Sprintf("%d attention layers of the U-Net keep their old names there (processor.to_q): only a log line says that they are left out", lost)
			if lost == x.Count() {
				r.Loads = Fails
			}
		}
	}
	return r
}

func (x *subject) byWebUI() Reader {
	r := Reader{Tool: "A1111", Loads: Loads}
	peft := !slices.ContainsFunc(x.Keys, func(k string) bool { return !strings.Contains(k, ".lora_A.") && !strings.Contains(k, ".lora_B.") })
	switch {
	case x.kohyas():
	case x.is(Diffusers) && peft && !x.has(TextEncoder) && !x.has(TextEncoder2) && !x.has(Transformer):
	default:
		return Reader{r.Tool, Fails, "it reads kohya's names"}
	}
	if !x.visible() {
		r.Loads, r.Why = Partly, hiddenBy
	}
	return r
}

func (x *subject) byForge() Reader {
	r := Reader{Tool: "Forge", Loads: Loads}
	known := strings.HasPrefix(x.Metadata["modelspec.architecture"], "stable-diffusion-xl")
	switch {
	case x.has(Transformer) && x.is(Diffusers, PEFT):
	case !x.kohyas() && !x.is(ComfyUI):
		r.Loads, r.Why = Fails, "it reads kohya's and ComfyUI's names"
	case !x.visible() && !known:
		r.Loads, r.Why = Partly, hiddenBy
	}
	return r
}

// byInvokeAI: the base model is told by the width of the text embeddings, and SDXL goes by kohya's prefixes.
func (x *subject) byInvokeAI() Reader {
	r := Reader{Tool: "InvokeAI", Loads: Loads}
	folder := filepath.Base(x.Path) == folderNames[0]
	switch {
	case x.has(Transformer):
		return Reader{r.Tool, Partly, "of transformers it knows Flux"}
	case x.base == (Base{}):
		return Reader{r.Tool, Fails, "the width of the text embeddings (768, 1024, 2048) says what model it is for; this one has none of them"}
	case x.kohyas():
	case x.base.Name == SDXL.Name:
		return Reader{r.Tool, Fails, "for SDXL it takes names with lora_unet_, lora_te1_ and lora_te2_ ahead alone"}
	case !x.is(Diffusers, OldDiffusers):
		return Reader{r.Tool, Fails, "it reads kohya's names, and folders of diffusers"}
	case !folder:
		return Reader{r.Tool, Fails, "a diffusers layout must be " + folderNames[0] + " in a folder of its own"}
	}
	return r
}

func (x *subject) bySDCpp() Reader {
	r := Reader{Tool: "stable-diffusion.cpp", Loads: Loads}
	if x.is(PEFT) {
		r.Loads, r.Why = Partly, "it says how many of the tensors it applied; names behind base_model.model. are for transformers"
	}
	return r
}
