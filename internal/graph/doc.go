// Package graph is Winnow's intermediate representation of a network and its embedded executor.
//
// A Graph holds values in static single assignment and nodes in execution order, as an ONNX file describes them. Compile
// specialises a graph to static input shapes, folds everything that does not depend on the inputs' contents, fuses
// recognised structures (normalisations, attention, activations, biases) into operators of the "winnow" domain, plans one
// arena by liveness and yields a Program. Program.Run binds inputs and executes the steps over a worker pool.
//
// One operator lives in one file op_*.go and is entered with Register: shape inference and evaluation together. One
// rewrite lives in one file fuse_*.go and matches by structure, never by name.
//
// Values of float16 and bfloat16 keep their nominal type, but are stored as float32 inside a program: a Cast to such a
// type rounds, and program inputs and outputs convert at the border.
package graph
