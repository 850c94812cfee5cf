package lora

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"winnow/internal/graph"
	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// contents are the tensors of a file sorted by module.
type contents struct {
	path   string
	file   *safetensors.File
	layout string                        // of the first network
	mixed  []string                      // all layouts that occur
	found  map[string]map[string]*pieces // by network and module; of text encoders by textName
	lost   []string                      // tensors that belong to no module, sorted
}

// pieces are the tensors of one module, and their names in the file.
type pieces struct {
	key    [3]string
	tensor [3]tensor.Tensor
}

// resolvePath finds the file in a folder that a training script wrote.
func resolvePath(path string) (string, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return path, nil //nolint:nilerr // opening it says what is wrong
	}
	at := slices.IndexFunc(folderNames, func(name string) bool {
		_, err := os.Stat(filepath.Join(path, name))
		return err == nil
	})
	if at < 0 {
		return "", fmt.Errorf("%s holds no %s: name the adapter's file", path, strings.Join(folderNames, " and no "))
	}
	return filepath.Join(path, folderNames[at]), nil
}

// openContents reads the names of a file. The caller closes the file.
func openContents(path string, fd *finder) (*contents, error) {
	path, err := resolvePath(path)
	if err != nil {
		return nil, err
	}
	f, err := safetensors.Read(path)
	if err != nil {
		return nil, err
	}
	c, err := newContents(path, f, fd)
	if err != nil {
		_ = f.Close() // the first error is the one to report
	}
	return c, err
}

func newContents(path string, f *safetensors.File, fd *finder) (*contents, error) {
	c := &contents{path: path, file: f, found: map[string]map[string]*pieces{}}
	if err := c.sort(fd); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *contents) sort(fd *finder) error {
	layouts := map[string][]string{}
	for _, key := range c.file.Names() {
		name, p, ending, ok := split(key)
		var s spot
		if ok {
			s, _, ok = fd.find(name, ending)
		}
		if !ok || foreignKind(key) != "" {
			c.lost = append(c.lost, key)
			continue
		}
		if at := s.network; p != partAlpha && !slices.Contains(layouts[at], s.layout) {
			layouts[at] = append(layouts[at], s.layout)
		}
		if c.found[s.network] == nil {
			c.found[s.network] = map[string]*pieces{}
		}
		at := c.found[s.network][s.module]
		if at == nil {
			at = &pieces{}
			c.found[s.network][s.module] = at
		}
		if at.key[p] != "" {
			return &safetensors.Error{
				File: c.path, Tensor: key, What: fmt.Sprintf("belongs to module %q, as %q does", s.module, at.key[p]), Cure: "remove one of them",
			}
		}
		at.key[p] = key
		at.tensor[p], _ = c.file.Tensor(key)
	}
	slices.Sort(c.lost)
	for _, network := range networkOrder {
		for _, l := range layouts[network] {
			if l == Kohya && isText(network) && slices.Contains(c.mixed, KohyaSGM) {
				continue // the two differ in the names of U-Nets alone
			}
			if !slices.Contains(c.mixed, l) {
				c.mixed = append(c.mixed, l)
			}
		}
	}
	if len(c.mixed) > 0 {
		c.layout = c.mixed[0]
	}
	if len(c.found) == 0 && len(c.lost) == 0 {
		return &safetensors.Error{File: c.path, What: "holds no tensors", Cure: "name the adapter's file"}
	}
	return nil
}

// keyError lists the tensors that belong to nothing.
func (c *contents) keyError(graphs map[string]*graph.Graph, looks map[string]*surveyed) error {
	var sources []string
	for _, n := range networkOrder {
		if g := graphs[n]; g != nil && slices.ContainsFunc(c.lost, func(key string) bool { return mayBe(key, n) }) {
			sources = append(sources, g.Source)
		}
	}
	if sources == nil {
		sources = []string{"a network that is known"}
	}
	return &KeyError{
		File: c.path, Network: strings.Join(sources, ", "), Keys: c.lost[:min(10, len(c.lost))], Count: len(c.lost), Total: len(c.file.Names()),
		Why: c.whyLost(looks),
	}
}

