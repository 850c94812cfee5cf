// Package layers holds the test that keeps the import direction of DESIGN.md section 3: imports only point down.
package layers

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// layer gives every package its height. A package may import packages of a lower height only; a package that is
// missing here fails the test, so that each new package is placed on purpose.
var layer = map[string]int{
	"winnow/internal/tensor":     0,
	"winnow/internal/mmap":       0,
	"winnow/internal/atomicfile": 0,
	"winnow/internal/lockfile":   0,

	"winnow/internal/kernel":      1,
	"winnow/internal/rng":         1,
	"winnow/internal/tokenizer":   1,
	"winnow/internal/imageproc":   1,
	"winnow/internal/pngmeta":     1,
	"winnow/internal/progress":    1,
	"winnow/internal/tensorboard": 1,
	"winnow/internal/sqlitefile":  1,
	"winnow/internal/miniworld":   1,
	"winnow/assets":               1,

	"winnow/internal/safetensors": 2,
	"winnow/internal/monitor":     2,
	"winnow/internal/graph":       2,
	"winnow/internal/optim":       2,
	"winnow/sampling":             2,
	"winnow/rewards/metric":       2,

	"winnow/internal/onnx":        3,
	"winnow/internal/lora":        3,
	"winnow/internal/model":       4,
	"winnow/internal/ort":         4,
	"winnow/internal/ort/orttest": 5,
	"winnow/internal/ldm":         5,
	"winnow/vlmjudge":             5,

	"winnow/diffusion": 6,
	"winnow/datasets":  6,
	"winnow/dpo":       6,
	"winnow/rewards":   6,

	"winnow/dpo/training":          7,
	"winnow/internal/minibench":    7,
	"winnow/internal/online":       7,
	"winnow/internal/conditioning": 6,
	"winnow/internal/report":       7,
	"winnow/internal/evaluation":   7,
	"winnow/internal/ledger":       6,
	"winnow/internal/scoring":      7,
	"winnow/internal/judgeset":     7,
	"winnow/internal/serve":        8,
	"winnow/internal/labelling":    7,
	"winnow/internal/cli":          9,
	"winnow/cmd/winnow":            10,
}

// barred lists arrows that point down and are still wrong.
var barred = map[string][]string{
	"winnow/sampling":          {"winnow/internal/graph", "winnow/internal/model", "winnow/internal/tensor"},
	"winnow/diffusion":         {"winnow/rewards"},
	"winnow/rewards":           {"winnow/diffusion", "winnow/internal/ldm"},
	"winnow/dpo":               {"winnow/internal/ldm", "winnow/diffusion"},
	"winnow/dpo/training":      {"winnow/diffusion", "winnow/rewards"},
	"winnow/internal/kernel":   {"winnow/internal/graph"},
	"winnow/internal/progress": {"winnow/internal/tensor"},
	"winnow/internal/optim":    {"winnow/internal/graph", "winnow/internal/safetensors"},
}

type listed struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "winnow/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listed
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		if !strings.HasPrefix(p.ImportPath, "winnow/tests/") {
			all = append(all, p)
		}
	}
}

func TestImportsPointDown(t *testing.T) {
	all := packages(t)
	if len(all) < 10 {
		t.Fatalf("go list found %d packages only: the test looks at the wrong tree", len(all))
	}
	for _, p := range all {
		height, ok := layer[p.ImportPath]
		if !ok {
			t.Errorf("%s has no layer: give it one in tests/layers", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, "winnow/") {
				continue
			}
			if below, ok := layer[imp]; ok && below >= height {
				t.Errorf("%s (layer %d) imports %s (layer %d): imports only point down", p.ImportPath, height, imp, below)
			}
			for _, b := range barred[p.ImportPath] {
				if imp == b {
					t.Errorf("%s must not import %s", p.ImportPath, b)
				}
			}
		}
	}
}
