package lora

import (
	"maps"
	"slices"
	"strings"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// Stored says how a file that was read holds its adapters.
type Stored struct {
	Path     string
	Layout   string   // one of Layouts; of the first network
	Layouts  []string // all that occur: more than one is a mixture that few tools read
	DType    tensor.DType
	Metadata map[string]string
	Keys     []string // names of all tensors, in the order of the file
}

// Open reads a file of adapters, or a folder with one, without knowing the networks: names with dots say what they mean, kohya's are
// taken apart by the words that U-Nets and CLIP's text encoders are made of. graphs may name networks whose modules are known, which
// then decide. Every tensor must belong to a module: otherwise a *KeyError lists them. Modules are in the order of their names, and
// those of text encoders have the level text_model.
func Open(path string, graphs map[string]*graph.Graph) (*File, *Stored, error) {
	fd := &finder{tables: map[string]resolver{}, layers: 2}
	var looks map[string]*surveyed
	for network, g := range graphs {
		if looks == nil {
			looks = map[string]*surveyed{}
		}
		looks[network] = look(g)
		fd.tables[network] = newResolver(network, looks[network].modules)
	}
	c, err := openContents(path, fd)
	if err != nil {
		return nil, nil, err
	}
	defer c.file.Close()
	if len(c.lost) > 0 {
		return nil, nil, c.keyError(graphs, looks)
	}
	return c.adapters()
}

// adapters copies all of them.
func (c *contents) adapters() (*File, *Stored, error) {
	f := &File{Networks: map[string][]Factors{}}
	for network, found := range c.found {
		settings, err := readSettings(c.path, network, c.file.Metadata)
		if err != nil {
			return nil, nil, err
		}
		for _, module := range slices.SortedFunc(maps.Keys(found), strings.Compare) {
			one, err := found[module].factors(c.path, module, settings)
			if err != nil {
				return nil, nil, err
			}
			f.Networks[network] = append(f.Networks[network], *one)
		}
	}
	s := &Stored{Path: c.path, Layout: c.layout, Layouts: c.mixed, Metadata: c.file.Metadata, Keys: c.file.Names()}
	s.DType = c.dtype()
	return f, s, nil
}

// dtype is the type of the factors; the widest one where they differ.
func (c *contents) dtype() tensor.DType {
	best := tensor.Invalid
	for _, found := range c.found {
		for _, p := range found {
			for _, half := range []part{partA, partB} {
				if d := p.tensor[half].DType; best == tensor.Invalid || d.Size() > best.Size() || d.Size() == best.Size() && d < best {
					best = d
				}
			}
		}
	}
	return best
}
