package lora

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// Base is a family of base models, as the metadata of adapters names them.
type Base struct {
	Name         string // for people
	Version      string // ss_base_model_version
	Architecture string // modelspec.architecture
	Width        int    // of the text embeddings that cross-attention reads; 0 for none
	XL           bool   // two text encoders
	V2           bool   // Stable Diffusion 2
}

// Bases that are known. The widths of 1 and 2, and their tokens, are those of InvokeAI's test.
var (
	SD1   = Base{"Stable Diffusion 1", "sd_v1", "stable-diffusion-v1/lora", 768, false, false}
	SD2   = Base{"Stable Diffusion 2", "sd_v2", "stable-diffusion-v2-512/lora", 1024, false, true}
	SD2V  = Base{"Stable Diffusion 2 (v-prediction)", "sd_v2_v", "stable-diffusion-v2-768-v/lora", 1024, false, true}
	SDXL  = Base{"Stable Diffusion XL", "sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora", 2048, true, false}
	Bases = []Base{SD1, SD2, SD2V, SDXL}
)

// Guess tells the base model from the width of the text embeddings that cross-attention reads; the zero Base when that says nothing.
func (f *File) Guess() Base {
	for i := range f.Networks[UNet] {
		m := &f.Networks[UNet][i]
		if !strings.HasSuffix(m.Module, ".attn2.to_k") && !strings.HasSuffix(m.Module, ".attn2.to_v") {
			continue
		}
		for _, b := range Bases {
			if b.Width == m.A.Shape[1] {
				return b
			}
		}
		return Base{}
	}
	if len(f.Networks[TextEncoder2]) > 0 && len(f.Networks[Transformer]) == 0 {
		return SDXL
	}
	return Base{}
}

// Meta is what an adapter's file says about itself. Zero fields are left out.
type Meta struct {
	Name        string // ss_output_name and modelspec.title: what user interfaces show
	Base        Base   // the zero Base is guessed from the weights
	Model       string // ss_sd_model_name: the base model's file or folder, without the path
	Description string
	Author      string
	License     string
	Prediction  string    // epsilon, v_prediction, sample or flow_prediction
	Width       int       // of the pictures of the training, in pixels
	Height      int       //
	Started     time.Time // of the training
	Finished    time.Time // also modelspec.date
	Session     string    // ss_session_id
	Steps       int
	Seed        *uint64
	Rate        float64           // learning rate
	Optimizer   string            // for example AdamW
	Thumbnail   []byte            // a JPEG, PNG or WebP picture
	More        map[string]string // further entries, as they are; they win
}

func (m *Meta) base(f *File) Base {
	if m.Base == (Base{}) {
		return f.Guess()
	}
	return m.Base
}

// metadata is the header's text map: kohya's ss_ entries and Stability's modelspec for user interfaces, and in the layouts of
// diffusers and PEFT also diffusers' own. A kohya file may not have those: diffusers refuses alphas and settings together.
func (o *WriteOptions) metadata(f *File, tensors map[string]tensor.Tensor) (map[string]string, error) {
	out := o.Meta.kohya(f)
	model, legacy, err := hashes(tensors, out)
	if err != nil {
		return nil, err
	}
	out["sshs_model_hash"], out["sshs_legacy_hash"] = model, legacy
	o.Meta.spec(out, o.Meta.base(f), model, o.Layout)
	if o.Layout == Diffusers || o.Layout == OldDiffusers {
		all := map[string]any{}
		for network, factors := range f.Networks {
			for key, v := range peftConfig(factors) {
				all[network+"."+key] = v
			}
		}
		out[metadataKey] = string(indented(all))
	}
	out["format"] = "pt"
	maps.Copy(out, o.Meta.More)
	return out, nil
}

