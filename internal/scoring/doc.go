// Package scoring scores the pictures of whole sets: in batches across prompts, each picture with each prompt once, and with
// every score kept in a store so that a run that died goes on where it was.
package scoring
