package datasets

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
)

// streamRows is the length of the file that TestParquet_streams reads; WINNOW_STREAM_ROWS asks for another one.
const streamRows = 200_000

// TestParquet_streams writes and reads a long Pick-a-Pic file. Neither may hold more than a row group at a time: the heap
// stays far below the limit of 1 GiB, whatever the length.
func TestParquet_streams(t *testing.T) {
	rows := streamRows
	if text := os.Getenv("WINNOW_STREAM_ROWS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		rows = n
	} else if testing.Short() {
		rows = 20_000
	}
	path := filepath.Join(t.TempDir(), "long.parquet")
	labels := []float64{1, 0, 0.5, math.NaN()}
	picture := make([]byte, 200)
	err := Write(path, "pickapic", func(w Writer) error {
		for i := range rows {
			picture := append([]byte(nil), picture...)
			copy(picture, strconv.Itoa(i))
			r := newPair(fmt.Sprintf("a prompt that is asked for twice, number %d", i/2), Image{UID: fmt.Sprintf("a%d", i), Data: picture},
				Image{UID: fmt.Sprintf("b%d", i), Data: picture[:100]}, labels[i%4])
			if err := w.Write(&r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var count [4]int
	peak := uint64(0)
	for rec, err := range r.All() {
		i := r.Rows() - 1
		if err != nil || rec.Images[1].UID != "b"+strconv.Itoa(i) || len(rec.Images[0].Data) != 200 || !same(rec.Label, labels[i%4]) {
			t.Fatalf("row %d: %+v, %v", i, rec, err)
		}
		count[i%4]++
		if i%(rows/20) == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapSys)
		}
	}
	if n := count[0] + count[1] + count[2] + count[3]; n != rows || r.Failed() != 0 {
		t.Errorf("%d of %d rows, %d failed", n, rows, r.Failed())
	}
	t.Logf("%d rows, heap at most %d MiB", rows, peak>>20)
	if peak > 512<<20 {
		t.Errorf("the heap grew to %d MiB", peak>>20)
	}
}
