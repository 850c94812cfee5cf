package evaluation

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"winnow/datasets"
)

// A million rows have to fit into a gigabyte with their scores, with room for the garbage collector, which lets the heap double.
func TestMemoryPerRow(t *testing.T) {
	const rows, most = 100_000, 400 // bytes a row, of 1 GiB / 1,000,000 / 2
	path := filepath.Join(t.TempDir(), "s.jsonl")
	var b strings.Builder
	prompt := func(i int) string {
		return fmt.Sprintf("prompt %d with as many words as prompts have that people write, in oil on canvas", i/3)
	}
	for i := range rows {
		for k := range 2 {
			fmt.Fprintf(&b, "{\"image\":\"%08x-0000-4000-8000-%012x\",\"prompt\":%q,\"score\":%d}\n", i, k, prompt(i), (i*7+k)%10)
		}
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	before := heap()
	scores, broken, err := ReadScores(path)
	if err != nil || len(broken) > 0 {
		t.Fatal(err, broken)
	}
	set := NewSet("pickapic")
	c := set.AddScorer("s")
	for i := range rows {
		rec := &datasets.Record{Kind: datasets.KindPair, Prompt: prompt(i), Label: float64(i % 2), Images: make([]datasets.Image, 2)}
		for k := range rec.Images {
			rec.Images[k].UID = fmt.Sprintf("%08x-0000-4000-8000-%012x", i, k)
		}
		if missing := c.Lookup(set.Add(rec), rec, scores); missing != nil {
			t.Fatal(missing)
		}
	}
	if perRow := float64(heap()-before) / rows; perRow > most {
		t.Errorf("%.0f bytes a row, allowed %d", perRow, most)
	} else {
		t.Logf("%.0f bytes a row", perRow)
	}
	if r := c.Result(math.NaN()); r.Scored != rows || scores.Unused() != 0 {
		t.Errorf("%d rows scored", r.Scored)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
