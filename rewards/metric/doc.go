// Package metric holds the figures by which rewards and judges are compared with human preference, each under the name of
// the evaluation that defines it. Definitions that sound alike differ in how they count ties and in what they average over,
// so numbers are comparable only under one name.
//
//	imagereward.pair_micro      share of decided pairs in the right order, pooled (ImageReward, test.py)
//	hpsv2.imagereward_macro     the same per prompt, then averaged (HPSv2, evaluate_IR)
//	hpdv2.inversion             1 − inversions per prompt, averaged (HPSv2, evaluate_rank)
//	hpdv2.pair_micro_no_ties    as imagereward.pair_micro, on HPDv2
//	hpdv2.raw_votes             share of decided pairs in the order of each annotator, pooled
//	hpdv2.single_human          the same of one annotator against the others
//	pickapic.tie_threshold      accuracy with half points for ties at a threshold (Pick-a-Pic, eval_preference_predictor)
//	pickapic.no_ties            decided pairs, strict comparison
//	best_of_n, top1_soft        whether the best-scored picture is one of the best-ranked
//	kendall_tau_b, spearman     rank correlation per prompt, averaged
//	pairwise_acc_tie_opt        accuracy over all pairs, ties included, at the best tie threshold (Deutsch et al. 2023)
//	judge.*                     judges asked in both orders
//
// Everything here is pure arithmetic: numbers in, numbers out. Intervals are in interval.go, tests between two scorers in
// paired.go, calibration in calibration.go.
package metric
