// Package optim updates named float32 parameters from their gradients: AdamW, AdamW with 8-bit states, Adafactor and SGD, with
// clipping by the norm, learning-rate schedules and an exponential moving average. It is pure numerics: it knows no graphs, files
// or losses.
//
// Every update equals, operation by operation, the implementation that its doc comment names, with correctly rounded float32
// arithmetic. So results depend neither on the processor nor on the number of threads, and a run that is restored from its state
// goes on bit for bit.
package optim
