// Package conformance runs the backend tests of the ONNX project, and those of onnx-go, through internal/onnx and every
// graph.Executor, and keeps internal/onnx/COVERAGE.md in step with the result.
//
// testdata/*.zip hold the cases, written by tests/oracle/conformance.py; what is too large for the repository comes from
// the archive that WINNOW_CONFORMANCE names (the same script with --all).
//
//	go test ./tests/conformance                                       every committed case
//	go test ./tests/conformance -run Totals -v                        totals by suite and executor
//	WINNOW_CONFORMANCE=all.zip go test ./tests/conformance -update    every case; rewrites COVERAGE.md
package conformance
