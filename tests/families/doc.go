// Package families holds the executors against ONNX Runtime on every network family of the field in small: exports of
// random-weight U-Nets, diffusion transformers, autoencoders, text and picture encoders by both of PyTorch's exporters
// at opsets 14 to 21. It has tests only; tests/oracle/families makes their files.
package families
