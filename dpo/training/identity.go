package training

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"strings"
)

// wholeBytes is the size up to which a file is hashed as a whole; of larger ones, the weights, samplePieces pieces of sampleBytes are,
// evenly spread. Other weights differ in each of them, and to read gigabytes at every start would take longer than the start.
const (
	wholeBytes   = 64 << 20
	samplePieces = 64
	sampleBytes  = 64 << 10
)

// identify hashes the files of a model folder that decide about latents, embeddings and predictions: their contents, not their times, so
// that a copy of a model is the same model. Links are followed, as caches of model hubs are made of them. t5 is the number of T5's tokens,
// which winnow.json may set; 0 for models without.
func identify(fsys fs.FS, t5 int) ([]byte, error) {
	h := sha256.New()
	for _, name := range []string{
		"model_index.json", "scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "vae_decoder", "vae_encoder",
		"text_encoder_3", "tokenizer_3", "transformer",
	} {
		if err := identifyOne(h, fsys, name, 8); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if t5 > 0 {
		fmt.Fprintf(h, "t5 %d\n", t5)
	}
	return h.Sum(nil), nil
}

// identifyOne adds a file or, down to some depth, a folder.
func identifyOne(h hash.Hash, fsys fs.FS, name string, depth int) error {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		fmt.Fprintf(h, "%s %d\n", name, info.Size())
		return identifyFile(h, fsys, name, info.Size())
	}
	if depth == 0 {
		return fmt.Errorf("%s: folders are nested too deeply", name)
	}
	entries, err := fs.ReadDir(fsys, name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if err := identifyOne(h, fsys, path.Join(name, e.Name()), depth-1); err != nil {
			return err
		}
	}
	return nil
}

func identifyFile(h hash.Hash, fsys fs.FS, name string, size int64) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	at, ok := f.(io.ReaderAt)
	if size <= wholeBytes || !ok {
		_, err := io.Copy(h, f)
		return err
	}
	for i := range int64(samplePieces) {
		from := (size - sampleBytes) * i / (samplePieces - 1)
		if _, err := io.Copy(h, io.NewSectionReader(at, from, sampleBytes)); err != nil {
			return err
		}
	}
	return nil
}