// kohya are the entries of kohya's scripts that user interfaces look at.
func (m *Meta) kohya(f *File) map[string]string {
	base := m.base(f)
	out := map[string]string{"ss_network_module": "networks.lora"}
	set := func(key, value string, when bool) {
		if when {
			out[key] = value
		}
	}
	if r := f.Ranks(); len(r) == 1 {
		out["ss_network_dim"] = strconv.Itoa(r[0])
		first := &f.Networks[f.Names()[0]][0] // kept or folded, one alpha serves the network
		out["ss_network_alpha"] = strconv.FormatFloat(first.Scale()*float64(r[0]), 'g', -1, 64)
	} else {
		out["ss_network_dim"], out["ss_network_alpha"] = "Dynamic", "Dynamic"
	}
	set("ss_base_model_version", base.Version, base.Version != "")
	set("ss_v2", pythonBool(base.V2), base.Version != "")
	set("ss_output_name", m.Name, m.Name != "")
	set("ss_sd_model_name", m.Model, m.Model != "")
	set("ss_resolution", fmt.Sprintf("(%d, %d)", m.Width, m.Height), m.Width > 0 && m.Height > 0)
	set("ss_steps", strconv.Itoa(m.Steps), m.Steps > 0)
	set("ss_learning_rate", strconv.FormatFloat(m.Rate, 'g', -1, 64), m.Rate > 0)
	set("ss_optimizer", m.Optimizer, m.Optimizer != "")
	set("ss_session_id", m.Session, m.Session != "")
	set("ss_training_started_at", seconds(m.Started), !m.Started.IsZero())
	set("ss_training_finished_at", seconds(m.Finished), !m.Finished.IsZero())
	if m.Seed != nil {
		out["ss_seed"] = strconv.FormatUint(*m.Seed, 10)
	}
	return out
}

func pythonBool(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

func seconds(t time.Time) string { return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000) }

// spec adds the entries of Stability's model metadata specification.
func (m *Meta) spec(out map[string]string, base Base, hash, layout string) {
	set := func(key, value string, when bool) {
		if when {
			out["modelspec."+key] = value
		}
	}
	set("sai_model_spec", "1.0.1", true)
	set("architecture", base.Architecture, base.Architecture != "")
	implementation := "diffusers"
	if layout == KohyaSGM || layout == ComfyUI {
		implementation = "https://github.com/Stability-AI/generative-models"
	}
	set("implementation", implementation, true)
	set("title", m.Name, m.Name != "")
	set("description", m.Description, m.Description != "")
	set("author", m.Author, m.Author != "")
	set("license", m.License, m.License != "")
	set("date", m.Finished.UTC().Format("2006-01-02T15:04:05"), !m.Finished.IsZero())
	set("resolution", fmt.Sprintf("%dx%d", m.Width, m.Height), m.Width > 0 && m.Height > 0)
	set("prediction_type", strings.TrimSuffix(m.Prediction, "_prediction"), m.Prediction != "")
	set("hash_sha256", "0x"+hash, true)
	set("thumbnail", "data:"+http.DetectContentType(m.Thumbnail)+";base64,"+base64.StdEncoding.EncodeToString(m.Thumbnail), len(m.Thumbnail) > 0)
}

// hashes are sshs_model_hash and sshs_legacy_hash of kohya's scripts: SHA-256 of the data section, and the first 8 digits of that of
// the 64 KiB after the first MiB, both of a file whose metadata are the entries that begin with ss_.
func hashes(tensors map[string]tensor.Tensor, ss map[string]string) (model, legacy string, err error) {
	data, err := safetensors.Encode(tensors, ss)
	if err != nil {
		return "", "", err
	}
	size := 0
	for _, t := range tensors {
		size += len(t.Data)
	}
	sum := sha256.Sum256(data[len(data)-size:])
	const from, length = 0x100000, 0x10000
	window := data[min(from, len(data)):min(from+length, len(data))]
	old := sha256.Sum256(window)
	return hex.EncodeToString(sum[:]), hex.EncodeToString(old[:])[:8], nil
}