// mayBe reports whether a tensor's name can be that of a network.
func mayBe(key, network string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(key, p.text) {
			return p.network == network || p.network == ""
		}
	}
	return true
}

// whyLost is the likely reason why tensors fit no module.
func (c *contents) whyLost(looks map[string]*surveyed) string {
	every := func(prefixes ...string) bool {
		return !slices.ContainsFunc(c.lost, func(key string) bool {
			return !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(key, p) })
		})
	}
	kinds := map[string]bool{}
	for _, key := range c.lost {
		if kind := foreignKind(key); kind != "" {
			kinds[kind] = true
		}
	}
	hidden := ""
	for _, network := range slices.Sorted(maps.Keys(looks)) {
		if hidden == "" {
			hidden = looks[network].hidden()
		}
	}
	switch {
	case len(kinds) > 0:
		return "the file holds " + strings.Join(slices.Sorted(maps.Keys(kinds)), " and ") + ": LoRA alone is read"
	case looks[UNet] != nil && looks[TextEncoder] == nil && every("text_encoder", "lora_te"):
		return "adapters of text encoders are not applied: write the file again with those of the U-Net alone"
	case looks == nil:
		return "name the model that the adapter is for (--model), whose modules tell what the names mean"
	case hidden != "":
		return hidden
	case len(c.found) == 0:
		return "the adapter was made for another kind of network"
	}
	return "the adapter was made for another variant of the network"
}

// bad is an error about one tensor of a module.
func (p *pieces) bad(file, module string, half part, format string, args ...any) error {
	return &safetensors.Error{
		File: file, Tensor: p.key[half], What: fmt.Sprintf(format, args...) + fmt.Sprintf(" (module %q)", module),
		Cure: "the adapter belongs to another network, or the file is damaged",
	}
}

// factors checks that the tensors fit each other and copies them as float32.
func (p *pieces) factors(file, module string, settings settings) (*Factors, error) {
	bad := func(half part, format string, args ...any) (*Factors, error) {
		return nil, p.bad(file, module, half, format, args...)
	}
	for _, half := range []part{partA, partB} {
		if p.key[half] == "" {
			other := 1 - half
			if p.key[other] == "" {
				other = partAlpha
			}
			return bad(other, "stands alone: its other factor is missing")
		}
		if t := p.tensor[half]; !t.DType.IsFloat() || len(t.Shape) < 2 {
			return bad(half, "%v of shape %v is no factor", t.DType, t.Shape)
		}
	}
	a, b := p.tensor[partA], p.tensor[partB]
	if rank := a.Shape[0]; rank < 1 || b.Shape[1] != rank || b.Elems() != rank*b.Shape[0] {
		return bad(partB, "shape %v does not fit the rank %d of the other factor", b.Shape, rank)
	}
	alpha, err := p.alpha(file, module, settings)
	if err != nil {
		return nil, err
	}
	var pair [2]tensor.Tensor
	for half, t := range []tensor.Tensor{a, b} {
		v := slices.Clone(t.Float32s())
		for i, x := range v {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return bad(part(half), "element %d is %v", i, x)
			}
		}
		pair[half] = tensor.FromF32(v, t.Shape...)
	}
	return &Factors{Module: module, A: pair[0], B: pair[1], Alpha: alpha}, nil
}

func (p *pieces) alpha(file, module string, settings settings) (float64, error) {
	if p.key[partAlpha] == "" {
		return settings.alpha(module, p.tensor[partA].Shape[0]), nil
	}
	t := p.tensor[partAlpha]
	if t.Elems() != 1 || !t.DType.IsFloat() {
		return 0, &safetensors.Error{File: file, Tensor: p.key[partAlpha], What: fmt.Sprintf("%v of shape %v is no alpha", t.DType, t.Shape)}
	}
	alpha := float64(t.Float32s()[0])
	if math.IsNaN(alpha) || math.IsInf(alpha, 0) {
		return 0, &safetensors.Error{File: file, Tensor: p.key[partAlpha], What: fmt.Sprintf("alpha is %v", alpha)}
	}
	return alpha, nil // 0 means the rank, as in kohya's scripts and in Adapter
}
