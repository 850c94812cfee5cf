// Package assets holds the files that travel inside the binary: the mini world's text-to-image pipeline, its reward and
// its fixed prompts, made by the scripts in mini/train, and the wordings of the questions to judges.
package assets

import (
	"embed"
	"fmt"
	"io/fs"
)

//go:embed mini/pipeline mini/reward mini/prompts
var files embed.FS

//go:embed templates/*.txt
var templates embed.FS

// Templates returns the wordings of the questions that judges are asked, one NAME.txt each; vlmjudge.ReadWording says how
// they are written.
func Templates() fs.FS { return sub(templates, "templates") }

// Mini returns the embedded text-to-image pipeline in diffusers' ONNX layout, rooted where model_index.json lies:
// tokenizer, text_encoder, unet, vae_decoder, vae_encoder and scheduler.
func Mini() fs.FS {
	return sub(files, "mini/pipeline")
}

// MiniReward returns the embedded reward: model.onnx (pixel_values, input_ids, attention_mask → score),
// preprocessor_config.json, tokenizer, and reward.json with its name and how it was measured.
func MiniReward() fs.FS {
	return sub(files, "mini/reward")
}

// MiniPrompts returns a fixed prompt set of the mini world as JSON lines {"prompt"}: "heldout" (500 prompts, for figures)
// or "validation" (300, for choosing settings). miniworld.ReadPrompts reads them. The sets share no caption.
func MiniPrompts(set string) ([]byte, error) {
	data, err := files.ReadFile("mini/prompts/" + set + ".jsonl")
	if err != nil {
		return nil, fmt.Errorf("the mini world has no prompt set %q: use heldout or validation", set)
	}
	return data, nil
}

// sub roots embedded files at dir. A wrong dir is a programming error that the package's test would find.
func sub(tree fs.FS, dir string) fs.FS {
	tree, err := fs.Sub(tree, dir)
	if err != nil {
		panic(err)
	}
	return tree
}
