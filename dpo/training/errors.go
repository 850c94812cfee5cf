package training

import (
	"errors"
	"fmt"
)

// SettingError is a setting that cannot work, under the name of its flag: a mistake of whoever asked, found before anything is trained.
type SettingError struct {
	Flag  string // without dashes; "" where the cause names it
	Value string // as given; "" where the cause says it
	Err   error
}

func (e *SettingError) Error() string {
	switch {
	case e.Flag == "":
		return e.Err.Error()
	case e.Value == "":
		return fmt.Sprintf("--%s: %v", e.Flag, e.Err)
	}
	return fmt.Sprintf("--%s %s: %v", e.Flag, e.Value, e.Err)
}

func (e *SettingError) Unwrap() error { return e.Err }

// setting makes a SettingError.
func setting(flag string, value any, format string, args ...any) error {
	return &SettingError{Flag: flag, Value: fmt.Sprint(value), Err: fmt.Errorf(format, args...)}
}

// CheckpointError is a checkpoint that cannot be gone on from.
type CheckpointError struct {
	File string // or folder
	Err  error
	Cure string
}

func (e *CheckpointError) Error() string { return fmt.Sprintf("%s: %v; %s", e.File, e.Err, e.Cure) }
func (e *CheckpointError) Unwrap() error { return e.Err }

// errDamaged has the cure of damaged files.
func errDamaged(folder, file string, err error) error {
	var known *CheckpointError
	if errors.As(err, &known) {
		return err
	}
	return &CheckpointError{file, err, fmt.Sprintf("the checkpoint is damaged: remove the folder %s, and --resume-from-checkpoint latest goes on from the one before", folder)}
}
