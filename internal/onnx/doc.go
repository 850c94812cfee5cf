// Package onnx reads ONNX files into graphs.
//
// The work is shared between two readers. A scan of the protobuf wire format (this package) takes what is large or
// what github.com/owulveryck/onnx-go does not hold: tensors of every element type, inline or in external files, which
// stay where they are in the memory map; node names, domains, operator set versions, symbolic dimensions, metadata,
// model-local functions and subgraphs. The rest, the structure, is written out again as a small "hollow" model that
// onnx-go decodes into a backend of ours. onnx-go applies operations in the order of the node list, so the i-th
// operation of its view is the i-th node of the scan, and both views join into one graph.Graph.
//
// Why not onnx-go alone: see TestOnnxGoLimits, which holds one probe for each of its limits. Why not the scan alone: the
// interpretation of attributes and edges then rests on one implementation only; now two must agree, at every load.
//
// Everything in a file is hostile until checked. Parse and Open never panic and report a *FileError; memory use is
// proportional to the file's size.
package onnx

import (
	// onnx-go pulls in gorgonia.org/tensor. Newer versions of that refuse to start on a Go release that this guard package
	// does not know; holding the guard at its 2023-11 version, which trusts later releases, protects every user of ours.
	_ "go4.org/unsafe/assume-no-moving-gc"
)
