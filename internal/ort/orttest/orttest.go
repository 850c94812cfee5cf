// Package orttest gives tests an ONNX Runtime.
package orttest

import (
	"errors"
	"testing"

	"winnow/internal/ort"
)

// Executor is ONNX Runtime on the CPU with one thread. Where no library is installed the test is skipped: it is the one
// thing that cannot be committed. .ci/run installs it and fails when a test is skipped all the same.
func Executor(t testing.TB) *ort.Executor {
	t.Helper()
	x, err := ort.New(t.Context(), ort.Options{Threads: 1})
	var missing *ort.LibraryError
	if errors.As(err, &missing) && missing.Err == nil {
		t.Skipf("ONNX Runtime is not installed: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}
