// Package ort runs graphs in ONNX Runtime. The shared library is found and loaded when it is first asked for, without
// cgo; this program neither contains it nor needs it.
//
// A graph is written as an ONNX model in memory whose weights stay in the files that they came from, so ONNX Runtime maps
// the same pages that this program does. Inputs are copied into memory of ONNX Runtime and outputs into fresh tensors:
// C code never sees memory that Go manages beyond the duration of one call. Activations that a reverse pass needs stay
// with ONNX Runtime, on the device if there is one.
//
//	find.go dl_*.go library.go   finding, loading and calling the library
//	api.go                       the entries of OrtApi in use
//	provider.go                  execution providers
//	value.go session.go          tensors and sessions
//	executor.go gradient.go      graph.Executor on top of them
//	failure.go                   messages of ONNX Runtime as typed errors
package ort
