package tensorboard

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"
)

// clock gives the wall times of tests/oracle/tensorboard_files.py: one time while a file is opened, then half a second more an event.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func (c *clock) tick() { c.at = c.at.Add(time.Second / 2) }

const torchWriter = "tensorboard.summary.writer.event_file_writer"

// writeRun writes the events of the oracle's run.
func writeRun(t *testing.T, dir string, first, from, to int, picture []byte) string {
	t.Helper()
	c := &clock{time.Unix(1700000000, 250_000_000)}
	w, err := create(dir, first, "host", torchWriter, c.now)
	if err != nil {
		t.Fatal(err)
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c.tick()
	check(w.Text("settings", 0, Table([2]string{"name", "value"}, [][2]string{{"beta", "2000"}, {"prompt", "a | b, größer"}})))
	for step := from; step <= to; step++ {
		c.tick()
		check(w.Scalars(step, []Scalar{{"loss", math.Ln2 / float64(step)}, {"rewards/margins", float64(step) / 7}}))
	}
	c.tick()
	check(w.Image("preview", to, 6, 4, picture))
	c.tick()
	check(w.Scalars(to, []Scalar{{"nan", math.NaN()}}))
	check(w.Close())
	check(w.Close())
	return w.Path()
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The files are byte for byte those of torch's SummaryWriter.
func TestWriter_equalsTorch(t *testing.T) {
	dir := t.TempDir()
	picture := read(t, "testdata/picture.png")
	first := writeRun(t, dir, 0, 1, 5, picture)
	resumed := writeRun(t, dir, 4, 4, 7, picture)
	for file, golden := range map[string]string{first: "testdata/first.tfevents", resumed: "testdata/resumed.tfevents"} {
		if got, want := read(t, file), read(t, golden); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d\ngot  %q\nwant %q", golden, len(got), len(want), got, want)
		}
	}
	names := []string{filepath.Base(first), filepath.Base(resumed)}
	if !sort.StringsAreSorted(names) || names[0] == names[1] {
		t.Errorf("files of one second are read in the order %q", names)
	}
}

// records takes a file apart and checks every checksum with the inverse of the mask.
func records(t *testing.T, data []byte) (payloads [][]byte) {
	t.Helper()
	unmask := func(b []byte) uint32 {
		m := binary.LittleEndian.Uint32(b) - 0xa282ead8
		return m>>17 | m<<15
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	for len(data) > 0 {
		if len(data) < 16 {
			t.Fatalf("%d bytes left over", len(data))
		}
		n := binary.LittleEndian.Uint64(data)
		if unmask(data[8:]) != crc32.Checksum(data[:8], table) {
			t.Fatal("checksum of a length")
		}
		payload := data[12 : 12+n]
		if unmask(data[12+n:]) != crc32.Checksum(payload, table) {
			t.Fatal("checksum of an event")
		}
		payloads = append(payloads, payload)
		data = data[16+n:]
	}
	return payloads
}

// "123456789" has the CRC-32C e3069283; the masked form is by hand.
func TestMaskedCRC(t *testing.T) {
	crc := uint32(0xe3069283)
	if got := maskedCRC([]byte("123456789")); got != (crc>>15|crc<<17)+0xa282ead8 {
		t.Errorf("%08x", got)
	}
}

func TestWriter_flushes(t *testing.T) {
	dir := t.TempDir()
	c := &clock{time.Unix(2, 0)}
	w, err := create(dir, 0, "a host/..", "winnow", c.now)
	if err != nil {
		t.Fatal(err)
	}
	if name := filepath.Base(w.Path()); strings.ContainsAny(name, " /") || filepath.Dir(w.Path()) != dir {
		t.Errorf("name %q", name)
	}
	if n := len(records(t, read(t, w.Path()))); n != 1 {
		t.Errorf("%d events in a new file, want its version alone", n)
	}
	for step := 1; step <= 10; step++ {
		c.tick()
		if err := w.Scalars(step, []Scalar{{"loss", 1}}); err != nil {
			t.Fatal(err)
		}
		if on := len(records(t, read(t, w.Path()))) - 1; step-on > 3 {
			t.Errorf("step %d: events up to %d are in the file, two seconds are four steps", step, on)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(records(t, read(t, w.Path()))); n != 11 {
		t.Errorf("%d events, want 11", n)
	}
	if err := w.Scalars(11, []Scalar{{"loss", 1}}); err == nil {
		t.Error("a closed file takes events")
	}
}

func TestCreate_errors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(filepath.Join(file, "logs"), 0); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a folder inside a file: %v", err)
	}
	w, err := Create(filepath.Join(t.TempDir(), "a", "b"), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Text("t", 0, "x"); err == nil {
		t.Error("no error on a file that cannot be written")
	}
	if err := w.Scalars(1, []Scalar{{"a", 1}}); err == nil {
		t.Error("the first error is forgotten")
	}
}
