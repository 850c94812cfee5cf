package cli

import "github.com/spf13/pflag"

// ownFlags are those of methods that make their own pictures.
func (o *trainOptions) ownFlags(f *pflag.FlagSet) {
	f.StringVar(&o.prompts, "prompts", "", "prompts of methods that make their own pictures: a .txt, .jsonl, .json, .csv or .tsv file")
	f.StringSliceVar(&o.reward, "reward", nil, "reward of methods that make their own pictures, and of previews (default: the model's)"+rewardHelp)
	f.StringArrayVar(&o.rewardModel, "reward-model", nil, "folder of the reward's model")
	f.Float64Var(&o.t.Settings.Clip, "clip-range", 0, "keep density ratios within 1 plus or minus this (default: 0.1 for spo and d3po, 1e-4 for ddpo and flow-grpo)")
	f.IntVar(&o.t.Siblings.Steps, "sibling-steps", 0, "sampling steps of the policy's own paths (default: the method's; 50 for ddpo, 10 for flow-grpo, else 20)")
	f.IntVar(&o.t.Siblings.Learn, "sibling-learn", 0, "steps of a path that an update learns from (default: 5 for tailorpo, else all)")
	f.IntVar(&o.t.Siblings.First, "sibling-first", 0, "take these steps from so many first ones of the path (default: from all)")
	f.IntVar(&o.t.Siblings.Skip, "sibling-skip", 0, "and leave out so many first ones (default: 4 for spo, else none)")
	f.IntVar(&o.t.Siblings.Count, "sibling-count", 0, "samples of such a step; the best and the worst are learnt from (default: 2, for spo 4)")
	f.Float64Var(&o.t.Siblings.Threshold, "sibling-threshold", 0, "learn from them only where their shares in the softmax of the samples' scores differ by more (default: 0.3 for spo, else 0)")
	f.StringVar(&o.t.Siblings.Continue, "sibling-continue", "random", "sample that a path goes on from: random, chosen or rejected")
	f.Float64Var(&o.t.Siblings.Guidance, "sibling-guidance", 0, "guidance scale in paths and training (default: 4.5 for flow-grpo, else 5)")
	f.Float64Var(&o.t.Siblings.Gradient, "sibling-gradient", 0, "tailorpo-g: move the better sample by this times the step's variance along the reward's gradient, at most by the length of the step's noise")
	f.IntVar(&o.t.Siblings.Paths, "path-count", 0, "paths of each prompt, for d3po, ddpo and flow-grpo (default: 2, 4, 8)")
	f.IntVar(&o.t.Siblings.Inner, "inner-epochs", 0, "passes over a batch of paths before new ones are drawn (default: 2 for ddpo, else 1)")
	f.Float64Var(&o.t.Siblings.FlowNoise, "flow-noise", 0, "of the paths of flow models, whose steps draw none by themselves (default: 0.7)")
	f.Float64Var(&o.t.Settings.KL, "kl-weight", 0, "flow-grpo: weight of the divergence from the reference (default: none)")
}
