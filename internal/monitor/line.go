package monitor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

const (
	maxLine   = 1 << 20 // bytes of a line
	maxValues = 1000    // numbers of a line
)

// appendLine writes one step as a line of JSON, numbers in the shortest form that reads back to the same float64.
func appendLine(out []byte, step int, values []Value) ([]byte, error) {
	if step < 0 {
		return nil, fmt.Errorf("step is negative")
	}
	if len(values) > maxValues {
		return nil, fmt.Errorf("%d metrics, at most %d fit into a line", len(values), maxValues)
	}
	out = fmt.Appendf(out, `{"step":%d`, step)
	seen := map[string]bool{"step": true}
	for _, v := range values {
		if seen[v.Name] {
			return nil, fmt.Errorf("metric %q is there twice", v.Name)
		}
		seen[v.Name] = true
		name, err := json.Marshal(v.Name)
		if err != nil {
			return nil, err
		}
		number := []byte("null")
		if !math.IsNaN(v.Value) && !math.IsInf(v.Value, 0) {
			if number, err = json.Marshal(v.Value); err != nil {
				return nil, err
			}
		}
		out = append(append(append(append(out, ','), name...), ':'), number...)
	}
	if len(out) > maxLine {
		return nil, fmt.Errorf("line of %d bytes, at most %d", len(out), maxLine)
	}
	return append(out, "}\n"...), nil
}

// scan calls fn with every line of a file, line break included. What stands behind the last line break is a line that was never
// finished, and is passed over.
func scan(path string, fn func(line []byte, m Metrics) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, maxLine+1)
	last := -1
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			err = fmt.Errorf("longer than %d bytes", maxLine)
		}
		var m Metrics
		if err == nil {
			m, err = parseLine(line)
		}
		if err == nil && m.Step <= last {
			err = fmt.Errorf("step %d follows step %d", m.Step, last)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w; the file was changed by something else: mend or remove it", path, n, err)
		}
		last = m.Step
		if err := fn(line, m); err != nil {
			return err
		}
	}
}

// parseLine reads an object of numbers in the order of its names.
func parseLine(line []byte) (m Metrics, err error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return m, errors.New("not a JSON object")
	}
	m.Step = -1
	seen := map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return m, fmt.Errorf("not a JSON object: %w", err)
		}
		name, _ := key.(string)
		var value any
		if err := dec.Decode(&value); err != nil {
			return m, fmt.Errorf("value of %q: %w", name, err)
		}
		if seen[name] || len(seen) > maxValues {
			return m, fmt.Errorf("%q is there twice, or there are more than %d values", name, maxValues)
		}
		seen[name] = true
		if err := m.take(name, value); err != nil {
			return m, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return m, fmt.Errorf("not a JSON object: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return m, errors.New("something stands behind the JSON object")
	}
	if m.Step < 0 {
		return m, errors.New(`no "step" of 0 or more`)
	}
	return m, nil
}

func (m *Metrics) take(name string, value any) error {
	number, ok := value.(json.Number)
	switch {
	case name == "step" && ok:
		step, err := number.Int64()
		if err != nil || step < 0 || step > math.MaxInt32 {
			return fmt.Errorf("step %s", number)
		}
		m.Step = int(step)
	case value == nil && name != "step":
		m.Values = append(m.Values, Value{name, math.NaN()})
	case ok:
		v, err := number.Float64()
		if err != nil {
			return fmt.Errorf("value of %q: %w", name, err)
		}
		m.Values = append(m.Values, Value{name, v})
	default:
		return fmt.Errorf("value of %q is no number", name)
	}
	return nil
}
