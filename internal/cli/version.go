package cli

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"winnow/diffusion"
	"winnow/internal/kernel"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, and what computes here",
		Args:  a.noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Type     string `json:"type"`
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
				Kernel   string `json:"kernel"`
				CPUs     int    `json:"cpus"`
			}{"version", diffusion.Version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, kernel.Selected(), runtime.GOMAXPROCS(0)}
			if a.json {
				return json.NewEncoder(a.stdout).Encode(v)
			}
			_, err := fmt.Fprintf(a.stdout, "winnow %s (%s, %s, %s kernels, %d CPUs)\n", v.Version, v.Go, v.Platform, v.Kernel, v.CPUs)
			return err
		},
	}
}

// noArgs refuses arguments with our own kind of error.
func (a *app) noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{command: c.CommandPath(), err: fmt.Errorf("%s takes no arguments, got %q", c.CommandPath(), args[0])}
	}
	return nil
}
