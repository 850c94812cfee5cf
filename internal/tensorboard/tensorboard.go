// Package tensorboard writes the event files that TensorBoard reads: scalars, pictures and texts by step.
//
// A file is a sequence of TFRecords (record.go), each of which holds one Event protobuf (event.go). TensorBoard reads all files
// of a folder in the order of their names as one run, so a run that is resumed adds a file, and that file's second event takes
// back what older files say of the steps that are done again.
package tensorboard

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// flushEvery is the longest time that events of a busy run stay in memory.
const flushEvery = 2 * time.Second

// Scalar is one number of a step; those of a tag are one curve. Tags with the same part before "/" are shown together.
type Scalar struct {
	Tag   string
	Value float64 // kept as float32; NaN and infinities are shown as such
}

// Writer adds events to one new file. It is not safe for concurrent use. The first error ends it, and every call after that
// returns this error.
type Writer struct {
	file *os.File
	out  *bufio.Writer
	now  func() time.Time
	last time.Time // of the last flush
	err  error
}

// Create makes the folder dir where it is missing, and a new event file in it. first is the first step that will be written:
// what older files of dir say of this step and later ones is dropped by TensorBoard. With 0 nothing is dropped.
func Create(dir string, first int) (*Writer, error) {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	return create(dir, first, host, "winnow", time.Now)
}

func create(dir string, first int, host, source string, now func() time.Time) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("tensorboard: %w", err)
	}
	second, err := nextSecond(dir, now().Unix())
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("events.out.tfevents.%010d.%s.%d.0", second, hostPart(host), os.Getpid())
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("tensorboard: %w", err)
	}
	w := &Writer{file: file, out: bufio.NewWriterSize(file, 1<<16), now: now, last: now()}
	w.add(fileVersion(w.wallTime(), 0, source))
	if first > 0 {
		w.add(fileVersion(w.wallTime(), first, ""))
		w.add(sessionStart(w.wallTime(), first))
	}
	if err := w.Flush(); err != nil {
		_ = file.Close()
		return nil, err
	}
	return w, nil
}

var eventFile = regexp.MustCompile(`^events\.out\.tfevents\.([0-9]{10})\.`)

// nextSecond is the time for the name of a new file. It lies behind that of every file there, so that the new one is read last,
// also when two starts share a second or the clock was set back.
func nextSecond(dir string, now int64) (int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("tensorboard: %w", err)
	}
	for _, e := range entries {
		if m := eventFile.FindStringSubmatch(e.Name()); m != nil {
			if t, err := strconv.ParseInt(m[1], 10, 64); err == nil {
				now = max(now, t+1)
			}
		}
	}
	return now, nil
}

// hostPart makes a host's name fit for the name of a file.
func hostPart(host string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.', r == '_':
			return r
		}
		return '-'
	}, host)
}

// Path is the name of the file.
func (w *Writer) Path() string { return w.file.Name() }

// wallTime is in seconds; nanoseconds since 1970 would not fit into a float64.
func (w *Writer) wallTime() float64 {
	t := w.now()
	return float64(t.Unix()) + float64(t.Nanosecond())/1e9
}

// add writes one event into the buffer.
func (w *Writer) add(event []byte) {
	if w.err == nil {
		_, w.err = w.out.Write(appendRecord(nil, event))
	}
}

// Scalars writes the numbers of one step.
func (w *Writer) Scalars(step int, scalars []Scalar) error {
	if len(scalars) == 0 {
		return w.err
	}
	var values [][]byte
	for _, s := range scalars {
		values = append(values, scalarValue(s.Tag, float32(s.Value)))
	}
	w.add(summary(w.wallTime(), step, values...))
	if w.now().Sub(w.last) >= flushEvery {
		return w.Flush()
	}
	return w.err
}

// Image writes a picture, a whole PNG file, of width by height pixels; pictures of one tag and several steps get a slider.
func (w *Writer) Image(tag string, step, width, height int, png []byte) error {
	w.add(summary(w.wallTime(), step, imageValue(tag, width, height, png)))
	return w.Flush()
}

// Text writes a text, which is shown as Markdown.
func (w *Writer) Text(tag string, step int, text string) error {
	w.add(summary(w.wallTime(), step, textValue(tag, text)))
	return w.Flush()
}

// Flush hands everything to the system, where TensorBoard sees it and a killed process does not lose it.
func (w *Writer) Flush() error {
	if w.err == nil {
		w.err = w.out.Flush()
		w.last = w.now()
	}
	return w.err
}

// Close flushes and closes the file. A second call returns the first one's error and does nothing else.
func (w *Writer) Close() error {
	if errors.Is(w.err, os.ErrClosed) {
		return nil
	}
	err := errors.Join(w.Flush(), w.file.Close())
	w.err = os.ErrClosed
	return err
}

// Table is a Markdown table of two columns for Text, such as the settings of a run.
func Table(head [2]string, rows [][2]string) string {
	cell := strings.NewReplacer("|", `\|`, "\r\n", "<br>", "\n", "<br>", "\r", "<br>")
	var b strings.Builder
	fmt.Fprintf(&b, "|%s|%s|\n|---|---|\n", cell.Replace(head[0]), cell.Replace(head[1]))
	for _, row := range rows {
		fmt.Fprintf(&b, "|%s|%s|\n", cell.Replace(row[0]), cell.Replace(row[1]))
	}
	return b.String()
}
