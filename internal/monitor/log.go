package monitor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"winnow/internal/atomicfile"
)

// The two files of a log. Metrics are the same bytes for the same settings, seed and data, however often the run was killed and
// resumed; what depends on the machine and the hour stands beside them.
const (
	MetricsFile = "metrics.jsonl"
	TimingsFile = "timings.jsonl"
)

// Log adds a line for each step to the files of a folder: an object with "step" and the numbers by name; null stands for one that
// is not finite. Each line is handed to the system at once, so a killed process loses none but the one it is writing. It is not
// safe for concurrent use.
type Log struct {
	metrics, timings *os.File
	last             int // step
}

// Create begins a log in a folder that exists. A log that is there is emptied.
func Create(dir string) (*Log, error) { return open(dir, -1) }

// Resume goes on after a step: the lines of later steps are dropped, and so is a last line that a killed run has half written.
// Files that are not there are begun. A line that cannot be read elsewhere is an error, and nothing is changed then.
func Resume(dir string, step int) (*Log, error) { return open(dir, step) }

func open(dir string, step int) (*Log, error) {
	l := &Log{last: -1}
	for _, f := range []struct {
		name string
		to   **os.File
	}{{MetricsFile, &l.metrics}, {TimingsFile, &l.timings}} {
		path := filepath.Join(dir, f.name)
		last, err := cut(path, step)
		if err == nil {
			*f.to, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o644)
		}
		if err != nil {
			_ = l.Close()
			return nil, fmt.Errorf("monitor: %w", err)
		}
		l.last = max(l.last, last)
	}
	return l, nil
}

// cut keeps the lines up to a step and returns the last step that is left, or −1.
func cut(path string, step int) (last int, err error) {
	var keep bytes.Buffer
	last = -1
	if step >= 0 {
		err = scan(path, func(line []byte, m Metrics) error {
			if m.Step <= step {
				keep.Write(line)
				last = m.Step
			}
			return nil
		})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, err
		}
	}
	if info, err := os.Stat(path); err == nil && info.Size() == int64(keep.Len()) {
		return last, nil
	}
	return last, atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(keep.Bytes())
		return err
	})
}

// Write adds the line of a step; steps grow.
func (l *Log) Write(m Metrics) error {
	if m.Step <= l.last {
		return fmt.Errorf("monitor: step %d cannot follow step %d in %s", m.Step, l.last, MetricsFile)
	}
	for _, f := range []struct {
		to     *os.File
		values []Value
	}{{l.metrics, m.Values}, {l.timings, m.Timings}} {
		if len(f.values) == 0 && f.to == l.timings {
			continue
		}
		line, err := appendLine(nil, m.Step, f.values)
		if err != nil {
			return fmt.Errorf("monitor: step %d: %w", m.Step, err)
		}
		if _, err := f.to.Write(line); err != nil {
			return fmt.Errorf("monitor: %w", err)
		}
	}
	l.last = m.Step
	return nil
}

// Sync makes the lines durable. Call it before a checkpoint is written: a checkpoint must not outlive the lines that lead to it.
func (l *Log) Sync() error { return errors.Join(l.metrics.Sync(), l.timings.Sync()) }

// Close closes the files.
func (l *Log) Close() error {
	var errs []error
	for _, f := range []**os.File{&l.metrics, &l.timings} {
		if *f != nil {
			errs = append(errs, (*f).Close())
			*f = nil
		}
	}
	return errors.Join(errs...)
}

// Read returns the steps of a folder's log, with their timings where there are any. A half-written last line is left out.
func Read(dir string) ([]Metrics, error) {
	var rows []Metrics
	at := map[int]int{}
	err := scan(filepath.Join(dir, MetricsFile), func(_ []byte, m Metrics) error {
		at[m.Step] = len(rows)
		rows = append(rows, m)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	err = scan(filepath.Join(dir, TimingsFile), func(_ []byte, m Metrics) error {
		if i, ok := at[m.Step]; ok {
			rows[i].Timings = m.Values
		}
		return nil
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	return rows, nil
}
