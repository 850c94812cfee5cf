// Package assets holds the files that travel inside the binary: the mini world's text-to-image pipeline and its
// reward, both trained and exported by the scripts in mini/train.
package assets

import (
	"embed"
	"io/fs"
)

//go:embed mini/pipeline
var files embed.FS

// Mini returns the embedded text-to-image pipeline in diffusers' ONNX layout, rooted where model_index.json lies:
// tokenizer, text_encoder, unet, vae_decoder, vae_encoder and scheduler.
func Mini() fs.FS {
	return sub("mini/pipeline")
}

// sub roots the embedded files at dir. A wrong dir is a programming error that the package's test would find.
func sub(dir string) fs.FS {
	tree, err := fs.Sub(files, dir)
	if err != nil {
		panic(err)
	}
	return tree
}
