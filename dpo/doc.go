// Package dpo holds preference objectives for diffusion models as pure functions: errors of a batch of pairs in, loss
// and derivative out. One objective a file, with its paper, its equation and the unit of beta. [Methods] lists what can
// be trained by name; package training holds the loop.
//
// # Units
//
// Errors are means over channels, height and width of the squared difference between the network's output and its
// target, so that beta does not depend on the picture size. An implicit reward is the reference's error minus the
// policy's: positive where the policy fits a picture better than the reference does. Published code differs by a
// factor of two: DiffusionDPO's train.py multiplies by −½·beta, so its beta of 5000 is 2500 per unit of implicit reward.
//
// Methods that look at single steps of a sampler take minus the log-density of the step, averaged over the same axes,
// for the error. The implicit reward is then a log ratio, and every loss serves both.
//
// # How a trainer uses it
//
// It measures four errors a pair ([DenoisingError], [StepError]), asks an [Objective] for loss and derivative, and turns
// the derivative into the cotangent of the network's outputs ([DenoisingCotangent], [StepCotangent]). The reference, the
// labels and whatever else the errors were made from are constants.
package dpo
