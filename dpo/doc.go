// Package dpo holds preference objectives for diffusion models as pure functions: denoising errors of a batch of pairs
// in, loss and derivative out. One objective a file, with its paper, its equation and the unit of beta.
//
// # Units
//
// Errors are means over channels, height and width of the squared difference between the network's output and its
// target, so that beta does not depend on the picture size. An implicit reward is the reference's error minus the
// policy's: positive where the policy fits a picture better than the reference does. Published code differs by a
// factor of two: DiffusionDPO's train.py multiplies by −½·beta, so its beta of 5000 is 2500 per unit of implicit reward.
package dpo
