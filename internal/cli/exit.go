package cli

import (
	"context"
	"errors"
	"fmt"

	"winnow/datasets"
	"winnow/diffusion"
	"winnow/dpo/training"
	"winnow/rewards"
)

// Exit codes, the same for every command.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2   // a flag, an argument or a setting that cannot work
	ExitPartial     = 3   // some items failed and are listed; the rest is complete
	ExitBelow       = 5   // the work is done, and a figure is below the minimum that a flag sets
	ExitInterrupted = 130 // stopped by a signal; no file is half written
)

// usageError is a mistake on the command line or in a configuration file.
type usageError struct {
	command string // for the hint; "" for none
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// partialError says how much of the work failed; the items have been listed.
type partialError struct{ failed, total int }

func (e *partialError) Error() string {
	return fmt.Sprintf("%d of %d images could not be used; the others are ranked", e.failed, e.total)
}

// unansweredError says how many questions the judge gave no readable answer to; they have been listed.
type unansweredError struct{ failed, total int }

func (e *unansweredError) Error() string {
	return fmt.Sprintf("the judge gave no readable answer about %d of %d; use a judge that follows the instruction, or allow longer answers", e.failed, e.total)
}

// belowError says that a figure misses the minimum asked for; the result has been shown.
type belowError struct{ why string }

func (e *belowError) Error() string { return e.why }

// stopped is the end of a run that goes on where it was; whoever interrupted it is told so.
func (a *app) stopped(ctx context.Context, folder string, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	a.warn("what is done is kept in %s; the same command goes on from there", folder)
	return ctx.Err()
}

// explain gives the exit code and the message of an error.
func explain(ctx context.Context, err error) (int, string) {
	var (
		usage   *usageError
		request *diffusion.RequestError
		long    *diffusion.PromptTooLongError
		rlong   *rewards.PromptTooLongError
		arg     *rewards.ArgumentError
		partial *partialError
		rows    *partialRows
		dataArg *datasets.ArgumentError
		below   *belowError
		silent  *unansweredError
		setting *training.SettingError
	)
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return ExitInterrupted, "interrupted"
	case errors.As(err, &request):
		return ExitUsage, "--" + request.Error()
	case errors.As(err, &long):
		return ExitUsage, long.Error() + "; --truncate drops it"
	case errors.As(err, &rlong):
		return ExitUsage, rlong.Error() + "; --truncate drops it"
	case errors.As(err, &usage), errors.As(err, &arg), errors.As(err, &dataArg), errors.As(err, &setting):
		return ExitUsage, err.Error()
	case errors.As(err, &partial):
		return ExitPartial, partial.Error()
	case errors.As(err, &below):
		return ExitBelow, below.Error()
	case errors.As(err, &rows):
		return ExitPartial, rows.Error()
	case errors.As(err, &silent):
		return ExitPartial, silent.Error()
	}
	return ExitFailed, err.Error()
}
