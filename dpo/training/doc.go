// Package training trains LoRA adapters of a text-to-image model with the objectives of package dpo.
//
//	config.go            what a run is told
//	data.go picture.go   records of data sets → pairs with latents; sizes (bucket.go), order of batches (order.go)
//	cache.go stream.go   latents, text embeddings and reference errors by content; random numbers by pair and purpose
//	source_*.go          where the samples of a step come from: noised pairs, inverted pairs, pictures of the policy's earlier
//	                     states, siblings or whole paths of its own sampler (own_sampler.go, paths_*.go)
//	measure.go step.go   errors → terms → loss → derivatives of factors → optimiser
//	rollout.go           the policy's own pictures, for siblings and previews
//	reference*.go        what the policy is measured against: the base model, adapters of files, or the policy some updates ago
//	selection.go         pairs that are left out, and the order of the others
//	checkpoint.go        state on disk
//	run.go               the loop
//
// A step is a function of the settings, the number of the step and the factors: nothing else is carried from one to the next but
// the state of the optimiser, a reference that follows the policy, earlier states of it, what stateful losses keep, and what paths are drawn from once more
// that several steps learn from. So a run that was killed goes on bit for bit.
package training
