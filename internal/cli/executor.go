package cli

import (
	"strings"

	"github.com/spf13/pflag"

	"winnow/internal/ort"
)

// executorOptions say what runs the networks.
type executorOptions struct {
	executor, ortLibrary string
}

// flags adds the flags, which all commands that run networks share.
func (o *executorOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.executor, "executor", ort.Embedded, "what runs the networks: embedded, or onnxruntime[:"+strings.Join(ort.ProviderNames()[1:], "|")+"]; see winnow help executors")
	f.StringVar(&o.ortLibrary, "ort-lib", "", "ONNX Runtime's shared library or its folder (default: searched for)")
}

// check refuses an executor that does not exist; whether it can run here shows when it is opened.
func (o *executorOptions) check() error {
	embedded, _, err := ort.Parse(o.executor)
	if err != nil {
		return usagef("--executor %s: %w", o.executor, err)
	}
	if embedded && o.ortLibrary != "" {
		return usagef("--ort-lib %s needs --executor onnxruntime", o.ortLibrary)
	}
	return nil
}
