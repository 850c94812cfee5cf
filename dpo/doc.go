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
// labels and whatever else the errors were made from are constants. Objectives with [Method].Drift or Dot look at
// differences of outputs, too; [State], [Observe] and [Restore] are for losses that learn from batch to batch.
//
// # Losses
//
// Methods with a choice take any of [Losses] by name. A [PairLoss] is one function of both implicit rewards; a [Loss] sees the
// batch, which it may sort, weigh or cut. Scores of pictures, by which some weigh or rank, are in the terms. [WithSFT] and [SDPO]
// wrap any objective, [VRPO] averages draws in front of it. Which pairs are learnt from, and when, is chosen by functions
// on numbers: [CurriculumOrder], [ClearPreferences], [WorthAnnotating], [DiverseExtremes].
//
// Names that several methods share are not used alone. IPO is the squared loss ([LossIPO]) and not iterative preference
// optimisation of videos; SPO is step-aware, with [ClampedRatios]; APO is anchored ([LossAPOZero]); "rpo-reward" is reward-aware
// ([LossRewardRPO]); MPO is over sets ([LossMPOSet]), MaPO margin-aware ([MaPO]), MaPPO with a prior ([LossMaPPO]); SimPO is without
// a reference ([LossSimPO]), SmPO with smoothed labels ([SmPO]).
//
// Some methods are others with samples of their own. InPO is [DiffusionDPO] on pictures that the policy inverted; SPIN-Diffusion is
// [DiffusionDPO], and Pre-DPO any loss, with another reference; MRPO has several, whose errors are summed by weights that
// add up to 1 in RefChosen and RefRejected; accelerated preference optimisation moves the reference.
//
// Left out, because no formula could be checked against a paper's text or code: MIPO; XPO and VPO, whose bonus has a sign that depends
// on the setting; relative preference optimisation and DOVE, which compare pictures of different prompts by embeddings of
// prompts that terms do not hold; DSPO's branch for SDXL, whose loss does not depend on the policy's direction.
package dpo
