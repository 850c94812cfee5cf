package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"winnow/internal/atomicfile"
)

// maxConfigBytes bounds a configuration file; a long list of prompts fits.
const maxConfigBytes = 4 << 20

// loadConfig sets flags of c from a YAML file, except those that the command
// line has set.
func loadConfig(c *cobra.Command, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return usagef("--config %s: %w", path, err)
	}
	if len(data) > maxConfigBytes {
		return usagef("--config %s: larger than %d MiB", path, maxConfigBytes>>20)
	}
	var entries yaml.MapSlice
	if err := yaml.Unmarshal(data, &entries); err != nil {
		return usagef("--config %s: %w", path, err)
	}
	for _, e := range entries {
		if err := setFromConfig(c, fmt.Sprint(e.Key), e.Value); err != nil {
			return usagef("--config %s: %w", path, err)
		}
	}
	return nil
}

// setFromConfig sets one flag; a list sets a flag that may be repeated, and a map one of names and numbers.
func setFromConfig(c *cobra.Command, key string, value any) error {
	flag := c.Flags().Lookup(key)
	if flag == nil || key == "config" || key == "help" {
		return fmt.Errorf("%q is not a setting of %q", key, c.CommandPath())
	}
	if flag.Changed {
		return nil
	}
	list := []any{value}
	switch v := value.(type) {
	case []any:
		if list = v; !slices.Contains([]string{"stringArray", "stringSlice", "float64Slice", "intSlice", "stringToInt"}, flag.Value.Type()) {
			return fmt.Errorf("%s takes one value, not a list", key)
		}
	case map[string]any:
		if flag.Value.Type() != "stringToInt" {
			return fmt.Errorf("%s takes no map", key)
		}
		list = nil
		for _, name := range slices.Sorted(maps.Keys(v)) {
			list = append(list, name+"="+scalar(v[name]))
		}
	}
	for _, v := range list {
		switch v.(type) {
		case nil:
			return fmt.Errorf("%s has no value", key)
		case []any, map[string]any:
			return fmt.Errorf("%s takes single values", key)
		}
		if err := c.Flags().Set(flag.Name, scalar(v)); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// settingOf is a flag's value as a configuration file holds it: numbers and switches as such, not as text.
func settingOf(v pflag.Value) any {
	text := v.String()
	if list, ok := v.(pflag.SliceValue); ok {
		if v.Type() != "float64Slice" {
			return list.GetSlice()
		}
		var numbers []float64 // their texts have six decimals
		for _, s := range list.GetSlice() {
			f, _ := strconv.ParseFloat(s, 64)
			numbers = append(numbers, f)
		}
		return numbers
	}
	var out any
	var err error
	switch v.Type() {
	case "bool":
		out, err = strconv.ParseBool(text)
	case "int", "int64":
		out, err = strconv.ParseInt(text, 10, 64)
	case "uint", "uint64":
		out, err = strconv.ParseUint(text, 10, 64)
	case "float64":
		out, err = strconv.ParseFloat(text, 64)
	case "stringToInt":
		numbers := map[string]int{}
		for pair := range strings.SplitSeq(strings.Trim(text, "[]"), ",") {
			if name, n, ok := strings.Cut(pair, "="); ok {
				numbers[name], _ = strconv.Atoi(n)
			}
		}
		return numbers
	default:
		return text
	}
	if err != nil {
		return text
	}
	return out
}

// scalar is a YAML value as a flag takes it.
func scalar(v any) string {
	if f, ok := v.(float64); ok {
		return strings.TrimSuffix(strconv.FormatFloat(f, 'g', -1, 64), ".0")
	}
	return fmt.Sprint(v)
}

// saveConfig writes the settings that repeat a run.
func saveConfig(path string, settings yaml.MapSlice) error {
	data, err := yaml.MarshalWithOptions(settings, yaml.UseLiteralStyleIfMultiline(true))
	if err != nil {
		return fmt.Errorf("--save-config: %w", err)
	}
	return writeFile(path, data)
}

// writeFile writes a whole file atomically; the error names the path once.
func writeFile(path string, data []byte) error {
	err := atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	return pathError("write", path, err)
}

// pathError puts the path that the user gave in front, instead of the
// temporary name that the system saw.
func pathError(verb, path string, err error) error {
	if err == nil {
		return nil
	}
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe):
		err = pe.Err
	case errors.As(err, &le):
		err = le.Err
	}
	return fmt.Errorf("cannot %s %s: %w", verb, path, err)
}
