// Package graph is Winnow's intermediate representation of a network and its embedded executor.
//
// A Graph holds values in static single assignment and nodes in execution order, as an ONNX file describes them. Compile
// specialises a graph to static input shapes, folds everything that does not depend on the inputs' contents, fuses
// recognised structures (normalisations, attention, activations, biases) into operators of the "winnow" domain, plans one
// arena by liveness and yields a Program. Program.Run binds inputs and executes the steps over a worker pool.
//
// # Where to find what
//
//	graph.go builder.go       the representation, and how to make one by hand
//	op.go errors.go packs.go  what an operator implements, sees and returns; weights packed once
//	op_*.go                   the operators, shape inference and evaluation together, entered with Register
//	lower*.go op_ms_*.go      operators of ONNX Runtime's domain, expanded into standard ones while specialising
//	specialize.go inputs.go   Graph → ir: types, folding, merging of equal nodes, branches
//	loop.go scan.go           Loop and Scan, unrolled while a graph is specialised; sequencemap.go likewise
//	container.go              sequences and optionals, which are lists of values until a graph is specialised
//	ir.go rewrite.go infer.go the specialised graph and the helpers that rewrites use
//	passes.go simplify.go     the order of the rewrites; removal of what does nothing
//	fuse_*.go                 one rewrite a file, by structure and never by name; fused.go has the operators' contracts
//	vjp.go vjp_*.go           reverse mode: the walk, what a rule sees, its shorthands, exported gradients
//	op_*_vjp.go               rules (field VJP) that did not fit beside the evaluation; op_winnow_*grad.go fused ones
//	recompute.go checkpoint.go which values are kept for the reverse pass, and which are computed again
//	executor.go embedded.go   what every executor offers; this package's
//	gradient.go               forward and reverse pass as one program
//	compile.go plan.go        kernels, release of packed weights; which value lies where in the arena
//	program.go debug.go       running, checks, profiles
//
// # Element types
//
// Values of float16 and bfloat16 keep their nominal type, but are stored as float32 inside a program: a Cast to such a
// type rounds, except inside a fused structure, and program inputs and outputs convert at the border.
//
// Floats of 8 and 4 bits and integers of 4 and 2 bits take a byte an element. They are moved, cast and (de)quantised;
// nothing else computes with them. Strings are constants and inputs, which are compared and read as numbers; no operator
// makes any.
//
// # Looking inside
//
// WINNOW_DEBUG=1 prints the rewrites applied, 2 the time, traffic and rate of every operator and of the slowest steps
// after each run, 3 the memory plan, 4 the first node that yields NaN; each level includes the ones before.
package graph
