// Package cli is the command line: flags in, result out. Each command is parsed
// into an options struct, does its work through the public packages, and hands
// one result struct to internal/report. `winnow help scripting` states the
// contract of streams and exit codes that all commands keep.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"winnow/internal/progress"
	"winnow/internal/report"
)

// app is what every command shares.
type app struct {
	stdout, stderr io.Writer
	json, quiet    bool
	verbose        bool
	trained        *report.Training // page of the last training run
}

// Run executes the command line args (without the program's name) and returns
// the exit code. When ctx ends, the command stops cleanly with ExitInterrupted.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	// A flag that cannot be parsed stops parsing, so --json may stand behind it.
	a.json = a.json || slices.Contains(args, "--json")
	return a.finish(ctx, err)
}

// finish reports an error on both streams' terms and turns it into a code.
func (a *app) finish(ctx context.Context, err error) int {
	if err == nil {
		return ExitOK
	}
	code, message := explain(ctx, err)
	if code == ExitPartial { // the failures were listed with the result
		a.warn("%s", message)
		return code
	}
	if a.json {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(report.ErrorLine{Type: "error", Code: code, Message: message})
	}
	fmt.Fprintf(a.stderr, "winnow: %s\n", message)
	var ue *usageError
	if errors.As(err, &ue) && ue.command != "" {
		fmt.Fprintf(a.stderr, "See '%s --help'.\n", ue.command)
	}
	return code
}

// warn writes a line for people; --quiet does not silence it, because it is not
// progress.
func (a *app) warn(format string, args ...any) {
	fmt.Fprintf(a.stderr, "winnow: "+format+"\n", args...)
}

func (a *app) progress() *progress.Printer { return progress.New(a.stderr, a.quiet) }

// show writes a result in the form asked for.
func (a *app) show(r *report.Result, csv bool) error {
	for _, f := range r.Failed {
		fmt.Fprintf(a.stderr, "winnow: %s\n", f.Cause)
	}
	if a.json {
		return r.WriteJSON(a.stdout)
	}
	if csv {
		return r.WriteCSV(a.stdout)
	}
	return r.WriteTable(a.stdout)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "winnow",
		Short: "Generate pictures from text with diffusion models, and rank them by rewards",
		Long: `Winnow generates pictures from text with diffusion models in ONNX form and ranks
pictures by how well they fit a prompt. It needs nothing but itself: a small
trained model and reward are inside.

  winnow generate "a red circle above a blue square"
  winnow rank --prompt "a red circle" a.png b.jpg`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          subcommandOnly,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetGlobalNormalizationFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-")) // --guidance_scale works as in Python scripts
	})
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &usageError{command: c.CommandPath(), err: err}
	})
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "print one JSON object per line, errors included")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "no progress")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "also say what a judge's or reward's server was asked again, and what it does not take")
	root.AddCommand(
		a.quickstartCommand(), a.generateCommand(), a.rankCommand(), a.judgeCommand(), a.scoreCommand(), a.serveCommand(), a.labelCommand(), a.trainCommand(), a.evalCommand(), a.referenceCommand(), a.dataCommand(),
		a.loraCommand(), a.modelCommand(), a.benchCommand(), a.doctorCommand(), a.versionCommand(),
	)
	root.AddCommand(topics()...)
	return root
}

// subcommandOnly refuses arguments of a command that only groups others, with
// the nearest names.
func subcommandOnly(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.SuggestionsMinimumDistance = 2 // letters that may differ; cobra sets it only on its own path
	message := fmt.Sprintf("there is no command %q", c.CommandPath()+" "+args[0])
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		message += fmt.Sprintf("; did you mean %q?", c.CommandPath()+" "+near[0])
	}
	return &usageError{command: c.CommandPath(), err: errors.New(message)}
}
