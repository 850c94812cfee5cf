package ldm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"winnow/internal/graph"
	"winnow/internal/lora"
	"winnow/internal/mmap"
	"winnow/internal/model"
)

// MergeResult says what Merge changed.
type MergeResult struct {
	Networks map[string]int // modules by component
	Files    []string       // that differ from the model's, relative to the folder
}

// Merge writes a copy of a model folder with adapters added to the weights. Files are copied as they are and the changed weights
// written over the old ones, so everything else of the networks stays: types, external data, names, operators. With link, files of
// networks that no adapter can change are hard links where the system allows it. out may not exist yet; it appears whole.
func Merge(ctx context.Context, f model.Folder, adapters []AdapterFile, out string, link bool) (*MergeResult, error) {
	if _, err := os.Lstat(out); err == nil {
		return nil, fmt.Errorf("%s exists already: name a folder that does not", out)
	}
	parent := filepath.Dir(filepath.Clean(out))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(parent, ".winnow-merge-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	folder := filepath.Join(work, "model")
	if err := copyFolder(ctx, f, folder, link); err != nil {
		return nil, err
	}
	res, err := mergeInto(ctx, folder, f, adapters)
	if err != nil {
		return nil, err
	}
	return res, os.Rename(folder, out)
}

// adaptedNetworks are the components that adapters may be for.
var adaptedNetworks = []string{lora.UNet, lora.Transformer, lora.TextEncoder, lora.TextEncoder2}

// mayChange tells whether an adapter may change files of a folder's part.
func mayChange(name string) bool {
	part, _, _ := cutPath(name)
	return slices.Contains(adaptedNetworks, part)
}

func cutPath(name string) (first, rest string, found bool) {
	for i := range len(name) {
		if name[i] == '/' {
			return name[:i], name[i+1:], true
		}
	}
	return name, "", false
}

func copyFolder(ctx context.Context, f model.Folder, to string, link bool) error {
	return fs.WalkDir(f.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		target := filepath.Join(to, filepath.FromSlash(name))
		info, err := fs.Stat(f.FS(), name) // through links, as hub caches have them
		if err != nil {
			return err
		}
		switch {
		case info.IsDir() && !d.IsDir():
			return fmt.Errorf("%s is a link to a folder: copy the model without links first", f.Path(name))
		case info.IsDir():
			return os.MkdirAll(target, 0o755)
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is no ordinary file", f.Path(name))
		}
		if link && d.Type().IsRegular() && !mayChange(name) && os.Link(f.Path(name), target) == nil {
			return nil
		}
		return copyFile(ctx, f.FS(), name, target)
	})
}

func copyFile(ctx context.Context, from fs.FS, name, to string) error {
	in, err := from.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, &stopping{ctx, in})
	return errors.Join(err, out.Close())
}

// stopping is a reader that ends with its context.
type stopping struct {
	ctx context.Context
	r   io.Reader
}

func (s *stopping) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// mergeInto changes the weights of the copy.
func mergeInto(ctx context.Context, folder string, source model.Folder, adapters []AdapterFile) (*MergeResult, error) {
	copied := model.DirFolder(folder)
	networks, graphs := map[string]*model.Model{}, map[string]*graph.Graph{}
	defer func() {
		for _, m := range networks {
			_ = m.Close() // read only
		}
	}()
	for _, name := range adaptedNetworks {
		if !copied.Has(path.Join(name, "model.onnx")) {
			continue
		}
		m, err := network(copied, name, nil)
		if err != nil {
			return nil, err
		}
		networks[name], graphs[name] = m, m.File().Graph
		m.File().Graph.Source = source.Path(path.Join(name, "model.onnx")) // what messages name
	}
	if len(networks) == 0 {
		return nil, fmt.Errorf("%s: no unet/model.onnx, no transformer/model.onnx and no text_encoder/model.onnx: a model folder in diffusers' ONNX layout is needed", source.Path(""))
	}
	all, scales := map[string][]*lora.Weights{}, map[string][]float64{}
	for _, a := range adapters {
		read, err := lora.ReadNetworks(a.Path, graphs)
		if err != nil {
			return nil, err
		}
		for name, w := range read {
			all[name], scales[name] = append(all[name], w), append(scales[name], a.Scale)
		}
	}
	res := &MergeResult{Networks: map[string]int{}}
	for name := range all {
		merged, err := lora.Merge(graphs[name], all[name], scales[name])
		if err != nil {
			return nil, err
		}
		res.Networks[name] = len(merged)
		for i := range merged {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			file, err := overwrite(&merged[i])
			if err != nil {
				return nil, fmt.Errorf("%s: weight %q: %w", graphs[name].Source, merged[i].Name, err)
			}
			if rel, err := filepath.Rel(realFolder(folder), file); err == nil && !slices.Contains(res.Files, filepath.ToSlash(rel)) {
				res.Files = append(res.Files, filepath.ToSlash(rel))
			}
		}
	}
	slices.Sort(res.Files)
	return res, nil
}

func realFolder(folder string) string {
	if real, err := filepath.EvalSymlinks(folder); err == nil {
		folder = real
	}
	if abs, err := filepath.Abs(folder); err == nil {
		folder = abs
	}
	return folder
}

// overwrite puts a weight in the place of the old one and returns the file's real path.
func overwrite(m *lora.Merged) (string, error) {
	mapped, offset, ok := mmap.Locate(m.Old.Data)
	if !ok {
		return "", errors.New("it is stored in a form that cannot be replaced in place; save the model again with raw data, as exporters do")
	}
	file := realFolder(mapped.Path())
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	_, err = f.WriteAt(m.Data, offset)
	if err == nil {
		err = f.Sync()
	}
	return file, errors.Join(err, f.Close())
}
