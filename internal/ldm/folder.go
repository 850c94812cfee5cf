package ldm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"winnow/assets"
	"winnow/internal/model"
)

// Mini is the name of the embedded model.
const Mini = "mini"

// OpenFolder is the model folder that a user names: [Mini], or a folder on disk as [DirFolder] takes it.
func OpenFolder(name string) (model.Folder, error) {
	if name == Mini {
		return model.FSFolder(assets.Mini(), Mini), nil
	}
	return DirFolder(name)
}

// DirFolder is the model folder at dir. It errs when dir is missing or is not a folder.
func DirFolder(dir string) (model.Folder, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return model.Folder{}, fmt.Errorf("model folder %s does not exist: give a folder in diffusers ONNX layout, or \"mini\"", dir)
	case err != nil:
		return model.Folder{}, err
	case !info.IsDir():
		return model.Folder{}, fmt.Errorf("model %s is a file: give the folder that holds model_index.json", dir)
	}
	return model.DirFolder(dir), nil
}

// network opens component/model.onnx.
func network(f model.Folder, component string, opt *model.Options) (*model.Model, error) {
	name := path.Join(component, "model.onnx")
	if !f.Has(name) {
		return nil, fmt.Errorf("%s is missing: export the pipeline to ONNX in diffusers layout", f.Path(name))
	}
	return f.Open(name, opt)
}
