// Package lora puts low-rank adapters (LoRA, Hu et al. 2021, in the layout of PEFT) into an exported network, as a rewrite
// of its graph: a Linear or convolution W of the file computes
//
//	y = W·x + Σ_adapters s·(alpha/r)·B·(A·x)
//
// in ordinary ONNX operators, so that any executor runs it and its gradient. A, B and the scale s are inputs of the
// graph. One compiled program therefore serves every set of weights, switches adapters by its inputs, and may hold
// several at once: s has one number for each sample of the batch, so a policy (s = 1) and its reference (s = 0) run
// together and read the frozen weights once.
//
//	names.go list.go   which nodes are modules, and what the file calls them
//	target.go          PEFT's target_modules
//	inject.go site.go  the rewrite
//	file.go write.go layout.go meta.go delta.go readers.go merge.go
//	                   files of adapters: layouts of all tools, comparison, merging
//	weights.go contents.go keys.go place.go settings.go open.go
//	                   adapters of one network read from files
//
// Modules inside subgraphs (branches of If) are not found.
package lora
