package ldm

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// index is model_index.json. Keys that are pairs of strings name components; the others are pipeline settings.
type index struct {
	ClassName             string `json:"_class_name"`
	ForceZerosEmptyPrompt *bool  `json:"force_zeros_for_empty_prompt"`
}

// vaeConfig is the part of vae*/config.json that the pipeline needs.
type vaeConfig struct {
	ScalingFactor  *float64  `json:"scaling_factor"`
	ShiftFactor    *float64  `json:"shift_factor"`
	LatentsMean    []float64 `json:"latents_mean"` // per channel; some XL models
	LatentsStd     []float64 `json:"latents_std"`
	LatentChannels int       `json:"latent_channels"`
	BlockOut       []int     `json:"block_out_channels"`
}

// unetConfig is the part of unet/config.json or transformer/config.json that the pipeline needs. sample_size may be a number or a pair.
type unetConfig struct {
	SampleSize any `json:"sample_size"`
	PatchSize  int `json:"patch_size"` // of transformers: latents per token and side
}

// textConfig is the part of text_encoder*/config.json that the pipeline needs.
type textConfig struct {
	MaxPositions int `json:"max_position_embeddings"`
	VocabSize    int `json:"vocab_size"`
}

// Defaults are the settings that a model runs with when the user names none. They come from winnow.json in the model
// folder when it is there, else from the pipelines of diffusers.
type Defaults struct {
	Steps         int     `json:"steps"`
	GuidanceScale float64 `json:"guidance_scale"`
	Height        int     `json:"height"` // pixels
	Width         int     `json:"width"`  // pixels
	Reward        string  `json:"reward"` // reward that fits the model's pictures, "" when none is known
}

// sampleSize returns the latent height and width that the network was trained on.
func (c unetConfig) sampleSize() (h, w int) {
	switch s := c.SampleSize.(type) {
	case float64:
		return int(s), int(s)
	case []any:
		if len(s) == 2 {
			a, okA := s[0].(float64)
			b, okB := s[1].(float64)
			if okA && okB {
				return int(a), int(b)
			}
		}
	}
	return 64, 64
}

// affine maps one channel of latents to what the decoder takes: z = latent·scale + shift.
type affine struct{ scale, shift float64 }

// channels gives the map of each channel: latents divided by scaling_factor (the family's value when the file has none),
// then shifted; XL models with per-channel statistics also undo those, as StableDiffusionXLPipeline does.
func (c vaeConfig) channels(xl bool, n int) ([]affine, error) {
	factor := 0.18215
	if xl {
		factor = 0.13025
	}
	if c.ScalingFactor != nil {
		factor = *c.ScalingFactor
	}
	var shift float64
	if c.ShiftFactor != nil {
		shift = *c.ShiftFactor
	}
	if factor <= 0 || math.IsInf(1/factor, 0) || math.IsNaN(factor) || math.IsNaN(shift) || math.IsInf(shift, 0) {
		return nil, fmt.Errorf("scaling_factor %v and shift_factor %v: want finite numbers, the first above 0", factor, shift)
	}
	out := slices.Repeat([]affine{{1 / factor, shift}}, n)
	if !xl || c.LatentsMean == nil || c.LatentsStd == nil {
		return out, nil
	}
	if len(c.LatentsMean) != n || len(c.LatentsStd) != n {
		return nil, fmt.Errorf("latents_mean and latents_std have %d and %d numbers for %d channels", len(c.LatentsMean), len(c.LatentsStd), n)
	}
	for i := range out {
		out[i] = affine{c.LatentsStd[i] / factor, c.LatentsMean[i]}
	}
	return out, nil
}

// fillSD3 sets what the file does not say to the values of Stable Diffusion 3.
func (c *vaeConfig) fillSD3() {
	if c.ScalingFactor == nil {
		c.ScalingFactor = new(float64)
		*c.ScalingFactor = 1.5305
	}
	if c.ShiftFactor == nil {
		c.ShiftFactor = new(float64)
		*c.ShiftFactor = 0.0609
	}
}

// factor is the number of pixels per latent and side.
func (c vaeConfig) factor() int {
	if len(c.BlockOut) == 0 {
		return 8
	}
	return 1 << (len(c.BlockOut) - 1)
}

// isXL reports whether a pipeline class takes two text encoders and size conditioning.
func isXL(class string) bool { return strings.Contains(class, "XL") }

// isSD3 reports whether a pipeline class has a transformer of joint attention in place of the U-Net.
func isSD3(class string) bool { return strings.Contains(class, "StableDiffusion3") }

// unsupported reports the pipeline classes whose networks are driven differently.
func unsupported(class string) bool {
	for _, part := range []string{"Flux", "PixArt", "Kandinsky", "Inpaint", "ControlNet"} {
		if strings.Contains(class, part) {
			return true
		}
	}
	return false
}
