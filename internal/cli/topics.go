package cli

import "github.com/spf13/cobra"

// topics are help pages without a command: `winnow help scripting`.
func topics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "scripting", Short: "Streams, JSON and exit codes", Long: scriptingText},
		{Use: "files", Short: "Files that are read and written", Long: filesText},
	}
}

const scriptingText = `Standard output carries the result and nothing else: a table, paths, or with
--json one JSON object per line. Everything for people (progress, warnings,
errors) goes to standard error. Bars are drawn on a terminal only; elsewhere a
line is written per tenth of the work, at most one a second; --quiet leaves out
both.

With --json every object has a "type": "image", "network", "version", "summary",
or "error" (with "code", "message" and, where one is meant, "file"). Fields are
added over time and never change their meaning.

Exit codes
    0  done
    1  failed
    2  wrong usage: a flag, an argument, or a setting that cannot work
    3  partial result: some items failed and are listed, the rest is complete
  130  interrupted (Ctrl-C); files that exist are whole

Every flag may stand in a YAML file given by --config; a flag on the command
line wins. Flags may be written with _ for -. --save-config writes the file
that repeats a run.

Environment
  WINNOW_KERNEL  ref, avx2 or avx512: which kernels compute
`

const filesText = `Models      A folder in diffusers' ONNX layout (model_index.json, scheduler,
            tokenizer, text_encoder, unet, vae_decoder), or "mini", which is
            embedded. Nothing is downloaded.
Rewards     "mini" (embedded), or "clip" with the folder of any CLIP-type dual
            encoder: model.onnx as optimum writes it, or text_model.onnx and
            vision_model.onnx; tokenizer files; preprocessor_config.json.
            Score of model.onnx: the checkpoint's logit scale × cosine. Split
            graphs do not carry the scale; their score is 100 × cosine.
Images      PNG, JPEG, GIF (first frame), WebP, BMP; found by content, not by
            name. At most 256 MiB, 65,535 pixels a side and 64 Mi pixels, checked
            before decoding. Alpha is dropped as Pillow's convert("RGB") does;
            JPEG is turned by its EXIF orientation.
PNG written Pictures carry their settings: "parameters" in the form of the common
            web interfaces and "winnow" as JSON.
Tensors     --latents, --save-latents and --prompt-embeds are safetensors files:
            "latents" [images, channels, height, width], float32, unit variance;
            "prompt_embeds", "negative_prompt_embeds", and for XL models
            "pooled_prompt_embeds", "negative_pooled_prompt_embeds".
Writing     Every file is written under a temporary name and renamed when it is
            complete. An existing file is replaced.
`
