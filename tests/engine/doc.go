// Package engine holds the embedded executor against ONNX Runtime on whole networks: the embedded mini pipeline and the
// tiny pipelines of tests/tiny. It has tests only.
package engine
