package conformance

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"winnow/internal/tensor"
)

// testCase is one model with inputs and expected outputs.
type testCase struct {
	Name, Suite, Op, Domain string
	Opset                   int
	RTol, ATol              float64
	Inputs                  []string // names
	Large                   int      // bytes of a case whose data are not in the archive
	model                   []byte
	sets                    []dataSet
}

// maxCommitted is the size up to which cases are in the repository (MAX_CASE in tests/oracle/conformance.py).
const maxCommitted = 128 << 10

// size is the number of bytes by which the repository leaves a case out.
func (c *testCase) size() int {
	n := len(c.model)
	for _, s := range c.sets {
		for _, d := range slices.Concat(s.in, s.out) {
			n += d.size
			for _, item := range d.items {
				n += item.size
			}
		}
	}
	return n
}

// dataSet holds inputs and outputs in the order of the model's; its inputs may have initializers besides.
type dataSet struct{ in, out []datum }

// datum is one value. Type is the name that numpy or ONNX has for it; tensor is the zero Tensor when the type is none
// that package tensor holds. A sequence holds its elements instead.
type datum struct {
	present bool
	list    bool
	items   []datum
	typ     string
	size    int // bytes in the archive
	tensor  tensor.Tensor
}

// archiveIndex mirrors index.json; tests/oracle/conformance.py describes it.
type archiveIndex struct {
	Versions string
	Tensors  []archivedTensor
	Cases    []struct {
		testCase
		Model [2]int
		Sets  []struct{ In, Out []int }
	}
}

type archivedTensor struct {
	dtype     string
	shape     []int
	off, size int
}

// UnmarshalJSON reads [type, shape, offset, size].
func (a *archivedTensor) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&a.dtype, &a.shape, &a.off, &a.size})
}

// readArchives returns the committed cases, or those of the archive that WINNOW_CONFORMANCE names.
func readArchives() ([]testCase, error) {
	paths := []string{os.Getenv("WINNOW_CONFORMANCE")}
	if paths[0] == "" {
		var err error
		if paths, err = filepath.Glob("testdata/*.zip"); err != nil {
			return nil, err
		}
	}
	var all []testCase
	for _, path := range paths {
		cases, err := readArchive(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, cases...)
	}
	return all, nil
}

func readArchive(path string) ([]testCase, error) {
	z, err := zip.OpenReader(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = z.Close() }() // read only
	parts := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		if parts[f.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
	var x archiveIndex
	if err := json.Unmarshal(parts["index.json"], &x); err != nil {
		return nil, err
	}
	return x.cases(parts["models.bin"], parts["tensors.bin"]), nil
}

func (x *archiveIndex) cases(models, tensors []byte) []testCase {
	data := make([]datum, len(x.Tensors))
	pick := func(refs []int) []datum {
		out := make([]datum, len(refs))
		for i, r := range refs {
			if r >= 0 {
				out[i] = data[r]
			}
		}
		return out
	}
	for i, t := range x.Tensors {
		if t.dtype == "sequence" {
			data[i] = datum{present: true, list: true, typ: t.dtype, items: pick(t.shape)} // elements come before
		} else {
			data[i] = t.datum(tensors)
		}
	}
	cases := make([]testCase, len(x.Cases))
	for i, c := range x.Cases {
		cases[i] = c.testCase
		if c.Large == 0 {
			cases[i].model = models[c.Model[0]:][:c.Model[1]]
		}
		for _, s := range c.Sets {
			cases[i].sets = append(cases[i].sets, dataSet{pick(s.In), pick(s.Out)})
		}
	}
	return cases
}

func (a *archivedTensor) datum(tensors []byte) datum {
	d := datum{present: true, typ: a.dtype, size: a.size}
	if dt := typeNamed(a.dtype); dt != tensor.Invalid {
		d.tensor = tensor.Tensor{DType: dt, Shape: a.shape, Data: slices.Clone(tensors[a.off:][:a.size])}
	}
	return d
}

// typeNamed finds an element type by numpy's name for it.
func typeNamed(name string) tensor.DType {
	name = strings.TrimSuffix(strings.ReplaceAll(name, "_", ""), "fnu") // float8_e8m0fnu
	if name == "float4e2m1fn" {
		name = tensor.F4E2M1.String()
	}
	for dt := tensor.F32; dt <= tensor.I2; dt++ {
		if dt.String() == name {
			return dt
		}
	}
	return tensor.Invalid
}
