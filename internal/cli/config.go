package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

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

// setFromConfig sets one flag; a list sets a flag that may be repeated.
func setFromConfig(c *cobra.Command, key string, value any) error {
	flag := c.Flags().Lookup(key)
	if flag == nil || key == "config" || key == "help" {
		return fmt.Errorf("%q is not a setting of %q", key, c.CommandPath())
	}
	if flag.Changed {
		return nil
	}
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	} else if !slices.Contains([]string{"stringArray", "stringSlice"}, flag.Value.Type()) {
		return fmt.Errorf("%s takes one value, not a list", key)
	}
	for _, v := range list {
		if v == nil {
			return fmt.Errorf("%s has no value", key)
		}
		if err := c.Flags().Set(flag.Name, scalar(v)); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// scalar is a YAML value as a flag takes it.
func scalar(v any) string {
	if f, ok := v.(float64); ok {
		return strings.TrimSuffix(fmt.Sprintf("%v", f), ".0")
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
